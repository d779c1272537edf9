from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.broker import sharing
from compute.queue.engines.sqlite.front import FEW
from compute.queue.fanout import async_iter
from compute.queue.models import Flow, Job, JobState
from compute.queue.sharing import Slot
from tests.queue.conftest import LocalNode, expire_leases, the_id

pytestmark = [pytest.mark.sqlite, pytest.mark.django_db(transaction=True)]


def claim(limit: int = 1, limited: bool = False) -> list[int]:
    claimed = transitions.claim("sumsite", limit, None, again_first=False, limited=limited)
    return [lease.queue_id for lease, _ in claimed]


def looks() -> list[str]:
    """For what is next, with the right to write."""
    with CaptureQueriesContext(connection) as queries:
        assert claim()
    return [query["sql"] for query in queries.captured_queries if "ORDER BY" in query["sql"]]


def test_who_finds_nothing_asks_for_no_right_to_write() -> None:
    async_iter("math.sqrt", [1], broker=sharing("ann"))
    Flow.objects.all().pause()
    with CaptureQueriesContext(connection) as queries:
        assert claim() == []
        assert claim(limited=True) == []
    assert {query["sql"].split()[0] for query in queries.captured_queries} == {"SELECT"}


def test_only_a_few_flows_are_looked_at_if_one_has_something() -> None:
    for number in range(2 * FEW):
        async_iter("math.sqrt", [number], broker=sharing("ann"))
    (look,) = looks()
    assert f"LIMIT {FEW}" in look


def test_flows_without_a_task_hide_none_behind_them() -> None:
    for number in range(2 * FEW):
        async_iter("math.sqrt", [number], broker=sharing("ann"))
    empty = Flow.objects.order_by("pk")[:FEW]
    Job.objects.filter(flow__in=list(empty)).update(state=JobState.DONE)
    assert len(looks()) == 1
    assert len(claim(2 * FEW)) == FEW - 1


def test_a_slot_is_taken_with_its_task() -> None:
    async_iter("math.sqrt", [1, 2], broker=sharing("ann", at_once=1))
    (queue_id,) = claim(2, limited=True)
    assert Slot.objects.get().queue_id == queue_id
    assert claim(limited=True) == []


def test_what_a_node_has_is_passed_over_and_more_is_found_behind_it(node: LocalNode) -> None:
    jobs = [Job.objects.get(pk=async_task("os.getpid")) for _ in range(3)]
    assert len(transitions.claim("sumsite", 3, node.row.pk)) == 3
    expire_leases()
    held = [the_id(job) for job in jobs[:2]]
    ((lease, _),) = transitions.claim("sumsite", 3, node.row.pk, held)
    assert (lease.queue_id, lease.expired, lease.delivery) == (the_id(jobs[2]), True, 2)


def test_what_the_node_has_at_work_is_passed_over() -> None:
    for number in range(2):
        async_task("math.sqrt", number)
    held, other = claim(2)
    expire_leases()
    ((lease, _),) = transitions.claim("sumsite", 2, None, held=[held])
    assert lease.queue_id == other


def test_who_has_the_right_to_write_asks_once() -> None:
    async_task("math.sqrt", 4)
    with transaction.atomic():
        assert len(looks()) == 1
    assert claim() == []
