"""Each test does what a row of a study of stock django-q2 did, and shows the right outcome here.

The first line of each tells how stock django-q2, version 1.11.1, failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from django.conf import settings
from django.db import close_old_connections, connection
from django.db.backends.signals import connection_created
from django.test import Client
from django.utils import timezone
from django_q.models import Failure, OrmQ, Success
from django_q.tasks import async_task, count_group, result

from compute.queue.fanout import async_iter, results
from compute.queue.models import Job
from tests.conftest import OVER
from tests.processes import ROOT, Process, Processes, free_port, wait_for_end, wait_until
from tests.workers.test_node import wait_for_state, workers_of

FUNCTIONS = "tests.queue.functions"


def finished(group: str, seconds: float = 60) -> list[Any] | None:
    """The results of a group, once nothing of it is queued or runs."""
    unsettled = Job.objects.in_group(group).unsettled()
    wait_until(lambda: not unsettled.exists(), seconds, f"the end of {group}")
    return results(group)


def attempts(group: str) -> set[int]:
    """How often the tasks of a group were started, each that differs once."""
    return set(Job.objects.in_group(group).values_list("attempt", flat=True))


def assert_runs_tasks(node: Process) -> None:
    """The node still does what it is there for, and then stops as it should."""
    group = async_iter("operator.mul", [(i, i) for i in range(20)])
    assert finished(group) == [i * i for i in range(20)], node.text()
    assert node.stop() == 0


def test_a_hundred_chunks_on_two_clusters(processes: Processes) -> None:
    """Never finished, 14 times of 14: the clusters overwrote each other's list of results."""
    for _ in range(2):
        processes.node()
    for _ in range(3):
        group = async_iter(f"{FUNCTIONS}.slowly", [(i, 0.03) for i in range(100)])
        assert finished(group) == list(range(100))
        assert attempts(group) == {1}
    assert Job.objects.values("node").distinct().count() == 2
    assert not OrmQ.objects.exists()
    assert not Failure.objects.exists()


def test_chunks_that_outlast_their_lease_and_wait_for_longer(processes: Processes) -> None:
    """Succeeded with a wrong total: one chunk was counted twice and another not at all."""
    processes.node(Q_LEASE="2", Q_TIMEOUT="5", Q_WORKERS="4")
    group = async_iter(f"{FUNCTIONS}.slowly", [(2**i, 2.5) for i in range(12)])
    assert finished(group) == [2**i for i in range(12)]
    assert attempts(group) == {1}
    assert count_group(group) == 12


def test_ten_chunks_with_a_cache_in_each_process(processes: Processes) -> None:
    """Never finished: the results were collected in a cache, of which each process had one."""
    assert settings.CACHES["default"]["BACKEND"].endswith(".LocMemCache")
    processes.node()
    group = async_iter("operator.mul", [(i, i) for i in range(10)])
    assert finished(group) == [i * i for i in range(10)]
    assert not Job.objects.filter(worker=os.getpid()).exists()


def test_four_hundred_chunks(processes: Processes) -> None:
    """Never finished: a cache in the database keeps 300 entries, and threw the others out."""
    processes.node()
    group = async_iter("operator.mul", [(i, i) for i in range(400)])
    assert finished(group) == [i * i for i in range(400)]
    assert attempts(group) == {1}
    assert count_group(group) == 400


def test_one_chunk_of_ten_raises(processes: Processes) -> None:
    """A success with a traceback among the numbers, under no failure, and run for ever again."""
    node = processes.node()
    group = async_iter("math.sqrt", [i * i for i in range(9)] + [-1])
    assert finished(group) is None
    failed = Job.objects.get(state=Job.State.FAILED)
    assert (failed.group, failed.position, failed.attempt) == (group, 9, 1)
    assert failed.error == "ValueError: math domain error"
    failure = Failure.objects.get()
    assert (failure.pk, failure.success, failure.args) == (failed.pk, False, (-1,))
    assert "Traceback" in failure.result
    done = Success.objects.filter(group=group)
    assert sorted(task.result for task in done) == [float(i) for i in range(9)]
    assert not OrmQ.objects.exists(), "nothing is left to be delivered again"
    assert_runs_tasks(node)
    assert attempts(group) == {1}


def test_idle_workers_are_killed(processes: Processes) -> None:
    """Stood still for good: the dead worker held the lock of the queue that all read."""
    node = processes.node()
    before = workers_of(node)
    for worker in before:
        worker.kill()
        node.wait_for_output(f"worker {worker.pid} was killed by SIGKILL, starting another")
        group = async_iter("operator.neg", range(20))
        assert finished(group) == [-i for i in range(20)]
    ran = set(Job.objects.in_group(group).values_list("worker", flat=True))
    assert not ran & {worker.pid for worker in before}
    assert_runs_tasks(node)


def test_a_task_kills_its_worker(processes: Processes) -> None:
    """Killed one worker after the other for ever, and was nowhere listed as a failure."""
    node = processes.node()
    task_id = async_task(f"{FUNCTIONS}.kill_its_worker", "10 GB")
    beside = async_iter("time.sleep", [0.2] * 20)
    failed = wait_for_state(task_id, Job.State.FAILED, 60)
    assert (failed.attempt, failed.error_class) == (3, "WorkerDied")
    failure = Failure.objects.get()
    assert (failure.pk, failure.args, failure.attempt_count) == (task_id, ("10 GB",), 3)
    assert failure.func == f"{FUNCTIONS}.kill_its_worker"
    assert failure.result.startswith("its worker was killed by SIGKILL while running it")
    assert finished(beside) == [None] * 20
    assert attempts(beside) == {1}
    assert not OrmQ.objects.exists()
    assert_runs_tasks(node)
    assert node.text().count("was killed by SIGKILL, starting another") == 3


def test_a_whole_cluster_is_killed_while_another_lives(
    processes: Processes, tmp_path: Path
) -> None:
    """Its tasks ran again after its longest task's time, a minute unless more was needed."""
    nodes = [processes.node(Q_LEASE="2") for _ in range(2)]  # and tasks of up to 24 hours
    task_id = async_task(f"{FUNCTIONS}.hang_at_first", str(tmp_path / "note"))
    running = wait_for_state(task_id, Job.State.RUNNING)
    wait_until((tmp_path / "note").exists)
    (killed,) = [
        node for node in nodes if running.worker in [process.pid for process in node.family()]
    ]
    killed.kill_all()
    done = wait_for_state(task_id, Job.State.DONE, 20)
    assert (done.attempt, done.result) == (2, "run again")
    assert done.node_id != running.node_id
    assert result(task_id) == "run again"


def test_the_parent_is_killed(processes: Processes) -> None:
    """Its children lived on without it, and went on taking tasks."""
    node = processes.node()
    wait_for_state(async_task("time.sleep", 600), Job.State.RUNNING)
    family = node.family()
    assert len(family) == 8  # supervisor, sweeper, guard, three helpers, two workers
    node.send(signal.SIGKILL)
    try:
        wait_for_end(family, 5)
    finally:  # the test, too, leaves none behind
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    assert Job.objects.get(pk=async_task("math.factorial", 5)).state == Job.State.QUEUED


def test_a_result_cannot_be_pickled(processes: Processes) -> None:
    """Gave neither a result nor a failure, and stayed queued."""
    node = processes.node()
    task_id = async_task(f"{FUNCTIONS}.unpicklable")
    failed = wait_for_state(task_id, Job.State.FAILED)
    assert (failed.attempt, failed.error_class) == (1, "TypeError")
    assert failed.error.startswith("TypeError: the result can't be pickled: ")
    assert "the result can't be pickled" in Failure.objects.get(pk=task_id).result
    assert not OrmQ.objects.exists()
    assert_runs_tasks(node)


def test_no_chunks_at_all(transactional_db: None) -> None:
    """Never finished: only the end of a chunk could complete its group."""
    group = async_iter("math.sqrt", [])
    assert results(group) == []
    assert result(group) == []
    assert not OrmQ.objects.exists()


def test_two_thousand_results(processes: Processes) -> None:
    """Kept 250 of them: the ids of the others looked as if they were in progress, for ever."""
    processes.node()
    first = async_task("math.factorial", 20)
    wait_for_state(first, Job.State.DONE)
    group = async_iter("operator.neg", range(2000))
    assert finished(group, 240) == [-i for i in range(2000)]
    assert Success.objects.count() == 2001
    ids = Job.objects.in_group(group).values_list("pk", flat=True)
    assert [result(pk) for pk in ids[:100]] == [-i for i in range(100)]
    assert result(first) == 2432902008176640000


@pytest.mark.parametrize("address", ["/sum-check/", "/split-sum-check/"])
def test_an_unknown_task_id(transactional_db: None, address: str) -> None:
    """Was in progress for ever: nothing was known of a task before its result."""
    reply = Client().get(address, {"task_id": uuid.uuid4().hex})
    assert reply.status_code == 404
    assert list(reply.json()) == ["detail"]
    assert "No run has this task_id" in reply.json()["detail"]


def test_when_a_task_was_started(processes: Processes) -> None:
    """Said when it was queued, so that the time it took included the time it waited."""
    task_id = async_task("time.sleep", 0.2)
    queued = timezone.now()
    processes.node()
    done = wait_for_state(task_id, Job.State.DONE)
    task = Success.objects.get(pk=task_id)
    assert done.queued_at <= queued < task.started
    assert 0.2 <= task.time_taken() < (task.stopped - queued).total_seconds()


def test_two_clusters_write_a_lot(processes: Processes) -> None:
    """Lost results to a locked database, and took their tasks out of the queue all the same."""
    nodes = [processes.node() for _ in range(2)]
    singles = [async_task("operator.neg", i) for i in range(100)]  # while they run
    groups = [async_iter("operator.neg", range(200)) for _ in range(2)]
    for group in groups:
        assert finished(group) == [-i for i in range(200)]
    for task_id in singles:
        finished(task_id)  # a lone task is a group of its own
    assert [result(task_id) for task_id in singles] == [-i for i in range(100)]
    assert set(Job.objects.values_list("state", "attempt")) == {(Job.State.DONE, 1)}
    assert Success.objects.count() == 500
    assert not OrmQ.objects.exists()
    for node in nodes:
        assert node.stop() == 0
        assert "database is locked" not in node.text()
        assert "the database is away" not in node.text()


def test_enqueueing_many_tasks(transactional_db: None) -> None:
    """Opened a connection for each, unless told to keep them: 30 a second, 760 with one kept."""
    assert settings.DATABASES["default"]["CONN_MAX_AGE"] > 0
    opened: list[Any] = []

    def note(**kwargs: Any) -> None:
        opened.append(kwargs["connection"])

    connection.close()
    connection_created.connect(note)
    try:
        for _ in range(50):
            close_old_connections()  # as every request and every query of stock's broker does
            async_task("math.factorial", 5)
    finally:
        connection_created.disconnect(note)
    assert opened == [connection]
    assert OrmQ.objects.count() == 50


def test_honcho_without_the_release_line(processes: Processes, tmp_path: Path) -> None:
    """Everything was stopped as soon as the release line had done its work."""
    port = free_port()
    honcho = processes.start(
        str(Path(sys.executable).parent / "honcho"),
        "start",
        cwd=project_with_env(tmp_path, f"PORT={port}\nPROCFILE=Procfile.dev\nDEBUG=1\n"),
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    )
    honcho.wait_for_output(r"Listening at", 60)
    honcho.wait_for_output(r"Q Cluster .* running", 60)
    wait_until(lambda: is_fine(f"http://localhost:{port}/readyz"), 60, honcho.text())
    with pytest.raises(subprocess.TimeoutExpired):  # it stays up
        honcho.popen.wait(2)
    with urlopen(f"http://localhost:{port}/sum-start/?n=1000", timeout=60) as reply:
        address = json.load(reply)["task_progress"]
    wait_for_state(address.partition("task_id=")[2], Job.State.DONE)
    with urlopen(address, timeout=60) as reply:
        assert json.load(reply) == {"status": "done", "total": 500500, "error": None, **OVER}
    assert "release" not in honcho.text()
    honcho.stop(signal.SIGINT, seconds=30)
    assert not is_fine(f"http://localhost:{port}/healthz")


def project_with_env(folder: Path, env: str) -> Path:
    """A copy of what web and worker need, where honcho finds this .env."""
    copy = folder / "project"
    for name in ("compute", "sumsite", "templates"):
        shutil.copytree(ROOT / name, copy / name)
    for name in ("manage.py", "gunicorn.conf.py", "Procfile", "Procfile.dev"):
        shutil.copy2(ROOT / name, copy)
    (copy / ".env").write_text(env)
    return copy


def is_fine(address: str) -> bool:
    try:
        with urlopen(address, timeout=60) as reply:
            return bool(reply.status == 200)
    except HTTPError as error:
        error.close()
        return False
    except OSError:  # nobody listens
        return False
