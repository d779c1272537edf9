"""Flows: what is changed of one while its tasks wait and run."""

from __future__ import annotations

import pytest
from django.db.models.functions import Now
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.broker import sharing
from compute.queue.fanout import async_iter
from compute.queue.models import Flow, Job
from compute.queue.sharing import Client, Pause, Priority, Slot
from tests.queue.conftest import LocalNode

pytestmark = pytest.mark.django_db

ADD = "tests.queue.functions.add"


def test_a_lone_task_is_of_its_functions_flow() -> None:
    for number in range(2):
        async_task(ADD, number)
    async_task("math.sqrt", 4)
    assert set(Flow.objects.values_list("key", "client")) == {(ADD, ADD), ("math.sqrt",) * 2}
    assert Job.objects.filter(flow__key=ADD).count() == 2


def test_a_group_is_a_flow_of_its_own_and_its_functions_client() -> None:
    group = async_iter(ADD, [1, 2])
    flow = Flow.objects.get()
    assert (flow.key, flow.client, flow.weight, flow.at_once) == (group, ADD, 1, None)
    assert {job.flow_id for job in Job.objects.all()} == {flow.pk}


def test_a_task_may_have_a_flow_of_its_own() -> None:
    task_id = async_task(ADD, 1, broker=sharing("ann", priority="urgent", at_once=2, kind="sum"))
    flow = Flow.objects.get()
    assert (flow.key, flow.client, flow.weight, flow.kind) == (task_id, "ann", 4, "sum")
    assert (flow.at_once, flow.pool, Slot.objects.filter(pool=task_id).count()) == (2, task_id, 2)
    assert (str(flow), flow.priority) == (task_id, "urgent")


def test_what_has_a_flows_key_joins_it_and_opens_it() -> None:
    group = async_iter(ADD, [1])
    Flow.objects.update(closed_at=Now())
    async_task(ADD, 2, broker=sharing(key=group))
    assert not Flow.objects.get().closed_at
    assert set(Job.objects.values_list("flow__key", flat=True)) == {group}


def test_flows_that_share_a_limit_have_the_same_slots() -> None:
    for _ in range(2):
        async_iter(ADD, [1], broker=sharing(at_once=3, pool="licences"))
    assert set(Flow.objects.values_list("pool", flat=True)) == {"licences"}
    assert list(Slot.objects.order_by("number").values_list("number", flat=True)) == [0, 1, 2]
    assert str(Slot.objects.first()) == "licences, 0"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"priority": "high"}, "'high' is not a valid Priority"),
        ({"at_once": 0}, "at_once is 0; give 1 or more, or None for no limit"),
    ],
)
def test_an_odd_wish_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        sharing(**options)  # type: ignore[arg-type]


def test_a_paused_flow_waits_and_goes_on_when_it_is_resumed(node: LocalNode) -> None:
    group = async_iter(ADD, [1, 2])
    running = node.claim_one()
    assert Flow.objects.filter(key=group).pause() == 1
    assert node.claim() == []
    node.work(running)
    assert Job.objects.get(pk=running["id"]).result == 1, "what runs, runs on"
    assert Flow.objects.filter(key=group).resume() == 1
    assert len(node.claim(5)) == 1


def test_a_new_flow_of_a_paused_kind_is_paused(node: LocalNode) -> None:
    pause = Pause.objects.create(queue="sumsite", kind="sum")
    Pause.objects.create(queue="sumsite")
    for kind in ("sum", "primes", ""):
        async_task(ADD, 1, broker=sharing(kind=kind))
    assert set(Flow.objects.filter(kind_paused=True).values_list("kind", flat=True)) == {"sum"}
    assert len(node.claim(5)) == 2
    assert (str(pause), str(Pause(queue="sumsite"))) == ("sum", "sumsite")


def test_a_priority_is_changed_while_a_flow_waits() -> None:
    async_task(ADD, 1)
    assert Flow.objects.get().priority == Priority.NORMAL
    assert Flow.objects.all().prioritize("background") == 1
    assert Flow.objects.get().weight == Priority.BACKGROUND.weight == 0.25
    assert Flow(weight=7).priority == "7"
    with pytest.raises(ValueError, match="soon"):
        Flow.objects.all().prioritize("soon")


def test_a_client_is_named() -> None:
    assert str(Client(name="ann")) == "ann"


def test_who_queued_it_before_there_were_flows_is_claimed_too(node: LocalNode) -> None:
    async_iter(ADD, [1, 2])
    Job.objects.update(flow_id=0)
    Flow.objects.all().delete()
    assert len(node.claim(5)) == 2
    assert transitions.claim("sumsite", 1, None) == []
