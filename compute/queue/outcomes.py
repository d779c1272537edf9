"""The end of a job: its outcome, its package and django-q2's record, in one write.

As SQL, like the claim, and for the same reason. On Postgres it is one statement also
because a process that freezes (SIGSTOP, a suspended machine) between two would leave
rows locked, and whoever took the job over would have to wait until it thaws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import connection, models

from .claims import now
from .writes import turn

if TYPE_CHECKING:
    from django_q.models import Task

    from .models import Job

SETTLE = """
    UPDATE queue_job SET finished_at = {now}, {outcome}
    WHERE task_id = %s AND delivery = %s AND state IN ('queued', 'running')
"""
ACKNOWLEDGE = "DELETE FROM django_q_ormq WHERE id = %s"
RECORD = """
    INSERT INTO django_q_task ({columns}) SELECT {values} {source}
    ON CONFLICT (id) DO UPDATE SET {replaced}
"""


def settle(
    job: Job,
    outcome: dict[str, Any],
    record: Task | None,
    then: Callable[[], None] | None = None,
) -> bool:
    """End a job, acknowledge its package and keep the record, if any: all or nothing.

    Of the job its `task_id`, `delivery` and `queue_id` are looked at; `outcome` is what
    to set. False, and nothing is written, if it has settled or that delivery counts no more.
    What SQLite's one write at a time is to do besides is `then`; Postgres does not call it.
    """
    postgres = connection.vendor == "postgresql"
    values = prepared(outcome, type(job))
    update = (
        SETTLE.format(now=now(), outcome=", ".join(f"{column} = %s" for column in values)),
        [*values.values(), job.task_id, job.delivery],
    )
    values = prepared(vars(record), type(record)) if record else {}
    insert = (
        RECORD.format(
            columns=", ".join(values),
            values=", ".join(["%s"] * len(values)),
            source="FROM settled" if postgres else "WHERE true",  # or ON would be a join's
            replaced=", ".join(f"{column} = excluded.{column}" for column in values),
        ),
        [*values.values()],
    )
    delete = (ACKNOWLEDGE, [job.queue_id])
    if postgres:
        return on_postgres(update, delete, insert if record else None)
    return on_sqlite(update, delete, insert if record else None, then)


#: An SQL statement and its parameters.
Statement = tuple[str, list[Any]]


def on_postgres(update: Statement, delete: Statement, insert: Statement | None) -> bool:
    recorded, values = insert or ("SELECT", [])
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH settled AS ({update[0]} RETURNING 1),
            acknowledged AS ({delete[0]} AND EXISTS (SELECT FROM settled)),
            recorded AS ({recorded})
            SELECT count(*) FROM settled
            """,  # noqa: S608 - put together from this file alone
            [*update[1], *delete[1], *values],
        )
        return bool(cursor.fetchone()[0])


def on_sqlite(
    update: Statement,
    delete: Statement,
    insert: Statement | None,
    then: Callable[[], None] | None,
) -> bool:
    with turn(), connection.cursor() as cursor:
        cursor.execute(*update)
        if cursor.rowcount == 0:
            return False
        cursor.execute(*delete)
        if insert:
            cursor.execute(*insert)
        if then:
            then()
    return True


def prepared(values: dict[str, Any], model: type[models.Model]) -> dict[str, Any]:
    """Values of a model's fields as the database takes them, by quoted column."""
    return {
        connection.ops.quote_name(str(field.column)): field.get_db_prep_save(
            values[field.attname], connection
        )
        for field in model._meta.concrete_fields
        if field.attname in values
    }
