"""Failed jobs, queued again: as many as one likes, in a few statements.

As SQL, so that no payload leaves the database: ten thousand of them would be read, sent back
and parsed twice, and a job at a time took a minute and a half.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from .among import condition
from .claims import now

#: In the order in which they were queued before; locked in it, too, so that of two people
#: who press at the same time none waits for the other in a ring.
FAILED = """
    SELECT task_id, queue, payload {number} FROM queue_job
    WHERE {chosen} AND state = 'failed' ORDER BY {order}
"""
ORDER = 'queued_at, "group", position'
PACKAGES = """
    INSERT INTO django_q_ormq (id, key, payload, lock)
    SELECT number, queue, payload, %(free)s {cast} FROM {numbered}
"""
JOBS = """
    UPDATE queue_job
    SET state = 'queued', queue_id = number, node_id = NULL, worker = NULL, queued_at = {now},
        started_at = NULL, finished_at = NULL, deaths = 0, error = '', error_class = '',
        payload = ''
    FROM {numbered} WHERE queue_job.task_id = numbered.task_id
    RETURNING queue_job.task_id, "group"
"""
RECORDS = "DELETE FROM django_q_task WHERE NOT success AND {chosen}"


def requeue(task_ids: list[str], free: Any) -> list[tuple[str, str]]:
    """Give failed jobs new packages and remove django-q2's records of their failures.

    Inside the caller's transaction. `free` is the lease of what nobody holds. Returns task id
    and group of each job that was failed still, and is locked until the commit.
    """
    chosen, ids = condition("task_id", task_ids)
    values = {"ids": ids, "free": connection.ops.adapt_datetimefield_value(free)}
    chosen = chosen.replace("%s", "%(ids)s")
    return (on_postgres if connection.vendor == "postgresql" else on_sqlite)(chosen, values)


def on_postgres(chosen: str, values: dict[str, Any]) -> list[tuple[str, str]]:
    failed = FAILED.format(number="", chosen=chosen, order=ORDER)
    records = RECORDS.format(chosen="id IN (SELECT task_id FROM numbered)")
    with connection.cursor() as cursor:
        # Where the tables' statistics are of a time when they were empty, ten thousand rows
        # would be looked for in ten thousand, one by one.
        cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute(
            f"""
            WITH failed AS MATERIALIZED ({failed} FOR UPDATE),
            numbered AS MATERIALIZED (
                SELECT *, nextval(pg_get_serial_sequence('django_q_ormq', 'id')) AS number
                FROM failed
            ),
            packages AS ({PACKAGES.format(cast="::timestamptz", numbered="numbered")}),
            records AS ({records})
            {JOBS.format(now=now(), numbered="numbered")}
            """,  # noqa: S608 - put together from this file alone
            values,
        )
        requeued: list[tuple[str, str]] = cursor.fetchall()
        cursor.execute("SET LOCAL enable_nestloop = DEFAULT")
    return requeued


def on_sqlite(chosen: str, values: dict[str, Any]) -> list[tuple[str, str]]:
    """As three statements, which see the same: the transaction is the only one that writes."""
    number = f", %(last)s + row_number() OVER (ORDER BY {ORDER}) AS number"
    numbered = f"({FAILED.format(number=number, chosen=chosen, order=ORDER)}) AS numbered"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'django_q_ormq'"
        )
        values["last"] = cursor.fetchone()[0]
        cursor.execute(PACKAGES.format(cast="", numbered=numbered), values)
        cursor.execute(JOBS.format(now=now(), numbered=numbered), values)
        requeued: list[tuple[str, str]] = cursor.fetchall()
        which, ids = condition("id", [task_id for task_id, _ in requeued])
        cursor.execute(RECORDS.format(chosen=which), [ids])
    return requeued
