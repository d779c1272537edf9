"""A node as a real process: what it runs, how it stops, what dies and heals."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
from django_q.models import Failure, OrmQ
from django_q.signing import SignedPackage
from django_q.tasks import async_task, result

from compute.queue.fanout import async_iter, results
from compute.queue.models import Job, Node
from tests.processes import ROOT, Process, Processes, free_port, wait_for_end, wait_until

pytestmark = pytest.mark.main_path


def job(task_id: str) -> Job:
    return Job.objects.get(pk=task_id)


def wait_for_state(task_id: str, state: str, seconds: float = 30) -> Job:
    wait_until(lambda: job(task_id).state == state, seconds, f"{state}, now {job(task_id).state}")
    return job(task_id)


def stat_of(node: Process) -> Any:
    """django-q2's statistics of a node, as its last sign of life gives them."""
    row = Node.objects.filter(pid=node.pid).first()
    stat = row and SignedPackage.loads(row.stat)
    return stat if stat and stat.pusher and stat.monitor else None


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def has_two_workers(node: Process) -> bool:
    return len(workers_of(node)) == 2


def workers_of(node: Process) -> list[psutil.Process]:
    stat = wait_until(lambda: stat_of(node))
    return [psutil.Process(pid) for pid in stat.workers]


def test_a_task_of_anyone_runs_and_has_its_job(processes: Processes) -> None:
    node = processes.node()
    task_id = async_task("math.factorial", 30)
    done = wait_for_state(task_id, Job.State.DONE)
    assert done.result == 265252859812191058636308480000000
    assert done.attempt == 1
    assert done.worker in [process.pid for process in node.family()]
    millisecond = timedelta(milliseconds=1)  # SQLite's clock has no smaller
    assert done.started_at
    assert done.finished_at
    assert done.queued_at - millisecond < done.started_at <= done.finished_at
    assert result(task_id) == done.result
    assert not OrmQ.objects.exists()
    assert node.stop() == 0


def test_a_failure_is_listed_at_once_and_stays_until_it_is_retried(processes: Processes) -> None:
    processes.node()
    task_id = async_task("math.sqrt", -1)
    failed = wait_for_state(task_id, Job.State.FAILED)
    assert failed.error == "ValueError: math domain error"
    failure = Failure.objects.get(pk=task_id)
    assert failure.args == (-1,)
    assert "Traceback" in failure.result
    assert not OrmQ.objects.exists()
    assert failed.retry()
    wait_until(lambda: job(task_id).attempt == 2 and job(task_id).state == Job.State.FAILED)


def test_a_node_is_a_row_while_it_lives(processes: Processes) -> None:
    node = processes.node()
    row = wait_until(lambda: Node.objects.alive().filter(workers=2).first())
    assert row.pid == node.pid
    assert node.stop() == 0
    assert not Node.objects.alive().exists()


def test_workers_alone_stand_back_for_others(processes: Processes) -> None:
    node = processes.node(Q_NICE="7")
    workers = [worker.pid for worker in workers_of(node)]
    wait_until(lambda: all(psutil.Process(pid).nice() == os.nice(0) + 7 for pid in workers))
    guards = [process for process in node.family() if process.pid not in workers]
    assert {process.nice() for process in guards} == {os.nice(0)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_lets_a_short_task_finish(processes: Processes, number: int) -> None:
    node = processes.node(Q_GRACE="10")
    task_id = async_task("time.sleep", 3)
    wait_for_state(task_id, Job.State.RUNNING)
    assert node.stop(number) == 0
    assert job(task_id).state == Job.State.DONE


def test_stopping_gives_a_long_task_back_for_another_node(processes: Processes) -> None:
    node = processes.node(Q_GRACE="0.5")
    long = async_task("time.sleep", 30)
    wait_for_state(long, Job.State.RUNNING)
    began = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - began < 5
    assert job(long).state == Job.State.QUEUED
    second = processes.node(Q_GRACE="0.5")
    wait_until(lambda: job(long).attempt == 2)
    second.stop()


@pytest.mark.thorough
def test_a_second_ctrl_c_hurries(processes: Processes) -> None:
    node = processes.node(Q_GRACE="60")
    task_id = async_task("time.sleep", 100)
    wait_for_state(task_id, Job.State.RUNNING)
    node.send(signal.SIGINT)
    node.wait_for_output("stopping")
    assert node.stop(signal.SIGINT, seconds=10) == 0
    assert job(task_id).state == Job.State.QUEUED


def test_what_a_killed_worker_ran_is_run_again(processes: Processes) -> None:
    node = processes.node()
    task_id = async_task("time.sleep", 2)
    running = wait_for_state(task_id, Job.State.RUNNING)
    assert running.worker
    os.kill(running.worker, signal.SIGKILL)
    assert wait_for_state(task_id, Job.State.DONE).attempt == 2
    assert node.stop() == 0


def test_a_killed_guard_is_replaced_and_loses_nothing(processes: Processes) -> None:
    node = processes.node()
    group = async_iter("time.sleep", [0.3] * 12)
    wait_until(lambda: Job.objects.filter(state=Job.State.DONE).exists())
    guard = psutil.Process(wait_until(lambda: stat_of(node)).sentinel)
    family = guard.children()
    guard.kill()
    wait_for_end(family, 5)  # no orphans
    wait_until(lambda: results(group), 30)
    assert node.stop() == 0


@pytest.mark.thorough
def test_a_task_may_run_longer_than_its_lease(processes: Processes) -> None:
    for _ in range(2):
        processes.node(Q_LEASE="3")
    task_id = async_task("time.sleep", 8)
    assert wait_for_state(task_id, Job.State.DONE).attempt == 1


# --- what dies, freezes, or will not end ---------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("role", ["pusher", "monitor", "sentinel"])
def test_a_node_goes_on_without_its_helpers(processes: Processes, role: str, number: int) -> None:
    node = processes.node()
    stat = wait_until(lambda: stat_of(node))
    os.kill(getattr(stat, role), number)
    group = async_iter("time.sleep", [0.1] * 20)
    wait_until(lambda: results(group), 20)
    assert node.stop() == 0


@pytest.mark.thorough
def test_a_frozen_worker_is_replaced_and_its_task_runs_again(processes: Processes) -> None:
    node = processes.node()
    task_id = async_task("time.sleep", 3)
    running = wait_for_state(task_id, Job.State.RUNNING)
    assert running.worker
    os.kill(running.worker, signal.SIGSTOP)
    done = wait_for_state(task_id, Job.State.DONE, 15)
    assert (done.attempt, done.deaths) == (2, 0)
    node.wait_for_output(f"worker {running.worker} was frozen, starting another")
    assert node.stop() == 0


@pytest.mark.thorough
def test_a_timeout_is_a_failure_at_once_with_the_seconds(processes: Processes) -> None:
    node = processes.node()
    task_id = async_task("time.sleep", 60, timeout=1)
    failed = wait_for_state(task_id, Job.State.FAILED, 10)
    assert failed.error_class == "TimeoutException"
    assert "(1 seconds)" in failed.error
    assert failed.attempt == 1
    assert node.stop() == 0


@pytest.mark.thorough
def test_a_task_that_never_returns_to_python_is_killed_at_its_limit(processes: Processes) -> None:
    node = processes.node()
    task_id = async_task("builtins.sum", range(10**12), timeout=1)
    failed = wait_for_state(task_id, Job.State.FAILED, 30)
    assert failed.error == "it ran for more than 1 seconds and had to be killed"
    after = async_task("math.factorial", 5)
    wait_for_state(after, Job.State.DONE)
    assert node.stop() == 0


@pytest.mark.thorough
def test_a_node_started_again_takes_back_what_its_dead_one_held(processes: Processes) -> None:
    first = processes.node(Q_LEASE="600")
    task_id = async_task("time.sleep", 2)
    wait_for_state(task_id, Job.State.RUNNING)
    first.kill_all()
    processes.node()
    assert wait_for_state(task_id, Job.State.DONE, 15).attempt == 2


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project, whose code may be changed."""
    copy = tmp_path / "project"
    shutil.copytree(ROOT / "compute", copy / "compute")
    shutil.copytree(ROOT / "sumsite", copy / "sumsite")
    shutil.copytree(ROOT / "templates", copy / "templates")
    for name in ("manage.py", "gunicorn.conf.py"):
        shutil.copy2(ROOT / name, copy)
    return copy


@pytest.mark.thorough
def test_what_is_written_to_while_it_is_imported_is_loaded_again(
    processes: Processes, copy: Path
) -> None:
    """Here by the file itself, at the first import of each server."""
    tasks = copy / "compute" / "tasks.py"
    old = tasks.read_text()
    new = old + "\n\ndef brand_new() -> str:\n    return 'new'\n"
    by_itself = f"{old}\nfrom pathlib import Path\nPath(__file__).write_text({new!r})\n"
    tasks.write_text(by_itself)
    node = processes.start(sys.executable, "manage.py", "qcluster", cwd=copy, DEBUG="1")
    node.wait_for_output("the code has changed")
    task_id = async_task("compute.tasks.brand_new")
    assert wait_for_state(task_id, Job.State.DONE).result == "new"
    assert node.stop() == 0
    tasks.write_text(by_itself)
    web = [sys.executable, "-m", "gunicorn", "sumsite.wsgi"]
    port = free_port()
    site = processes.start(*web, cwd=copy, DEBUG="1", PORT=str(port))
    wait_until(lambda: site.text().count("Booting worker") > 1, 10, "another worker")
    with urlopen(f"http://localhost:{port}/healthz", timeout=30) as reply:
        assert reply.status == 200
    assert site.stop(signal.SIGTERM) == 0


@pytest.mark.thorough
def test_a_node_reloads_when_the_code_changes(processes: Processes, copy: Path) -> None:
    node = processes.start(sys.executable, "manage.py", "qcluster", cwd=copy, DEBUG="1")
    node.wait_for_output("Q Cluster .* running")
    tasks = copy / "compute" / "tasks.py"
    tasks.write_text(tasks.read_text() + "\n\ndef brand_new() -> str:\n    return 'new'\n")
    node.wait_for_output("the code has changed")
    task_id = async_task("compute.tasks.brand_new")
    assert wait_for_state(task_id, Job.State.DONE).result == "new"
    tasks.write_text("this is no Python\n")
    node.wait_for_output("can't be loaded, the old one goes on")
    assert wait_for_state(async_task("math.factorial", 5), Job.State.DONE).result == 120
    assert node.text().count("the code has changed") == 1
    assert node.stop() == 0


# --- cancelling -------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("function", ["stubborn", "deaf"])
def test_a_cancelled_task_is_stopped_where_it_runs_and_nothing_else_is_hurt(
    processes: Processes, function: str
) -> None:
    function = f"tests.queue.functions.{function}"
    nodes = [processes.node(Q_WORKERS="2"), processes.node(Q_WORKERS="2")]
    group = async_iter(function, [60, 60])
    other = async_task("time.sleep", 4)
    for task_id in (*Job.objects.in_group(group).values_list("pk", flat=True), other):
        wait_for_state(task_id, Job.State.RUNNING)
    ran = list(Job.objects.in_group(group))
    assert Job.objects.in_group(group).cancel("cancelled by a test") == 2
    for one in ran:
        assert one.worker
        worker = one.worker
        wait_until(partial(has_ended, worker), 2, "its worker has ended")
    assert Job.objects.in_group(group).counts()["cancelled"] == 2
    assert wait_for_state(other, Job.State.DONE).attempt == 1
    again = async_iter("math.factorial", list(range(20)))
    wait_until(lambda: results(again), 10)
    for node in nodes:
        wait_until(partial(has_two_workers, node), 5, "two workers")
        assert node.stop() == 0


@pytest.mark.parametrize("reporting", [False, True])
def test_a_node_starts_its_processes_without_a_warning(
    processes: Processes, reporting: bool
) -> None:
    """Python warns who forks while threads run: the child may wait for a lock for ever."""
    dsn = "http://key@localhost:9/1" if reporting else ""
    node = processes.node(PYTHONWARNINGS="always", SENTRY_DSN=dsn)
    task_id = async_task("math.sqrt", -1)  # an error, which is reported from a thread
    wait_for_state(task_id, Job.State.FAILED)
    for process in node.family()[1:]:
        with suppress(psutil.NoSuchProcess):  # who has lost its guard ends by itself
            process.kill()
    node.wait_for_output("starting another", 60)
    wait_for_state(async_task("math.sqrt", 4), Job.State.DONE)
    assert node.stop() == 0
    assert "Warning" not in node.text()
