"""The outcomes of several tasks, written at once."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from .. import sql
from ..values import Outcome
from .clock import NOW

#: So many seconds ago.
AGO = f"{NOW} - make_interval(secs => {{}})"
#: As `SETTLE`, of several: an array a column. Their ids stand there again, so that rows are found
#: by them, whatever statistics say.
SETTLE_DONE = f"""
    WITH outcome AS (
        SELECT * FROM unnest(
            %s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::float8[], %s::float8[]
        ) AS one (task_id, queue_id, delivery, result, began, ended)
    ), mine AS MATERIALIZED (
        SELECT job.task_id FROM queue_job AS job JOIN outcome USING (task_id, delivery)
        WHERE job.task_id = ANY(%s::text[]) AND state IN ('queued', 'running')
        FOR UPDATE OF job SKIP LOCKED
    ), settled AS (
        {
    sql.SETTLE_DONE.format(
        began=AGO.format("began"), ended=AGO.format("ended"), result="outcome.result"
    )
}
        FROM outcome JOIN mine USING (task_id)
        WHERE queue_job.task_id = outcome.task_id AND queue_job.task_id = ANY(%s::text[])
        RETURNING queue_job.task_id
    ), acknowledged AS (
        DELETE FROM django_q_ormq USING outcome JOIN settled USING (task_id)
        WHERE django_q_ormq.id = outcome.queue_id AND django_q_ormq.id = ANY(%s::bigint[])
    ) {{records}}
    SELECT task_id FROM settled
"""
RECORDS = f"""
    , recorded AS ({
    sql.RECORD.format(
        columns="{columns}",
        values="{columns}",
        source="FROM json_populate_recordset(NULL::django_q_task, %s) "
        "WHERE id IN (SELECT task_id FROM settled)",
        replaced="{replaced}",
    )
})
"""


def settle(outcomes: Sequence[Outcome]) -> set[str]:
    """`Engine.settle_done`: one statement, however many they are."""
    now = time.monotonic()
    rows = [
        (
            *(each.task_id, each.lease.queue_id, each.lease.delivery, each.result),
            *(now - each.began, now - each.ended),
        )
        for each in outcomes
    ]
    columns: list[Any] = [list(column) for column in zip(*rows, strict=True)]
    task_ids, queue_ids, *_ = columns
    columns += [task_ids, task_ids, queue_ids]
    records, insert = [each.record for each in outcomes if each.record], ""
    if records:
        insert = sql.in_columns(RECORDS, records[0])
        columns.append(json.dumps(records, default=str))
    settled = sql.fetch(SETTLE_DONE.format(records=insert), columns)
    return {task_id for (task_id,) in settled}
