"""A part of measure 6: what an idle claim costs, beside rows that it has nothing to do with.

In one session: with an empty queue, then beside another queue's 200,000 rows; and on Postgres,
with those gone, beside 60,000 dead rows of its own queue that an open snapshot keeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from bench.system import Nodes, System

#: How many claims a median is of.
CLAIMS = 200
#: Seconds until the autovacuum and what a worker remembers of the queue have followed.
SETTLE_S = 16
FUNCTION = "math.floor"


def measure(name: str, system: System, nodes: Nodes, options: dict[str, Any]) -> dict[str, Any]:
    """Microseconds of an idle claim, and by what factor others' rows and dead ones slow it."""
    from compute.queue.broker import sharing
    from compute.queue.fanout import async_iter

    claim = claiming()
    alone = typical(claim)
    runs, chunks = options["foreign"]
    for number in range(runs):
        async_iter(FUNCTION, range(chunks), broker=sharing(f"client {number}", cluster="others"))
    execute("ANALYZE")
    found = {"claim_us": round(alone * 1e6), "claim_foreign": round(typical(claim) / alone, 2)}
    if "postgres" in name:
        found["claim_dead"] = round(beside_dead_rows(claim, options["dead"]) / alone, 2)
    return found


def claiming() -> Callable[[], Any]:
    """A claim as an idle worker makes it, of a node that is there."""
    from django.utils.timezone import now
    from django_q.conf import Conf

    from compute.queue import transitions
    from compute.queue.models import Node

    at = now()
    node = Node.objects.create(pk="a" * 32, name="bench", pid=1, started_at=at, seen_at=at)

    def claim(count: int = 1) -> Any:
        return transitions.claim(
            Conf.CLUSTER_NAME, count, node.pk, again_first=False, limited=False
        )

    return claim


def typical(claim: Callable[[], Any]) -> float:
    """The median's seconds of one that finds nothing."""
    took = []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        nothing = not claim()
        took.append(time.perf_counter() - began)
        assert nothing, "the queue is not idle"
    return median(took)


def beside_dead_rows(claim: Callable[..., Any], count: int) -> float:
    """The same once so many tasks have come and gone since a snapshot that is still open."""
    from compute.queue.engines.postgres.sessions import own_connection
    from compute.queue.fanout import async_iter
    from compute.queue.node.channels import SLOW_POLL_S

    with own_connection() as snapshot:
        snapshot.autocommit = True
        snapshot.execute("SET idle_in_transaction_session_timeout = 0")
        snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT count(*) FROM queue_job").fetchone()
        async_iter(FUNCTION, range(count))
        while claimed := claim(500):
            ids = [lease.queue_id for lease, _ in claimed]
            execute("UPDATE queue_job SET state = 'done' WHERE queue_id = ANY(%s)", ids)
            execute("DELETE FROM django_q_ormq WHERE id = ANY(%s)", ids)
        execute("ANALYZE")
        until = time.monotonic() + SETTLE_S
        while time.monotonic() < until:  # as an idle worker does
            assert not claim(), "the queue is not idle"
            time.sleep(SLOW_POLL_S)
        return typical(claim)


def execute(statement: str, *parameters: Any) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
