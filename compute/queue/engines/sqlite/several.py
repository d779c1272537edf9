"""The outcomes of several tasks, written at once."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.db import connection

from .. import sql
from ..values import Outcome
from .clock import LATER

#: How long ago, in seconds and below 0, something was.
AGO = LATER.format("%s")
SETTLE_DONE = f"""
    {sql.SETTLE_DONE.format(began=AGO, ended=AGO, result="%s")}
    WHERE task_id = %s AND delivery = %s AND state IN ('queued', 'running')
"""


def settle(outcomes: Sequence[Outcome]) -> set[str]:
    """The writes of `Engine.settle_done`, in the caller's transaction."""
    settled, now = [], time.monotonic()
    with connection.cursor() as cursor:
        for each in outcomes:
            times = [each.began - now, each.ended - now]
            cursor.execute(SETTLE_DONE, [*times, each.result, each.task_id, each.lease.delivery])
            if cursor.rowcount:
                settled.append(each)
        cursor.executemany(sql.ACKNOWLEDGE, [[each.lease.queue_id] for each in settled])
        records = [each.record for each in settled if each.record]
        if records:
            values = ", ".join(["%s"] * len(records[0]))
            insert = sql.in_columns(sql.RECORD, records[0], values=values, source="WHERE true")
            cursor.executemany(insert, [[*record.values()] for record in records])
    return {each.task_id for each in settled}
