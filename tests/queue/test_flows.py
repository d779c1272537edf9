"""The open flows at a glance."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django_q.tasks import async_task

from compute.queue import flows
from compute.queue.broker import sharing
from compute.queue.fanout import async_iter
from compute.queue.models import Flow, Job, JobState, Node
from tests.queue.conftest import LocalNode
from tests.queue.test_cost import plans

ADD = "tests.queue.functions.add"


def running() -> dict[int, int]:
    return flows.counted(flows.at_work(Node.objects.all()))


def test_a_flow_is_told_of_while_something_of_it_waits_or_runs(db: None, node: LocalNode) -> None:
    first = async_iter(ADD, [1, 2, 3], broker=sharing(kind="red"))
    async_task(ADD, 4)
    node.claim(2)
    lines = flows.lines(running(), most=5)
    assert [(line.flow.key, line.waiting, line.at_work) for line in lines.shown] == [
        (first, 1, 2),
        (ADD, 1, 0),
    ]
    assert (lines.more, lines.seconds) == (0, 0)
    Flow.objects.filter(key=first).update(seconds=12.5)
    Job.objects.in_group(first).cancel("no more")
    node.claim(1)
    lines = flows.lines(running(), most=5)
    assert [(line.flow.key, line.waiting, line.at_work) for line in lines.shown] == [(ADD, 0, 1)]
    assert lines.seconds == 0


def test_the_first_are_those_at_work_and_others_are_counted(db: None, node: LocalNode) -> None:
    for number in range(4):
        async_task(ADD, number, broker=sharing(f"client {number}", key=f"flow {number}"))
    Flow.objects.update(seconds=2)
    node.claim_one()
    last = Flow.objects.get(key="flow 3")
    Job.objects.filter(flow__key="flow 0").update(flow=last)
    lines = flows.lines(running(), most=2)
    assert [line.flow.key for line in lines.shown] == ["flow 3", "flow 1"]
    assert (lines.more, lines.seconds) == (1, 6)


def test_nothing_to_tell(db: None) -> None:
    assert flows.lines({}, most=5) == ([], 0, 0.0)


def test_slots_are_those_of_a_pool(db: None, node: LocalNode) -> None:
    assert flows.slots([]) == ({}, {})
    for number in range(2):
        broker = sharing(at_once=number + 2, pool="licences", key=f"flow {number}")
        async_task(ADD, number, broker=broker)
    async_iter(ADD, [1, 2], broker=sharing(at_once=1))
    async_task(ADD, 5)
    assert flows.slots(Flow.objects.all()) == ({"licences": 0, "": 0}, {"licences": 3, "": 1})
    for _ in range(4):
        node.claim()
    used, free = flows.slots(Flow.objects.all())
    assert (used, free) == ({"licences": 2, "": 1}, {"licences": 1, "": 0})
    lines = flows.lines(running(), most=5)
    assert {line.flow.key: line.taken for line in lines.shown}["flow 0"] == 2


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"key": "a" * 32, "client": "account 5", "kind": "sum"}, "sum"),
        ({"key": ADD, "client": ADD}, ADD),
        ({"key": ADD, "client": ADD, "kind": "sum"}, "sum"),
        ({"key": "a" * 32, "client": ADD}, ""),
    ],
)
def test_what_a_flow_counts_as(fields: dict[str, str], kind: str) -> None:
    assert flows.kind_of(Flow(**fields)) == kind


def test_what_waits_is_counted_by_its_own_index(db: None, node: LocalNode) -> None:
    for number in range(20):
        group = async_iter(ADD, range(100 * number))
    Job.objects.in_group(group).order_by().update(state=JobState.DONE, node=node.row)
    node.claim(3)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as queries:
        flows.lines(running(), most=5)
    assert len(queries) == 4
    plan = plans(queries)
    assert "job_waiting" in plan
    assert "job_held" in plan or connection.vendor == "postgresql", plan


def test_what_waits_for_a_time_waits_for_no_worker(db: None) -> None:
    async_iter(ADD, [1, 2, 3])
    due, ahead, _ = Job.objects.order_by("position")
    Job.objects.filter(pk=due.pk).update(due_at=Now() - timedelta(seconds=9))
    Job.objects.filter(pk=ahead.pk).update(due_at=Now() + timedelta(seconds=9))
    assert [job.pk for job in flows.deferred()] == [ahead.pk]
    assert flows.waiting().count() == 1
    async_iter(ADD, range(2000))  # beside few rows Postgres takes any index
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE queue_job")
    with CaptureQueriesContext(connection) as queries:
        flows.deferred().count()
    assert "job_due" in plans(queries)
