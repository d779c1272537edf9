"""Processes that a task starts: they work, and end with it, however it ends."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
from django_q.tasks import async_task

from compute.queue.models import Job
from tests.processes import Process, Processes, wait_for_end, wait_until
from tests.workers.test_faults import assert_runs_tasks
from tests.workers.test_node import wait_for_state

pytestmark = pytest.mark.once

FUNCTIONS = "tests.queue.functions"
#: The ways to start one: plainly, and in a session of its own.
HOWS = ["", "setsid"]


@pytest.fixture(params=["0", "1"], ids=["linux", "elsewhere"])
def node(processes: Processes, request: pytest.FixtureRequest) -> Process:
    return processes.node(Q_WORKERS="1", Q_PORTABLE=request.param)


@pytest.fixture
def seconds() -> str:
    """How long a `sleep` of this test alone takes."""
    return f"{10**6 + time.monotonic_ns() % 10**6}"


def sleeping(seconds: str) -> list[psutil.Process]:
    listed = psutil.process_iter(["cmdline"])
    return [each for each in listed if seconds in (each.info["cmdline"] or [])]


@pytest.mark.parametrize("function", ["in_a_pool", "in_an_executor"])
def test_a_task_may_compute_in_processes_of_its_own(node: Process, function: str) -> None:
    done = wait_for_state(async_task(f"{FUNCTIONS}.{function}", [1, 2, 3]), Job.State.DONE)
    assert done.result == [1, 4, 9]
    assert node.stop() == 0


def test_a_fork_that_comes_back_is_no_second_worker(node: Process) -> None:
    done = wait_for_state(async_task(f"{FUNCTIONS}.fork_and_return"), Job.State.DONE)
    assert done.result > 0, "the parent's"
    wait_until(lambda: not psutil.pid_exists(done.result), 5)
    assert_runs_tasks(node)
    assert node.text().count("done: fork_and_return()") == 1


@pytest.mark.parametrize("how", HOWS, ids=["", "in_its_session"])
def test_what_a_task_leaves_running_is_ended_with_it(node: Process, how: str, seconds: str) -> None:
    task_id = async_task(f"{FUNCTIONS}.leave_sleeping", seconds, how)
    first = wait_for_state(task_id, Job.State.DONE)
    wait_until(lambda: not sleeping(seconds), 5)
    assert "left 1 process(es), which were ended" in node.text()
    other = wait_for_state(async_task("os.getpid"), Job.State.DONE)
    assert first.result != other.result, "no other task meets what is left of it"
    assert node.stop() == 0


@pytest.mark.parametrize("how", HOWS, ids=["", "in_its_session"])
def test_and_if_it_runs_out_of_time(node: Process, how: str, seconds: str) -> None:
    arguments = (seconds, how, "wait")
    task_id = async_task(f"{FUNCTIONS}.leave_sleeping", *arguments, timeout=0.5)
    wait_for_state(task_id, Job.State.FAILED)
    wait_until(lambda: not sleeping(seconds), 5)
    assert_runs_tasks(node)


@pytest.mark.parametrize("how", HOWS, ids=["", "in_its_session"])
def test_and_if_it_is_cancelled(node: Process, how: str, seconds: str) -> None:
    task_id = async_task(f"{FUNCTIONS}.leave_sleeping", seconds, how, "wait")
    wait_until(lambda: sleeping(seconds))
    Job.objects.filter(pk=task_id).cancel("somebody")
    wait_until(lambda: not sleeping(seconds), 5)
    assert_runs_tasks(node)


def test_and_if_its_worker_dies(node: Process, seconds: str) -> None:
    task_id = async_task(f"{FUNCTIONS}.leave_sleeping", seconds, "", "die")
    assert wait_for_state(task_id, Job.State.FAILED).attempt == 3
    wait_until(lambda: not sleeping(seconds), 5)
    assert_runs_tasks(node)


def test_and_if_the_node_is_stopped(processes: Processes, seconds: str) -> None:
    node = processes.node(Q_GRACE="0.1")
    async_task(f"{FUNCTIONS}.leave_sleeping", seconds, "setsid", "wait")
    wait_until(lambda: sleeping(seconds))
    assert node.stop() == 0
    assert not sleeping(seconds)


@pytest.mark.parametrize("whom", ["guard", "supervisor"])
def test_and_if_somebody_above_it_is_killed(node: Process, seconds: str, whom: str) -> None:
    """By the supervisor, or by the sweeper."""
    task_id = async_task(f"{FUNCTIONS}.leave_sleeping", seconds, "", "wait")
    (sleeper,) = wait_until(lambda: sleeping(seconds))
    worker = psutil.Process(wait_for_state(task_id, Job.State.RUNNING).worker)
    above = {"guard": worker.ppid(), "supervisor": node.pid}
    os.kill(above[whom], signal.SIGKILL)
    wait_for_end([sleeper, worker], 2)
