"""Real nodes that drain, and a queue that is paused: nothing is begun, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from django.core.management import call_command
from django_q.tasks import async_task

from compute.queue import pauses
from compute.queue.broker import sharing
from compute.queue.fanout import async_iter
from compute.queue.models import Job, Node
from tests.processes import Process, Processes, wait_until
from tests.workers.test_node import stat_of, wait_for_state


def row_of(node: Process) -> Node:
    return wait_until(lambda: Node.objects.filter(pid=node.pid).first())


def says(node: Process, status: str) -> Callable[[], bool]:
    """Whether its sign of life says so: then its workers have heard it, too."""

    def said() -> bool:
        stat = stat_of(node)
        return stat is not None and str(stat.status) == status

    return said


def states(group: str) -> list[str]:
    return list(Job.objects.in_group(group).values_list("state", flat=True))


def all_done(group: str) -> bool:
    return set(states(group)) == {Job.State.DONE}


@pytest.mark.main_path
def test_a_node_that_drains_ends_what_it_has_and_others_take_the_rest(
    processes: Processes,
) -> None:
    one = processes.node(Q_WORKERS="1")
    running = async_task("time.sleep", 3)
    wait_for_state(running, Job.State.RUNNING)
    group = async_iter("math.factorial", range(20))
    call_command("drain", row_of(one).name)
    wait_until(says(one, "Draining"))
    wait_for_state(running, Job.State.DONE)
    time.sleep(1.5)  # longer than an idle worker waits before it looks by itself
    assert set(states(group)) == {Job.State.QUEUED}
    other = processes.node(Q_WORKERS="1")
    wait_until(lambda: all_done(group))
    by = set(Job.objects.in_group(group).values_list("node__pid", flat=True))
    assert by == {other.pid}
    assert Job.objects.get(pk=running).attempt == 1
    call_command("drain", row_of(other).pk)
    wait_until(says(other, "Draining"))
    late = async_task("math.factorial", 5)
    call_command("drain", "--undo", row_of(one).pk)
    assert wait_for_state(late, Job.State.DONE, 10).node_id == row_of(one).pk
    assert other.stop() == 0


def test_of_a_paused_queue_nothing_begins_until_it_is_resumed(processes: Processes) -> None:
    nodes = [processes.node(Q_WORKERS="2")]
    running = async_task("time.sleep", 2)
    wait_for_state(running, Job.State.RUNNING)
    call_command("pause_queue")
    wait_until(says(nodes[0], "Paused"))
    group = async_iter("math.factorial", range(10))
    nodes.append(processes.node(Q_WORKERS="2"))  # it must not begin, either
    wait_for_state(running, Job.State.DONE)
    time.sleep(1.5)
    assert set(states(group)) == {Job.State.QUEUED}
    assert Node.objects.alive().count() == 2
    call_command("pause_queue", "--undo")
    resumed = time.monotonic()
    wait_until(lambda: all_done(group), 10)
    assert time.monotonic() - resumed < 5
    assert set(Job.objects.in_group(group).values_list("attempt", flat=True)) == {1}
    assert [node.stop() for node in nodes] == [0, 0]


def test_a_paused_kind_waits_and_others_pass_it(processes: Processes) -> None:
    pauses.pause("red")
    red = async_iter("math.factorial", range(10), broker=sharing(kind="red"))
    node = processes.node(Q_WORKERS="1")
    others = async_iter("math.factorial", range(10))
    wait_until(lambda: all_done(others))
    assert set(states(red)) == {Job.State.QUEUED}
    pauses.resume("red")
    wait_until(lambda: all_done(red), 10)
    assert node.stop() == 0
