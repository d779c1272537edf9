"""A node and what tasks do to their worker: each a row of the study of faults."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task, result

from compute.queue.models import Job
from tests.conftest import database_url
from tests.processes import Processes, wait_until
from tests.workers.test_faults import assert_runs_tasks
from tests.workers.test_node import wait_for_state

FUNCTIONS = "tests.queue.functions"


@pytest.mark.parametrize("how", ["raw", "a failed statement", "autocommit off", "a block"])
def test_a_transaction_that_is_left_open_takes_no_outcome_along(
    processes: Processes, how: str
) -> None:
    node = processes.node(Q_WORKERS="1")
    task_id = async_task(f"{FUNCTIONS}.leave_open", how)
    wait_for_state(task_id, Job.State.DONE)
    assert result(task_id) == how
    assert not User.objects.filter(username="left open").exists(), "it did not commit"
    User.objects.create_user("somebody else")  # nobody holds a lock
    assert "left a transaction open, what it wrote in it is lost" in node.text()
    assert_runs_tasks(node)


def test_a_task_that_kills_its_group_takes_down_no_other(processes: Processes) -> None:
    """As what means to end all that it has started itself."""
    node = processes.node(Q_WORKERS="2")
    innocent = async_task("time.sleep", 4)
    wait_for_state(innocent, Job.State.RUNNING)
    done = wait_for_state(async_task("os.kill", 0, 9), Job.State.FAILED)
    assert (done.attempt, done.error_class) == (3, "WorkerDied")
    assert wait_for_state(innocent, Job.State.DONE).attempt == 1
    assert "guard" not in node.text().replace("node.guard", "")
    assert_runs_tasks(node)


def test_a_task_that_sends_a_signal_without_a_name(processes: Processes) -> None:
    node = processes.node()
    done = wait_for_state(async_task("signal.raise_signal", 40), Job.State.FAILED)
    assert "its worker was killed by signal 40 while running it" in done.error
    assert_runs_tasks(node)


@pytest.mark.parametrize("code", [0, 1])
def test_a_task_that_ends_its_worker_fails_after_three_whatever_the_exit_code(
    processes: Processes, code: int
) -> None:
    node = processes.node()
    task_id = async_task(f"{FUNCTIONS}.exit_at_once", code)
    done = wait_for_state(task_id, Job.State.FAILED)
    assert (done.attempt, done.error_class) == (3, "WorkerDied")
    assert f"its worker ended with exit code {code} while running it" in done.error
    assert_runs_tasks(node)


def test_half_a_second_is_a_limit_too(processes: Processes) -> None:
    node = processes.node()
    task_id = async_task("time.sleep", 60, timeout=0.5)
    done = wait_for_state(task_id, Job.State.FAILED)
    assert (done.error_class, done.attempt) == ("TimeoutException", 1)
    assert done.started_at
    assert done.finished_at
    assert (done.finished_at - done.started_at).total_seconds() < 5
    assert_runs_tasks(node)


def test_a_hook_is_called_although_the_worker_died(processes: Processes) -> None:
    processes.node()
    hook = f"{FUNCTIONS}.note"
    async_task("signal.raise_signal", 9, task_name="deadly", hook=hook)
    wait_until(lambda: User.objects.filter(username__startswith="deadly: False, its worker"), 60)
    assert Failure.objects.get().hook == hook


def test_what_is_scheduled_runs(processes: Processes) -> None:
    from django_q.models import Schedule
    from django_q.tasks import schedule

    schedule("builtins.max", 1, 2, name="bigger", schedule_type=Schedule.ONCE)
    bad = schedule("builtins.max", name="bad", schedule_type=Schedule.ONCE)
    Schedule.objects.filter(pk=bad.pk).update(args="report@example.com")
    node = processes.node()
    wait_until(lambda: Job.objects.filter(result__isnull=False, state="done").exists(), 60)
    wait_until(lambda: Failure.objects.filter(name="bad").exists(), 30)
    assert node.stop() == 0


# --- clocks, machines, servers -----------------------------------------------------------


def test_a_clock_that_jumps_starts_nothing_twice(processes: Processes, tmp_path: Path) -> None:
    node = processes.node(Q_WORKERS="2", Q_LEASE="600")
    tasks = {}
    for name in ("kept", "other"):  # one for each worker, neither of which is about to claim
        files = tmp_path / f"{name} has begun", tmp_path / f"{name} may end"
        tasks[name] = async_task(f"{FUNCTIONS}.wait_for_file", *map(str, files))
        wait_until(files[0].exists, 30, files[0].name)
    kept = Job.objects.get(pk=tasks["kept"])
    an_hour_ago = timezone.now() - timedelta(hours=1)
    OrmQ.objects.filter(pk=kept.queue_id).update(lock=an_hour_ago)
    (tmp_path / "other may end").touch()
    wait_for_state(async_task("math.factorial", 5), Job.State.DONE)  # by the other worker
    (tmp_path / "kept may end").touch()
    done = wait_for_state(tasks["kept"], Job.State.DONE)
    assert (done.attempt, done.worker) == (1, kept.worker)
    assert node.stop() == 0


def can_unshare(*what: str) -> bool:
    """Whether this machine lets us have a namespace, as root may in most places."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    return subprocess.run([unshare, *what, "true"], capture_output=True).returncode == 0


def test_a_node_needs_nothing_of_dev_shm(processes: Processes) -> None:
    """Where there is leave for it, with one that is read-only; else none of it is in use."""
    if can_unshare("--mount"):
        read_only = "mount -t tmpfs -o ro none /dev/shm && exec"
        command = f"{read_only} {sys.executable} manage.py qcluster"
        node = processes.start("unshare", "--mount", "sh", "-c", command)
        node.wait_for_output("Q Cluster .* running")
    else:
        node = processes.node()
    wait_for_state(async_task("math.factorial", 5), Job.State.DONE)
    for process in node.family():
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        assert "/dev/shm" not in maps  # noqa: S108
    assert len(node.text().splitlines()) < 30, node.text()
    assert node.stop() == 0


def test_a_node_does_not_judge_processes_of_another_place(processes: Processes) -> None:
    """In a namespace of its own a node has a pid that is nobody's, or another's, outside."""
    if can_unshare("--pid", "--fork"):
        inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        far = processes.start(*inside, sys.executable, "manage.py", "qcluster")
        far.wait_for_output("Q Cluster .* running")
    else:
        pytest.fail("no pid namespace is to be had here: run this as root, or see unshare(1)")
    task_id = async_task("time.sleep", 3)
    running = wait_for_state(task_id, Job.State.RUNNING)
    assert running.node
    assert running.node.pid not in [each.pid for each in far.family()]
    near = processes.node()
    assert wait_for_state(task_id, Job.State.DONE).attempt == 1
    assert "took back" not in near.text()
    assert near.stop() == 0


@contextmanager
def read_only_server() -> Iterator[None]:
    """As a standby is, or a server that somebody is about to move."""
    setting = "default_transaction_read_only"
    with psycopg.connect(database_url(), autocommit=True) as server:
        server.execute(f"SET {setting} = off")
        server.execute(f"ALTER SYSTEM SET {setting} = on")
        server.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            server.execute(f"ALTER SYSTEM RESET {setting}")
            server.execute("SELECT pg_reload_conf()")


@pytest.mark.postgres
def test_a_server_that_can_only_be_read_is_waited_for(processes: Processes) -> None:
    node = processes.node(Q_LEASE="60")
    task_id = async_task("time.sleep", 3)
    wait_for_state(task_id, Job.State.RUNNING)
    with read_only_server():
        node.wait_for_output("the database is away, next try .* read-only transaction")
        assert Job.objects.get(pk=task_id).state == Job.State.RUNNING
    done = wait_for_state(task_id, Job.State.DONE)
    assert (done.attempt, done.deaths) == (1, 0)
    assert "starting another" not in node.text()
    assert node.stop() == 0


# --- starts without an end -----------------------------------------------------------------


def test_a_process_that_dies_at_once_is_started_again_after_growing_pauses(
    processes: Processes,
) -> None:
    node = processes.node(Q_WORKERS="1", DJANGO_SETTINGS_MODULE="tests.stillborn.settings")
    began = time.monotonic()
    node.wait_for_output("starting another in 1.6 s")
    died = r"worker \d+ ended with exit code 7, starting another in ([\d.]+) s"
    pauses = re.findall(died, node.text())
    assert pauses == ["0.1", "0.2", "0.4", "0.8", "1.6"]
    assert time.monotonic() - began > 1.5
    assert len(node.text().splitlines()) < 30
    assert node.stop() == 0


def test_starts_that_come_to_no_end_are_bounded(processes: Processes) -> None:
    """Deploys count as no deaths; yet a task that outlasts each of them is not run for ever."""
    task_id = async_task("time.sleep", 600)
    for _ in range(2):
        node = processes.node(Q_MAX_STARTS="2", Q_GRACE="0.1")
        wait_for_state(task_id, Job.State.RUNNING)
        assert node.stop() == 0
        assert Job.objects.get(pk=task_id).state == Job.State.QUEUED
    node = processes.node(Q_MAX_STARTS="2")
    failed = wait_for_state(task_id, Job.State.FAILED)
    assert (failed.error_class, failed.deaths) == ("StartedTooOften", 0)
    assert "it was started 2 times" in failed.error
    assert failed.retry()
    assert wait_for_state(task_id, Job.State.RUNNING).starts == 1
    assert node.stop(seconds=30) == 0


def test_a_worker_has_its_share_of_tasks(processes: Processes) -> None:
    node = processes.node(Q_WORKERS="1", Q_RECYCLE="2")
    group = [async_task("os.getpid") for _ in range(6)]
    pids = [wait_for_state(task_id, Job.State.DONE).result for task_id in group]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 2]
    assert node.stop() == 0


def test_a_worker_has_its_share_of_memory(processes: Processes) -> None:
    node = processes.node(Q_WORKERS="1", Q_MAX_RSS="400000")
    greedy = wait_for_state(async_task(f"{FUNCTIONS}.take_memory", 500), Job.State.DONE)
    pids = [wait_for_state(async_task("os.getpid"), Job.State.DONE).result for _ in range(2)]
    assert greedy.result not in pids
    assert pids[0] == pids[1]
    assert node.stop() == 0
