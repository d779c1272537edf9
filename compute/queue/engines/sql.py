"""What the engines' statements have in common, by the names of tables and columns.

As SQL, because idle workers wait for it and pages ask every second: a claim through the ORM
took three times as long, most of it with SQLite's one write lock held.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

Rows = list[tuple[Any, ...]]

PACKAGE = "INSERT INTO django_q_ormq (key, payload, lock) VALUES (%(queue)s, %(payload)s, {free})"
#: The other columns have their defaults in the database.
JOB = """
    INSERT INTO queue_job (task_id, "group", position, queue, queue_id, name, queued_at)
    SELECT %(task_id)s, %(task_id)s, 0, %(queue)s, {queue_id}, %(name)s, {queued_at} {source}
"""

CLAIMABLE = """
    SELECT id, lock > '2001-01-01' FROM django_q_ormq WHERE key = %(queue)s AND lock <= {now}
    ORDER BY id LIMIT %(limit)s
"""
LEASE = "UPDATE django_q_ormq SET lock = {end} WHERE id IN ({ids}) RETURNING id, payload"
TAKE = """
    UPDATE queue_job
    SET state = 'running', started_at = {now}, delivery = delivery + 1, attempt = attempt + 1,
        progress = 0, node_id = %(node)s, worker = %(worker)s
    WHERE queue_id IN ({ids}) AND state IN ('queued', 'running')
    RETURNING queue_id, delivery, attempt
"""

START = """
    UPDATE queue_job
    SET state = 'running', delivery = 1, attempt = 1, started_at = {now}, worker = %s
    WHERE task_id = %s
"""

SETTLE = """
    UPDATE queue_job SET finished_at = {now}, {outcome}
    WHERE task_id = %s AND delivery = %s AND state IN ('queued', 'running')
"""
ACKNOWLEDGE = "DELETE FROM django_q_ormq WHERE id = %s"
RECORD = """
    INSERT INTO django_q_task ({columns}) SELECT {values} {source}
    ON CONFLICT (id) DO UPDATE SET {replaced}
"""

GIVE_BACK = """
    UPDATE queue_job
    SET state = 'queued', delivery = delivery + 1, node_id = NULL, worker = NULL {among}
    AND state IN ('queued', 'running') RETURNING queue_id
"""

CANCEL = """
    UPDATE queue_job SET state = 'cancelled', finished_at = {now}, error = %s, payload = ''
    WHERE {chosen} AND state IN ('queued', 'running')
"""
CANCELLED = """
    SELECT queue_id FROM queue_job
    WHERE {chosen} AND state = 'cancelled' AND queue_id IS NOT NULL
"""

#: In the order in which they were queued before; locked in it, too, so that of two people
#: who press at the same time none waits for the other in a ring.
FAILED = """
    SELECT task_id, queue, payload {number} FROM queue_job
    WHERE {chosen} AND state = 'failed' ORDER BY {order}
"""
ORDER = 'queued_at, "group", position'
PACKAGES = """
    INSERT INTO django_q_ormq (id, key, payload, lock)
    SELECT number, queue, payload, {free} FROM {numbered}
"""
REQUEUE = """
    UPDATE queue_job
    SET state = 'queued', queue_id = number, node_id = NULL, worker = NULL, queued_at = {now},
        started_at = NULL, finished_at = NULL, deaths = 0, error = '', error_class = '',
        payload = ''
    FROM {numbered} WHERE queue_job.task_id = numbered.task_id
    RETURNING queue_job.task_id, "group"
"""
RECORDS = "DELETE FROM django_q_task WHERE NOT success AND {chosen}"

ENDED = """
    SELECT "group" FROM queue_job
    WHERE {chosen} AND finished_at < %s AND state NOT IN ('queued', 'running') {lock}
"""

COUNT = """
    INSERT INTO queue_tally (func, kind, value) VALUES {rows}
    ON CONFLICT (func, kind) DO UPDATE SET value = queue_tally.value + excluded.value
"""


def fetch(statement: str, values: Any = ()) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: Rows = cursor.fetchall()
    return rows


def execute(statement: str, values: Any) -> int:
    """How many rows were written."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)
