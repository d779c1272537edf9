"""Whose turn it is, on whichever database the tests have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.broker import sharing
from compute.queue.engines import engine
from compute.queue.engines.sql import TIMES_FIRST
from compute.queue.fanout import async_iter
from compute.queue.models import Flow, Job, JobState
from compute.queue.sharing import Client, Slot
from tests.conftest import About
from tests.queue.conftest import LocalNode, expire_leases

pytestmark = pytest.mark.django_db

ADD = "tests.queue.functions.add"
QUEUE = "sumsite"


def flow(client: str, jobs: int = 3, **options: object) -> Flow:
    """A flow with so much that waits."""
    group = async_iter(ADD, range(jobs), broker=sharing(client, **options))  # type: ignore[arg-type]
    return Flow.objects.get(key=group)


def charge(flow: Flow, seconds: float) -> None:
    engine().charge(QUEUE, flow.pk, seconds)


def take(node: LocalNode) -> Flow:
    """Whose turn it is; each task that was claimed stays claimed."""
    return Flow.objects.get(jobs=node.claim_one()["id"])


def turns(node: LocalNode, count: int, seconds: float = 1) -> Iterator[Flow]:
    """Whose turn it is so many times, each for so long."""
    for _ in range(count):
        chosen = take(node)
        charge(chosen, seconds)
        yield chosen


# --- whose turn -----------------------------------------------------------------------


def test_who_was_served_least_is_next(node: LocalNode) -> None:
    ann, bob = flow("ann"), flow("bob")
    charge(ann, 1)
    charge(bob, 1)  # on top of what the least served has had
    assert take(node) == ann
    charge(ann, 2)
    assert take(node) == bob


def test_clients_get_the_same_however_many_runs_one_has(node: LocalNode) -> None:
    anns, bob = [flow("ann", 10) for _ in range(5)], flow("bob", 20)
    had = Counter(turns(node, 30))
    assert abs(had[bob] - 15) <= 1
    assert {had[each] for each in anns} <= {3, 4}


def test_long_tasks_count_for_as_long_as_they_take(node: LocalNode) -> None:
    ann, bob = flow("ann", 50), flow("bob", 50)
    spent: Counter[Flow] = Counter()
    for _ in range(44):
        chosen = take(node)
        seconds = 10 if chosen == ann else 1
        charge(chosen, seconds)
        spent[chosen] += seconds
    assert abs(spent[ann] - spent[bob]) <= 11, "the longest, and one more"


@pytest.mark.parametrize("clients", [("ann", "ann"), ("ann", "bob")])
def test_a_priority_is_a_multiple_of_worker_seconds(
    node: LocalNode, clients: tuple[str, str]
) -> None:
    urgent, normal = flow(clients[0], 50, priority="urgent"), flow(clients[1], 50)
    had = Counter(turns(node, 50))
    assert had[urgent] == 4 * had[normal] == 40


def test_nothing_starves(node: LocalNode) -> None:
    background, _ = flow("ann", 10, priority="background"), flow("ann", 100, priority="urgent")
    assert background in set(turns(node, 34))


def test_who_is_alone_gets_everything(node: LocalNode) -> None:
    ann = flow("ann")
    charge(ann, 1000)
    assert set(turns(node, 3)) == {ann}
    assert node.claim() == []


def test_a_newcomer_is_next_and_then_as_others_are(node: LocalNode) -> None:
    ann = flow("ann", 20)
    charge(ann, 1000)
    bob = flow("bob", 20)
    assert Counter(turns(node, 11)) == {bob: 6, ann: 5}


def test_a_clients_new_run_is_next_and_then_as_its_others_are(node: LocalNode) -> None:
    old = flow("ann", 20)
    charge(old, 1000)
    new = flow("ann", 20)
    first, *rest = turns(node, 11)
    assert first == new
    assert abs(rest.count(new) - rest.count(old)) <= 2


def test_in_a_flow_the_oldest_is_next(node: LocalNode) -> None:
    flow("ann", 4)
    assert [node.claim_one()["args"] for _ in range(4)] == [(0,), (1,), (2,), (3,)]


# --- lifted, closed, opened -----------------------------------------------------------


def test_who_needs_nothing_gains_nothing_for_later(node: LocalNode) -> None:
    """Paused for an hour, it would else have the workers alone for the next."""
    ann, bob, also_anns = flow("ann", 20), flow("bob", 20), flow("ann", 20)
    for each in (ann, bob, also_anns):
        charge(each, 1)
    Flow.objects.filter(client="ann").pause()
    charge(bob, 1000)
    engine().lift(QUEUE)
    Flow.objects.filter(client="ann").resume()
    assert Counter(each.client for each in turns(node, 10)) == {"ann": 5, "bob": 5}


def test_a_run_that_was_paused_is_lifted_to_its_clients_others(node: LocalNode) -> None:
    one, other = flow("ann", 20), flow("ann", 20)
    charge(one, 1)
    charge(other, 1)
    Flow.objects.filter(pk=one.pk).pause()
    charge(other, 1000)
    engine().lift(QUEUE)
    Flow.objects.filter(pk=one.pk).resume()
    assert Counter(turns(node, 10)) == {one: 5, other: 5}


def test_who_had_more_than_others_is_not_forgiven_by_going(node: LocalNode) -> None:
    ann, bob = flow("ann", 1), flow("bob", 9)
    charge(bob, 5)
    charge(ann, 10)  # on top of what the least served has had
    node.work(node.claim_one())
    Flow.objects.filter(pk=ann.pk).update(closed_at=Now())
    engine().lift(QUEUE)
    assert Client.objects.filter(name="ann").exists()
    charge(bob, 100)
    engine().lift(QUEUE)
    assert not Client.objects.filter(name="ann").exists()


def test_clients_are_forgotten_when_nobody_waits(node: LocalNode) -> None:
    charge(flow("ann", 1), 5)
    node.run()
    Flow.objects.update(closed_at=Now())
    engine().lift(QUEUE)
    assert not Client.objects.exists()


def long_open() -> None:
    Flow.objects.update(opened_at=Now() - timedelta(minutes=1))


def test_a_flow_is_closed_when_its_group_is_through(node: LocalNode) -> None:
    through, waiting = flow("ann", 1), flow("bob", 2)
    running = flow("eve", 1)
    Job.objects.filter(flow=through).update(state=JobState.DONE)
    Job.objects.filter(flow=running).update(state=JobState.RUNNING)
    engine().tidy(QUEUE)
    assert Flow.objects.filter(closed_at=None).count() == 3, "just opened"
    long_open()
    engine().tidy(QUEUE)
    assert set(Flow.objects.filter(closed_at=None)) == {waiting, running}


def test_a_functions_flow_stays_open(node: LocalNode) -> None:
    async_task(ADD, 1)
    node.run()
    long_open()
    engine().tidy(QUEUE)
    assert not Flow.objects.get().closed_at


def test_a_flow_stays_open_for_what_combines_its_group(node: LocalNode) -> None:
    group = flow("ann", 1)
    node.run()
    async_task(ADD, 1, broker=sharing(key=group.key))
    long_open()
    engine().tidy(QUEUE)
    assert not Flow.objects.get().closed_at


def test_what_waits_in_a_closed_flow_is_not_forgotten(node: LocalNode) -> None:
    shut, _ = flow("ann"), flow("bob")
    Flow.objects.filter(pk=shut.pk).update(closed_at=Now())
    assert {take(node).client for _ in range(3)} == {"bob"}
    engine().tidy(QUEUE)
    assert take(node) == shut


def test_a_flow_that_is_opened_again_begins_as_its_clients_newest(node: LocalNode) -> None:
    long_ago, other = flow("ann"), flow("ann")
    charge(long_ago, 1)
    Flow.objects.filter(pk=long_ago.pk).update(closed_at=Now())
    charge(other, 1000)
    engine().open([long_ago.pk, other.pk])
    assert Flow.objects.get(pk=other.pk).served == 1000
    assert Counter(turns(node, 4)) == {long_ago: 2, other: 2}


def test_a_flow_of_a_client_of_whom_nothing_is_known_begins_anew(node: LocalNode) -> None:
    stranger, other = flow("ann"), flow("bob")
    charge(stranger, 1000)
    charge(other, 1)
    Flow.objects.filter(pk=stranger.pk).update(client="cid")  # as a server of the version before
    assert engine().lift(QUEUE) == 2
    assert Flow.objects.get(pk=stranger.pk).served is None
    assert Flow.objects.get(pk=other.pk).served == 1
    assert take(node) == stranger


def test_what_is_retried_opens_its_flow(node: LocalNode) -> None:
    flow("ann", 1)
    Job.objects.update(state=JobState.FAILED, payload="package")
    Flow.objects.update(closed_at=Now())
    assert Job.objects.all().retry() == 1
    assert not Flow.objects.get().closed_at


# --- at most so many at once ----------------------------------------------------------


def test_no_more_are_claimed_than_there_are_slots(node: LocalNode) -> None:
    limited, other = flow("ann", 5, at_once=2), flow("bob", 5)
    had = Counter(take(node) for _ in range(7))
    assert had == {limited: 2, other: 5}
    assert node.claim() == []


def test_of_many_that_are_claimed_at_once_each_has_its_slot(node: LocalNode) -> None:
    flow("ann", 5, at_once=2)
    assert len(node.claim(5)) == 1
    assert len(node.claim(5)) == 1
    assert node.claim(5) == []
    assert Slot.objects.filter(until__gt=Now(), queue_id__isnull=False).count() == 2


@pytest.mark.parametrize("end", ["done", "given back", "failed", "cancelled"])
def test_a_slot_is_free_when_its_task_is_no_more_at_work(node: LocalNode, end: str) -> None:
    flow("ann", 3, at_once=1)
    task = node.claim_one()
    job = Job.objects.filter(pk=task["id"])
    assert node.claim() == []
    if end == "done":
        node.work(task)
    elif end == "given back":
        job.give_back()
    elif end == "failed":
        job.fail("its worker died", "WorkerDied")
    else:
        job.cancel("cancelled by boss")
    assert len(node.claim(3)) == 1


def test_a_slot_is_held_as_long_as_its_lease(node: LocalNode) -> None:
    flow("ann", 2, at_once=1)
    lease = node.claim_one()["ack_id"]
    assert lease.is_limited
    engine().hold([lease.queue_id], 1000)
    assert Slot.objects.filter(until__gt=Now() + timedelta(seconds=900)).exists()


def test_when_its_lease_ends_slot_and_task_are_up_again(node: LocalNode) -> None:
    flow("ann", 2, at_once=1)
    first = node.claim_one()
    expire_leases()
    Slot.objects.update(until=Now())
    assert node.claim()[0]["id"] != first["id"], "who has lost it waits in line for a slot"
    assert transitions.recover(QUEUE) == 1
    assert node.claim() == []
    Slot.objects.update(until=Now())
    (again,) = node.claim()
    assert (again["id"], again["ack_id"].expired) == (first["id"], True)


def test_an_outcome_that_comes_too_late_frees_nobody_elses_slot(
    node: LocalNode, other_node: LocalNode
) -> None:
    flow("ann", 2, at_once=1)
    late = node.claim_one()
    expire_leases()
    Slot.objects.update(until=Now())
    transitions.recover(QUEUE)
    again = other_node.claim_one()
    assert again["id"] == late["id"]
    node.work(late)
    assert Slot.objects.filter(until__gt=Now()).count() == 1
    assert node.claim() == []
    other_node.work(again)
    assert node.claim_one()


def test_what_needs_a_slot_is_not_claimed_ahead_of_its_turn(node: LocalNode) -> None:
    flow("ann", 2, at_once=1)
    assert transitions.claim(QUEUE, 1, None, limited=None) == []
    other = flow("bob", 1)
    ((lease, _),) = transitions.claim(QUEUE, 1, None, limited=False)
    assert lease.flow == other.pk
    ((lease, _),) = transitions.claim(QUEUE, 1, None, limited=False)
    assert lease.is_limited, "when nothing else waits"


def test_whether_there_are_limits_is_known() -> None:
    flow("ann")
    assert not engine().has_limits(QUEUE)
    flow("ann", at_once=1)
    assert engine().has_limits(QUEUE)


# --- back in line ---------------------------------------------------------------------


def test_what_was_lost_and_what_is_due_go_back_to_their_places(node: LocalNode) -> None:
    flow("ann", 4)
    lost, due, held, _ = node.claim(4)
    Job.objects.filter(pk=due["id"]).postpone()
    assert Job.objects.get(pk=due["id"]).due_at
    expire_leases()
    assert transitions.recover(QUEUE, held=[held["ack_id"].queue_id]) == 3
    waiting = Job.objects.filter(state=JobState.QUEUED, due_at=None)
    assert {lost["id"], due["id"]} <= set(waiting.values_list("pk", flat=True))
    assert Job.objects.get(pk=held["id"]).state == JobState.RUNNING


@pytest.mark.parametrize("expired", [False, True])
def test_what_was_interrupted_goes_before_those_whose_turn_it_is(
    node: LocalNode, expired: bool
) -> None:
    ann = flow("ann", 3)
    interrupted, left, _ = node.claim(3)
    charge(ann, 100)
    bob = flow("bob", 4)
    Job.objects.filter(pk=left["id"]).leave()
    if expired:
        expire_leases()
        assert transitions.recover(QUEUE) == 2
    else:
        Job.objects.filter(pk=interrupted["id"]).give_back()
    assert claim_as(again_first=False) == (bob.pk, False), "not each time"
    assert claim_as(again_first=True) == (ann.pk, expired)
    assert claim_as(again_first=True) == ((ann if expired else bob).pk, expired)
    assert claim_as(again_first=True) == (bob.pk, False), "what was left waits for its turn"


@pytest.mark.parametrize("at_once", [None, 2])
def test_what_takes_its_node_down_each_time_keeps_nobody_from_working(
    node: LocalNode, at_once: int | None
) -> None:
    ann = flow("ann", 1, at_once=at_once)
    poison = node.claim_one()["id"]
    charge(ann, 100)
    bob = flow("bob", 2)
    claimed: list[int] = []
    for _ in range(TIMES_FIRST + 2):
        Job.objects.filter(pk=poison).give_back()
        claimed.append(claim_as(again_first=True)[0])
    assert claimed == [*[ann.pk] * TIMES_FIRST, bob.pk, bob.pk]
    assert claim_as(again_first=True)[0] == ann.pk, "in its turn"


def claim_as(again_first: bool) -> tuple[int, bool]:
    """Which flow's task is claimed, and whether somebody has lost it."""
    ((lease, _),) = transitions.claim(
        QUEUE, 1, None, again_first=again_first, interrupted=again_first
    )
    return lease.flow, lease.expired


@pytest.mark.parametrize("expired", [False, True])
def test_what_was_interrupted_and_needs_a_slot_gets_the_first_that_is_free(
    node: LocalNode, expired: bool
) -> None:
    ann = flow("ann", 4, at_once=2)
    interrupted, other = node.claim_one(), node.claim_one()
    charge(ann, 100)
    bob = flow("bob", 3)
    if expired:
        expire_leases()
        Job.objects.filter(pk=other["id"]).leave()
        assert transitions.recover(QUEUE) == 1
    else:
        Job.objects.filter(pk=interrupted["id"]).give_back()
    Slot.objects.filter(number=0).update(until=Now() + timedelta(seconds=100))
    Slot.objects.filter(number=1).update(until=Now() + timedelta(seconds=100))
    assert claim_as(again_first=True) == (bob.pk, False), "no slot is free"
    Slot.objects.filter(number=1).update(until=Now())
    assert claim_as(again_first=False) == (bob.pk, False), "not each time"
    ((lease, _),) = transitions.claim(QUEUE, 1, None, interrupted=True)
    assert (lease.queue_id, lease.expired) == (interrupted["ack_id"].queue_id, expired)
    assert lease.is_limited
    assert Slot.objects.get(queue_id=lease.queue_id).number == 1
    Slot.objects.filter(number=0).update(until=Now())
    assert claim_as(again_first=True) == (bob.pk, False), "the others wait for their turn"


def test_what_was_interrupted_and_is_paused_waits(node: LocalNode) -> None:
    flow("ann", 2, at_once=1)
    interrupted = node.claim_one()
    Job.objects.filter(pk=interrupted["id"]).give_back()
    Flow.objects.all().pause()
    assert transitions.claim(QUEUE, 1, None, interrupted=True) == []
    Flow.objects.all().resume()
    ((lease, _),) = transitions.claim(QUEUE, 1, None, interrupted=True)
    assert lease.queue_id == interrupted["ack_id"].queue_id


def test_what_is_paused_is_not_taken_over_but_waits(node: LocalNode) -> None:
    flow("ann", 1)
    node.claim_one()
    Flow.objects.all().pause()
    expire_leases()
    assert node.claim() == []
    assert transitions.recover(QUEUE) == 1
    assert node.claim() == []
    Flow.objects.all().resume()
    assert node.claim_one()["ack_id"].expired


# --- two nodes ------------------------------------------------------------------------


def test_two_nodes_that_charge_a_new_client_add_up() -> None:
    ann = flow("ann")
    for _ in range(2):
        charge(ann, 2)
    assert Client.objects.get().served == Flow.objects.get().served == 4
    assert Flow.objects.get().seconds == 4


def test_who_has_no_row_is_charged_nothing() -> None:
    engine().charge(QUEUE, 0, 5)
    assert not Client.objects.exists()


def test_a_claim_writes_no_row_of_a_flow(node: LocalNode) -> None:
    flow("ann")
    before = list(Flow.objects.values())
    with connection.execute_wrapper(refuse_to_write_flows):
        assert node.claim()
    assert list(Flow.objects.values()) == before


def refuse_to_write_flows(execute: object, sql: str, *rest: object) -> object:
    assert "UPDATE queue_flow" not in sql
    assert "UPDATE queue_client" not in sql
    return execute(sql, *rest)  # type: ignore[operator]


def test_when_the_next_is_due(about: About) -> None:
    assert engine().due_in(QUEUE) is None
    flow("ann", 2)
    first, second = Job.objects.order_by("position")
    Job.objects.filter(pk=first.pk).update(due_at=Now() + timedelta(seconds=60))
    Job.objects.filter(pk=second.pk).update(due_at=Now() - timedelta(seconds=60))
    assert engine().due_in(QUEUE) == about(-60)
    Job.objects.filter(pk=second.pk).update(state=JobState.RUNNING)
    assert engine().due_in(QUEUE) == about(60)
    assert engine().due_in("another") is None
