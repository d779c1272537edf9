"""The start of a job: its package in the queue and its row, in one write.

As SQL, like the claim and the outcome, and for the same reason: on Postgres it is one
statement, where two rows, a notification and a transaction around them were five.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from .models import FREE
from .wakeup import CHANNEL, notify
from .writes import turn

PACKAGE = "INSERT INTO django_q_ormq (key, payload, lock) VALUES (%(queue)s, %(payload)s, %(free)s)"
#: The other columns have their defaults in the database.
JOB = """
    INSERT INTO queue_job (task_id, "group", position, queue, queue_id, name, queued_at)
    SELECT %(task_id)s, %(group)s, 0, %(queue)s, {queue_id}, %(name)s, {queued_at} {source}
"""


def enter(queue: str, payload: str, task: dict[str, Any] | None) -> int:
    """Put a package into a queue, and the job of its task, if it has one; the queue id.

    Both or neither, with the caller's transaction if there is one, and its commit wakes
    the nodes.
    """
    adapt = connection.ops.adapt_datetimefield_value
    values = {"queue": queue, "payload": payload, "free": adapt(FREE)}
    if task:
        values |= {
            "task_id": task["id"],
            "group": task["id"],
            "name": task["name"],
            "queued_at": adapt(task["started"]),
        }
    return (on_postgres if connection.vendor == "postgresql" else on_sqlite)(values, bool(task))


def on_postgres(values: dict[str, Any], with_job: bool) -> int:
    job = JOB.format(queue_id="id", queued_at="%(queued_at)s::timestamptz", source="FROM package")
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH package AS ({PACKAGE} RETURNING id) {f", job AS ({job})" if with_job else ""}
            SELECT id, pg_notify('{CHANNEL}', '') FROM package
            """,  # noqa: S608 - put together from this file alone
            values,
        )
        return int(cursor.fetchone()[0])


def on_sqlite(values: dict[str, Any], with_job: bool) -> int:
    with turn(), connection.cursor() as cursor:
        cursor.execute(PACKAGE, values)
        queue_id = int(cursor.lastrowid)
        if with_job:
            job = JOB.format(queue_id="%(queue_id)s", queued_at="%(queued_at)s", source="")
            cursor.execute(job, {**values, "queue_id": queue_id})
        notify()
    return queue_id
