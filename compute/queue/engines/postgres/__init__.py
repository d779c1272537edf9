"""Postgres: each write is one statement.

A process that freezes (SIGSTOP, a suspended machine) between two would leave rows locked,
and whoever took its job over would have to wait until it thaws.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from django.db import connection

from .. import sql
from ..base import FREE, Engine, Entry, Held, Keys, Lease, Statement, Then
from . import listening, sessions

NOW = "statement_timestamp()"
NEVER = f"'{FREE}'::timestamptz"
LATER = f"{NOW} + make_interval(secs => %(seconds)s)"
NOTIFY = f"pg_notify('{listening.CHANNEL}', '')"

ITS_PACKAGE = sql.PACKAGE.format(free=NEVER)
ENTER = f"WITH package AS ({ITS_PACKAGE} RETURNING id) {{job}} SELECT id, {NOTIFY} FROM package"
ITS_JOB = sql.JOB.format(
    queue_id="id", queued_at="%(queued_at)s::timestamptz", source="FROM package"
)
ENTER_ALONE = ENTER.format(job="")
ENTER_WITH_JOB = ENTER.format(job=f", job AS ({ITS_JOB})")

#: One array a column: thousands of placeholders take the driver a second to parse.
ITS_PACKAGES = f"""
    INSERT INTO django_q_ormq (key, payload, lock)
    SELECT %s, payload, {NEVER} FROM unnest(%s::text[]) AS payload RETURNING id
"""
ITS_JOBS = """
    INSERT INTO queue_job (task_id, "group", position, queue, queue_id, name, queued_at)
    SELECT task_id, %s, place - 1, %s, queue_id, name, queued_at
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[])
        WITH ORDINALITY AS job (queue_id, task_id, name, queued_at, place)
"""

CLAIM = f"""
    WITH free (id, held) AS MATERIALIZED (
        {sql.CLAIMABLE.format(now=NOW)} FOR UPDATE SKIP LOCKED
    ),
    leased AS ({sql.LEASE.format(end=LATER, ids="SELECT id FROM free")}),
    taken AS ({sql.TAKE.format(now=NOW, ids="SELECT id FROM free")})
    SELECT id, payload, coalesce(delivery, 0), coalesce(attempt, 0), held AND attempt > 1
    FROM leased JOIN free USING (id) LEFT JOIN taken ON queue_id = id ORDER BY id
"""

SETTLE = """
    WITH settled AS ({} RETURNING 1),
    acknowledged AS ({} AND EXISTS (SELECT FROM settled)),
    recorded AS ({})
    SELECT count(*) FROM settled
"""

HELD = """
    FROM unnest(%(ids)s::text[], %(deliveries)s::bigint[]) AS held (held_id, held_delivery)
    WHERE task_id = held_id AND delivery = held_delivery
"""
GIVE_BACK = f"""
    WITH given AS ({sql.GIVE_BACK.format(among=HELD)}),
    freed AS (UPDATE django_q_ormq SET lock = {{lock}} FROM given WHERE id = queue_id)
    SELECT count(*), {NOTIFY} FROM given
"""

REQUEUE = f"""
    WITH failed AS MATERIALIZED ({{failed}} FOR UPDATE),
    numbered AS MATERIALIZED (
        SELECT *, nextval(pg_get_serial_sequence('django_q_ormq', 'id')) AS number FROM failed
    ),
    packages AS ({sql.PACKAGES.format(free=NEVER, numbered="numbered")}),
    records AS ({sql.RECORDS.format(chosen="id IN (SELECT task_id FROM numbered)")})
    {sql.REQUEUE.format(now=NOW, numbered="numbered")}
"""


class Postgres(Engine):
    NOW, NOW_S = NOW, "extract(epoch FROM clock_timestamp())::float8"
    EPOCH, FLOOR = "extract(epoch FROM {})::float8", "floor({})"
    LETTERS = "string_agg(letter, '' ORDER BY place)"
    SKIP_LOCKED = "FOR UPDATE SKIP LOCKED"
    RECORD_SOURCE = "FROM settled"

    commits = staticmethod(listening.commits)
    prepare = staticmethod(sessions.limit)

    def enter(self, queue: str, payload: str, entry: Entry | None) -> int:
        values = {"queue": queue, "payload": payload, **(entry._asdict() if entry else {})}
        ((queue_id, _),) = sql.fetch(ENTER_WITH_JOB if entry else ENTER_ALONE, values)
        return int(queue_id)

    def enter_all(self, queue: str, group: str, entries: Sequence[Entry]) -> None:
        payloads, *columns = (list(column) for column in zip(*entries, strict=True))
        ids = [queue_id for (queue_id,) in sql.fetch(ITS_PACKAGES, [queue, payloads])]
        sql.execute(ITS_JOBS, [group, queue, ids, *columns])
        sql.fetch(f"SELECT {NOTIFY}")

    def claim(self, **claim: Any) -> list[tuple[Lease, str]]:
        claim["seconds"] = claim["lease_s"]
        return [
            (Lease(queue_id, delivery, attempt, bool(expired)), payload)
            for queue_id, payload, delivery, attempt, expired in sql.fetch(CLAIM, claim)
        ]

    def write_outcome(self, statements: list[Statement], then: Then) -> bool:
        update, delete, record = [*statements, ("SELECT", [])][:3]
        settle = SETTLE.format(update[0], delete[0], record[0])
        ((settled,),) = sql.fetch(settle, [*update[1], *delete[1], *record[1]])
        return bool(settled)

    def give_back(self, held: Collection[Held], pause_s: float) -> int:
        ids, deliveries = [each[0] for each in held], [each[1] for each in held]
        values = {"ids": ids, "deliveries": deliveries, "seconds": pause_s}
        ((count, _),) = sql.fetch(GIVE_BACK.format(lock=LATER if pause_s else NEVER), values)
        return int(count)

    def requeue(self, task_ids: Collection[str]) -> list[tuple[str, str]]:
        chosen = self.among("task_id", task_ids)[0].replace("%s", "%(ids)s")
        failed = sql.FAILED.format(number="", chosen=chosen, order=sql.ORDER)
        with connection.cursor() as cursor:
            # Where the tables' statistics are of a time when they were empty, ten thousand rows
            # would be looked for in ten thousand, one by one.
            cursor.execute("SET LOCAL enable_nestloop = off")
            cursor.execute(REQUEUE.format(failed=failed), {"ids": list(task_ids)})
            requeued: list[tuple[str, str]] = cursor.fetchall()
            cursor.execute("SET LOCAL enable_nestloop = DEFAULT")
            if requeued:
                cursor.execute(f"SELECT {NOTIFY}")
        return requeued

    def among(self, column: str, keys: Keys, numbers: bool = False) -> tuple[str, Any]:
        """As an array, and no subquery: that is joined, and where the table's statistics are of
        a time when no row was in this state, in a loop within a loop (measured: seven minutes
        for ten thousand jobs)."""
        return f"{column} = ANY(%s::{'bigint' if numbers else 'text'}[])", list(keys)
