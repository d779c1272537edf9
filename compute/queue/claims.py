"""The claim: one statement on Postgres, one IMMEDIATE write on SQLite.

As SQL, for this is what idle workers wait for: through the ORM it took three times as
long, most of it with SQLite's one write lock held, which the other workers want.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from .writes import turn

FREE = """
    SELECT id, lock > '2001-01-01' FROM django_q_ormq WHERE key = %(key)s AND lock <= {now}
    ORDER BY id LIMIT %(limit)s
"""
LEASE = """
    UPDATE django_q_ormq SET lock = {end} WHERE id IN ({ids}) RETURNING id, payload
"""
TAKE = """
    UPDATE queue_job
    SET state = 'running', started_at = {now}, delivery = delivery + 1, attempt = attempt + 1,
        progress = 0, node_id = %(node)s, worker = %(worker)s
    WHERE queue_id IN ({ids}) AND state IN ('queued', 'running')
    RETURNING queue_id, delivery, attempt
"""


class Lease(NamedTuple):
    """The right of one claim to run a queued package, until its time is up."""

    queue_id: int
    #: Which handing-over of its job this is, from 1; 0 if no unsettled job wants the package.
    delivery: int = 0
    attempt: int = 0
    #: Whether somebody held it before, who has neither ended the job nor given it back in time.
    expired: bool = False


def claim(key: str, limit: int, node: str | None) -> list[tuple[Lease, str]]:
    """Lease the oldest free packages of the queue `key`, and set their jobs running.

    At most `limit`, each with its payload, none that another claim holds; the lease is
    for `Q_LEASE` seconds on the database's clock.
    """
    values = {
        "key": key,
        "limit": limit,
        "lease": settings.Q_LEASE,
        "node": node,
        "worker": os.getpid() if node else None,
    }
    return (on_postgres if connection.vendor == "postgresql" else on_sqlite)(values)


def now() -> str:
    """The database's clock, in SQL with parameters."""
    if connection.vendor == "postgresql":
        return "statement_timestamp()"
    return "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"


def on_postgres(values: dict[str, Any]) -> list[tuple[Lease, str]]:
    end = f"{now()} + make_interval(secs => %(lease)s)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH free (id, held) AS MATERIALIZED (
                {FREE.format(now=now())} FOR UPDATE SKIP LOCKED
            ),
            leased AS ({LEASE.format(end=end, ids="SELECT id FROM free")}),
            taken AS ({TAKE.format(now=now(), ids="SELECT id FROM free")})
            SELECT id, coalesce(delivery, 0), coalesce(attempt, 0), held AND attempt > 1, payload
            FROM leased JOIN free USING (id) LEFT JOIN taken ON queue_id = id ORDER BY id
            """,  # noqa: S608 - put together from this file alone
            values,
        )
        return [
            (Lease(queue_id, delivery, attempt, bool(expired)), payload)
            for queue_id, delivery, attempt, expired, payload in cursor.fetchall()
        ]


def on_sqlite(values: dict[str, Any]) -> list[tuple[Lease, str]]:
    end = now().replace("'now'", "'now', '+' || %(lease)s || ' seconds'")
    free = FREE.format(now=now())
    with connection.cursor() as cursor:
        if not connection.in_atomic_block:  # where the write lock is held already
            cursor.execute(free, values)
            if not cursor.fetchall():  # an idle node takes no write lock
                return []
        with turn():
            cursor.execute(free, values)
            held = dict(cursor.fetchall())
            if not held:
                return []
            ids = ", ".join(map(str, held))
            cursor.execute(LEASE.format(end=end, ids=ids), values)
            payloads = sorted(cursor.fetchall())
            cursor.execute(TAKE.format(now=now(), ids=ids), values)
            taken = {queue_id: rest for queue_id, *rest in cursor.fetchall()}
    leases = [Lease(queue_id, *taken.get(queue_id, ())) for queue_id, _ in payloads]
    return [
        (lease._replace(expired=bool(held[lease.queue_id]) and lease.attempt > 1), payload)
        for lease, (_, payload) in zip(leases, payloads, strict=True)
    ]
