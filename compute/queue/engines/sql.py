"""The common part of the engines' statements, by the names of tables and columns.

As SQL, because idle workers wait for it and pages ask every second: a claim through the ORM
took three times as long, most of it with SQLite's one write lock held.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

Rows = list[tuple[Any, ...]]

PACKAGE = "INSERT INTO django_q_ormq (key, payload, lock) VALUES (%(queue)s, %(payload)s, {lock})"
#: The other columns have their defaults in the database.
JOB = """
    INSERT INTO queue_job (
        task_id, "group", position, queue, queue_id, name, queued_at, flow_id, due_at, asked
    )
    SELECT %(task_id)s, %(task_id)s, 0, %(queue)s, {queue_id}, %(name)s, {queued_at}, {flow},
        {due_at}, %(asked)s
    {source}
"""

FLOW = "SELECT id, closed_at FROM queue_flow WHERE queue = %(queue)s AND key = %(key)s"
NEW_FLOW = """
    INSERT INTO queue_flow (queue, key, client, weight, at_once, pool, kind, kind_paused)
    SELECT %(queue)s, %(key)s, %(client)s, {weight}, {at_once}, %(pool)s, %(kind)s, EXISTS (
        SELECT 1 FROM queue_pause
        WHERE queue = %(queue)s AND kind = %(kind)s AND kind <> ''
    ) {source}
    ON CONFLICT (queue, key) DO NOTHING RETURNING id, closed_at
"""
SLOTS = """
    INSERT INTO queue_slot (pool, number, until) VALUES (%s, %s, {free})
    ON CONFLICT (pool, number) DO NOTHING
"""

#: A free slot of a flow that has a limit.
FREE_SLOT = """
    SELECT id FROM queue_slot
    WHERE pool = flow.pool AND number < flow.at_once AND until <= {now} ORDER BY number LIMIT 1
"""
#: A flow's tasks that may be claimed, by an index that has no others. As a range, so that for
#: Postgres no other index has their order.
WAITING = """
    job.flow_id BETWEEN {flow} AND {flow}
    AND job.state = 'queued' AND job.due_at IS NULL AND job.queue = %(queue)s
"""
#: The first of them. (Of EXISTS Postgres may make one look through all jobs there are.)
FIRST = f"""
    SELECT queue_id FROM queue_job AS job WHERE {WAITING}
    ORDER BY job.flow_id, job.queue_id LIMIT 1
"""
#: The first of one flow, which may have been paused since it had its turn.
MORE = f"""
    SELECT queue_id FROM queue_job AS job WHERE {WAITING.format(flow="%(flow)s")} {{place}}
    AND NOT (SELECT paused OR kind_paused FROM queue_flow WHERE id = %(flow)s)
    ORDER BY job.flow_id, job.queue_id LIMIT %(limit)s
"""
#: How often a task that was interrupted goes first. One that takes its whole node down each time
#: would keep all others from being done.
TIMES_FIRST = 3
#: Packages without a turn, by an index that has nothing that merely waits: those that were given
#: back by their holder's end, whose lease or pause has ended, or that stock django-q2 has written.
#: A task that needs a slot, or is paused, is put back into its line (`Flows.recoverable`). And what
#: a server of the version before has queued.
AGAIN = f"""
    SELECT * FROM (
        SELECT package.id, EXISTS (
            SELECT 1 FROM queue_job WHERE queue_id = package.id
                AND (state = 'running' OR (state = 'queued' AND lock = {{lost}}))
        )
        FROM django_q_ormq AS package
        WHERE key = %(queue)s AND lock > '2001-01-01' AND lock <= {{now}} {{others}}
        AND NOT EXISTS (
            SELECT 1 FROM queue_job AS job LEFT JOIN queue_flow AS flow ON flow.id = job.flow_id
            WHERE job.queue_id = package.id
                AND (at_once IS NOT NULL OR paused OR kind_paused
                    OR (state = 'queued' AND due_at IS NULL
                        AND (lock > {{next}} OR starts > {TIMES_FIRST})))
        )
        ORDER BY lock, package.id LIMIT %(limit)s {{lock_package}}
    ) AS again
    UNION ALL SELECT * FROM (
        SELECT job.queue_id, false FROM queue_job AS job
        WHERE {{waiting}} ORDER BY job.flow_id, job.queue_id LIMIT %(limit)s {{lock_job}}
    ) AS older
    LIMIT %(limit)s
"""
#: Interrupted tasks that need a slot.
INTERRUPTED = f"""
    SELECT {{columns}} FROM django_q_ormq AS package
    JOIN queue_job AS waiting ON waiting.queue_id = package.id
    JOIN queue_flow AS flow ON flow.id = waiting.flow_id {{locked}}
    WHERE package.key = %(queue)s AND lock > '2001-01-01' AND lock <= {{next}}
        AND waiting.state = 'queued' AND waiting.due_at IS NULL
        AND waiting.starts <= {TIMES_FIRST}
        AND at_once IS NOT NULL AND NOT (paused OR kind_paused) {{which}}
    LIMIT %(limit)s
"""
#: Packages that wait in no line: of no job, or of one that has settled.
ASTRAY = """
    UPDATE django_q_ormq SET lock = {up} WHERE key = %s AND lock <= '2001-01-01' AND NOT EXISTS (
        SELECT 1 FROM queue_job
        WHERE queue_id = django_q_ormq.id AND state IN ('queued', 'running')
    )
"""
#: Jobs that wait for a package which is gone, or run without one.
ORPHANS = """
    SELECT task_id FROM queue_job {by}
    WHERE queue = %s AND state IN ('queued', 'running') AND queue_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM django_q_ormq WHERE id = queue_job.queue_id
    )
    LIMIT %s
"""
LEASE = "UPDATE django_q_ormq SET lock = {end} WHERE id IN ({ids}) RETURNING id, payload"
#: A start, of a task of Django's framework: which it is, node, worker and moment, in a line.
TRIAL = """
    trials || CAST(attempt + 1 AS varchar) || ' ' || coalesce(CAST(%(node)s AS varchar), '-')
    || ' ' || CAST(coalesce(%(worker)s, 0) AS varchar) || ' ' || CAST({now_s} AS varchar) || ','
"""
TAKE = """
    UPDATE queue_job
    SET state = 'running', started_at = {now}, delivery = delivery + 1, attempt = attempt + 1,
        starts = starts + 1, progress = 0, node_id = %(node)s, worker = %(worker)s,
        due_at = NULL, trials = CASE WHEN asked = '' THEN trials ELSE {trial} END
    WHERE queue_id IN ({ids}) AND state IN ('queued', 'running')
    RETURNING queue_id, delivery, attempt, starts, flow_id
"""
#: It is nobody's then: a node that renews what it had a moment ago renews it no more.
VACATE = "UPDATE queue_slot SET until = {free}, queue_id = NULL {which}"

ADMIT = """
    INSERT INTO queue_job (
        task_id, "group", position, queue, queue_id, name, queued_at, started_at, state,
        delivery, attempt, starts, node_id, worker
    )
    VALUES (
        %(task_id)s, %(task_id)s, 0, %(queue)s, %(queue_id)s, %(name)s, {now}, {now}, 'running',
        1, 1, 1, %(node)s, %(worker)s
    )
    ON CONFLICT (task_id) DO NOTHING
"""

START = """
    UPDATE queue_job
    SET state = 'running', delivery = 1, attempt = 1, started_at = {now}, worker = %s
    WHERE task_id = %s AND state = 'queued'
"""

SETTLE = """
    UPDATE queue_job SET finished_at = {now}, {outcome}
    WHERE task_id = %s AND delivery = %s AND state IN ('queued', 'running')
"""
#: Of one of several that are written together. When it began and ended is told by how long ago.
SETTLE_DONE = """
    UPDATE queue_job
    SET started_at = {began}, finished_at = {ended}, state = 'done', result = {result}, payload = ''
"""
ACKNOWLEDGE = "DELETE FROM django_q_ormq WHERE id = %s"
RECORD = """
    INSERT INTO django_q_task ({columns}) SELECT {values} {source}
    ON CONFLICT (id) DO UPDATE SET {replaced}
"""

GIVE_BACK = """
    UPDATE queue_job
    SET state = 'queued', delivery = delivery + 1, node_id = NULL, worker = NULL, due_at = {due}
    {among}
    AND state IN ('queued', 'running') RETURNING queue_id
"""

#: The package is kept, so that one can go on.
CANCEL = """
    UPDATE queue_job SET state = 'cancelled', finished_at = {now}, error = %s, payload = coalesce(
        (SELECT package.payload FROM django_q_ormq AS package WHERE package.id = queue_id), payload
    )
    WHERE {chosen} AND state IN ('queued', 'running')
"""
CANCELLED = """
    SELECT queue_id FROM queue_job
    WHERE {chosen} AND state = 'cancelled' AND queue_id IS NOT NULL
"""

#: In the order in which they were queued before; locked in it, too, so that of two people
#: who press at the same time none waits for the other in a ring.
ENDED_SO = """
    SELECT task_id, queue, payload {number} FROM queue_job
    WHERE {chosen} AND state = '{state}' ORDER BY {order}
"""
ORDER = 'queued_at, "group", position'
PACKAGES = """
    INSERT INTO django_q_ormq (id, key, payload, lock)
    SELECT number, queue, payload, {free} FROM {numbered}
"""
REQUEUE = """
    UPDATE queue_job
    SET state = 'queued', queue_id = number, delivery = delivery + 1, node_id = NULL,
        worker = NULL, queued_at = {now}, started_at = NULL, finished_at = NULL, deaths = 0,
        starts = 0, error = '', error_class = '', payload = '', due_at = NULL
    FROM {numbered} WHERE queue_job.task_id = numbered.task_id
    RETURNING queue_job.task_id, "group", flow_id
"""
RECORDS = "DELETE FROM django_q_task WHERE NOT success AND {chosen}"

ENDED = """
    SELECT "group" FROM queue_job
    WHERE {chosen} AND finished_at < %s AND state NOT IN ('queued', 'running') {lock}
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


def in_columns(insert: str, record: dict[str, Any], **rest: str) -> str:
    """A statement that writes records with these columns, in their order."""
    quoted = [f'"{column}"' for column in record]
    replaced = ", ".join(f"{column} = excluded.{column}" for column in quoted)
    return insert.format(columns=", ".join(quoted), replaced=replaced, **rest)
