"""Real nodes share their workers, whatever was queued first and whoever is killed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db.models.functions import Now
from django_q.models import OrmQ

from compute.queue.broker import sharing
from compute.queue.fanout import async_iter
from compute.queue.models import Flow, Job, JobState
from compute.queue.sharing import Slot
from tests.processes import Processes, wait_until

SLEEP = "time.sleep"


def waits(group: str) -> int:
    return Job.objects.filter(group=group, state=JobState.QUEUED).count()


def has_ended(group: str) -> Callable[[], bool]:
    return lambda: not Job.objects.filter(group=group).unsettled().exists()


@pytest.mark.parametrize("clients", [("ann", "bob"), ("ann", "ann")])
def test_a_small_run_does_not_wait_for_a_giant(
    processes: Processes, clients: tuple[str, str]
) -> None:
    giant = async_iter(SLEEP, [0.1] * 2000, broker=sharing(clients[0]))
    processes.node()
    wait_until(lambda: waits(giant) < 1990)
    before = waits(giant)
    small = async_iter(SLEEP, [0.1] * 8, broker=sharing(clients[1]))
    wait_until(has_ended(small), 60)
    # With half of the workers each, as many of the giant's have begun meanwhile, and some more.
    assert before - waits(giant) < 40


def test_who_is_urgent_gets_four_times_as_much(processes: Processes) -> None:
    urgent = async_iter(SLEEP, [0.05] * 2000, broker=sharing("ann", priority="urgent"))
    normal = async_iter(SLEEP, [0.05] * 2000, broker=sharing("bob"))
    processes.node()
    wait_until(lambda: waits(urgent) + waits(normal) < 3700, 60)
    had = [2000 - waits(group) for group in (urgent, normal)]
    assert 2.5 < had[0] / had[1] < 6, had


def test_a_paused_run_waits_for_as_long_as_it_is_paused(processes: Processes) -> None:
    processes.node()
    group = async_iter(SLEEP, [0.05] * 200)
    wait_until(lambda: waits(group) < 195)
    Flow.objects.filter(key=group).pause()
    wait_until(lambda: not Job.objects.filter(state=JobState.RUNNING).exists())
    left = waits(group)
    other = async_iter(SLEEP, [0.05] * 20)
    wait_until(has_ended(other))
    assert 0 < waits(group) <= left
    Flow.objects.filter(key=group).resume()
    wait_until(has_ended(group))


def test_never_more_are_at_work_than_there_may_be_although_nodes_are_killed(
    processes: Processes,
) -> None:
    nodes = [processes.node() for _ in range(2)]
    group = async_iter(SLEEP, [0.4] * 12, broker=sharing(at_once=2))
    seen: list[int] = []

    def look() -> bool:
        held = Slot.objects.filter(until__gt=Now()).count()
        jobs = Job.objects.filter(group=group, state=JobState.RUNNING)
        leased = OrmQ.objects.filter(pk__in=jobs.values("queue_id"), lock__gt=Now())
        seen.append(leased.count())
        assert held <= 2
        if len(nodes) == 2 and seen[-1] == 2:
            nodes.pop().kill_all()
        return has_ended(group)()

    wait_until(look, 90)
    assert max(seen) == 2
    assert Job.objects.filter(group=group, state=JobState.DONE).count() == 12


def test_a_chunk_whose_node_is_killed_keeps_its_flow(processes: Processes) -> None:
    group = async_iter(SLEEP, [600])
    flow = Flow.objects.get(key=group)
    node = processes.node()
    wait_until(lambda: Job.objects.filter(state=JobState.RUNNING).exists())
    node.kill_all()
    Flow.objects.filter(pk=flow.pk).pause()
    processes.node()
    wait_until(lambda: waits(group) == 1, 60)
    assert Job.objects.get().flow_id == flow.pk
