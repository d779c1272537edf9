"""What a site and its nodes do while the database, or a whole machine, is away."""

from __future__ import annotations

import contextlib
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import Success
from django_q.tasks import async_task

from compute.queue.fanout import async_iter, results
from compute.queue.models import Job, Node
from tests import database
from tests.processes import Process, Processes, wait_until
from tests.workers.test_chapters import get, settled
from tests.workers.test_node import wait_for_state

SLOWLY = "tests.queue.functions.slowly"


def refused(address: str) -> None:
    """The site says that it can't, for now: 503, and when to ask again."""
    with pytest.raises(HTTPError) as caught:
        urlopen(address, timeout=60)
    with caught.value as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
        assert "The database does not answer" in reply.read().decode()


def assert_all_done(group: str, count: int) -> None:
    unsettled = Job.objects.in_group(group).unsettled()
    wait_until(lambda: not unsettled.exists(), 60, f"the end of {group}")
    assert results(group) == list(range(count))
    assert Success.objects.filter(group=group).count() == count


@pytest.mark.postgres
@pytest.mark.parametrize("seconds", [4, pytest.param(30, marks=pytest.mark.long)])
def test_the_database_goes_away_amid_runs(processes: Processes, seconds: int) -> None:
    web, site = processes.web()
    nodes = [processes.node() for _ in range(2)]
    checks = [
        get(f"{site}/split-sum-start/?n=60000000&chunk_size=2000000")["task_progress"]
        for _ in range(3)
    ]
    wait_until(lambda: Job.objects.filter(state=Job.State.DONE).count() > 5)
    database.stop()
    try:
        connection.close()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            refused(checks[0])
            refused(f"{site}/sum-start/?n=10")
            time.sleep(0.2)
    finally:
        database.start()
    back = timezone.now()
    wait_until(Job.objects.filter(started_at__gt=back).exists, 10, "nodes at work again")
    alive = Node.objects.filter(seen_at__gt=back)
    wait_until(lambda: alive.count() == 2, 10, "signs of life, and with them leases")
    for check in checks:
        assert settled(check)["total"] == 1800000030000000
    for process in (web, *nodes):
        assert process.stop() == 0, process.text()


@pytest.mark.postgres
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_restart_of_the_database_costs_no_request_once_it_is_back(
    processes: Processes, accept: str
) -> None:
    """One web process, so each request has the connection that the restart has cut."""
    web, site = processes.web(WEB_CONCURRENCY="1")
    check = get(f"{site}/split-sum-start/?n=10")["task_progress"]
    for address in (check, f"{site}/", f"{site}/sum-start/?n=10", f"{site}/nodes/"):
        database.restart()
        with urlopen(Request(address, headers={"Accept": accept}), timeout=60) as reply:
            assert reply.status == 200, address
    database.restart()
    connection.close()
    with pytest.raises(HTTPError) as caught:
        urlopen(f"{site}/readyz", timeout=60)
    with caught.value as reply:
        assert "No queue server is running" in reply.read().decode()
    assert "the database does not answer" not in web.text()


@pytest.mark.sqlite
@pytest.mark.long
def test_somebody_holds_the_write_lock_for_longer_than_one_waits(processes: Processes) -> None:
    _, site = processes.web()
    node = processes.node(Q_LEASE="5")
    group = async_iter(SLOWLY, [(i, 0.2) for i in range(20)])
    wait_until(lambda: Job.objects.filter(state=Job.State.DONE).count() > 2)
    with contextlib.closing(sqlite3.connect(connection.settings_dict["NAME"])) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        done = Job.objects.filter(state=Job.State.DONE).count()
        refused(f"{site}/sum-start/?n=10")  # after the 20 s that a write waits
        assert get(f"{site}/sum-sync/?n=10") == {"total": 55}, "what writes nothing goes on"
        node.wait_for_output("the database is away.*: database is locked")
        assert Job.objects.filter(state=Job.State.DONE).count() == done
    assert_all_done(group, 20)
    assert node.stop() == 0


@pytest.mark.sqlite
def test_the_disk_is_full(processes: Processes) -> None:
    web, site = processes.web()
    node = processes.node()
    group = async_iter(SLOWLY, [(i, 0.1) for i in range(60)])
    wait_until(lambda: Job.objects.filter(state=Job.State.DONE).count() > 2)
    with no_room(web, node):
        node.wait_for_output("the database is away.*: (disk I/O error|database or disk is full)")
        refused(f"{site}/sum-start/?n=10")
        assert Job.objects.unsettled().exists()
    assert_all_done(group, 60)
    task = async_task(SLOWLY, 1, 0)
    wait_for_state(task, Job.State.DONE)
    assert node.stop() == 0


#: Bytes of a frame of SQLite's log: a page and its head.
FRAME = 4096 + 24
#: A file may be so long in any case: there has to be room for all that the processes print.
PRINTED = 1 << 16


@contextlib.contextmanager
def no_room(*processes: Process) -> Iterator[None]:
    """No file of theirs may get longer than what SQLite's log holds now.

    A reader keeps it from beginning anew, for which there would be room.
    """
    with contextlib.closing(sqlite3.connect(connection.settings_dict["NAME"])) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM queue_job").fetchall()
        with contextlib.closing(sqlite3.connect(connection.settings_dict["NAME"])) as asking:
            _, frames, _ = asking.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        limit_file_sizes(max(PRINTED, frames * FRAME), *processes)
        try:
            yield
        finally:
            limit_file_sizes(resource.RLIM_INFINITY, *processes)


def limit_file_sizes(limit: int, *processes: Process) -> None:
    for process in processes:
        for member in process.family():
            _, most = resource.prlimit(member.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(member.pid, resource.RLIMIT_FSIZE, (limit, most))


def test_a_machine_that_sleeps_and_wakes_changes_nothing(processes: Processes) -> None:
    sleeper = processes.node(Q_LEASE="2")
    task_id = async_task(SLOWLY, "once", 3)
    first = wait_for_state(task_id, Job.State.RUNNING)
    for process in sleeper.family():
        process.send_signal(signal.SIGSTOP)
    other = processes.node(Q_LEASE="2")
    done = wait_for_state(task_id, Job.State.DONE)
    assert (done.attempt, done.result) == (2, "once")
    assert done.node_id != first.node_id
    record = Success.objects.values().get()
    for process in sleeper.family():
        process.send_signal(signal.SIGCONT)
    sleeper.wait_for_output("its lease was lost, the outcome is dropped")
    after = Job.objects.get(pk=task_id)
    assert (after.node_id, after.attempt, after.finished_at) == (
        done.node_id,
        2,
        done.finished_at,
    )
    assert Success.objects.values().get() == record
    assert other.stop() == 0
    wait_for_state(async_task(SLOWLY, 1, 0), Job.State.DONE)  # it is as good as before
    assert sleeper.stop() == 0


@pytest.mark.long
def test_a_chunk_of_three_minutes_runs_once(processes: Processes) -> None:
    nodes = [processes.node() for _ in range(2)]
    group = async_iter(SLOWLY, [(i, 180) for i in range(4)])
    unsettled = Job.objects.in_group(group).unsettled()
    wait_until(lambda: not unsettled.exists(), 240, "the end of four long chunks")
    assert results(group) == list(range(4))
    jobs = Job.objects.in_group(group)
    assert set(jobs.values_list("attempt", "delivery")) == {(1, 1)}
    for node in nodes:
        assert node.stop() == 0
