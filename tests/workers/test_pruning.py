"""Pruning beside a node that works: how much it slows it, and how SQLite's files fare."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from statistics import median
from urllib.request import urlopen

import pytest
from django.db import connection
from django_q.tasks import async_task

from compute.queue.engines.sqlite.log import LONG_B
from compute.queue.fanout import async_iter, results
from compute.queue.models import Job
from compute.retention import REST_S, SHARE_S
from tests.aged import make_old_runs
from tests.processes import Processes, wait_until

#: What settings.py lets SQLite's log grow to when nobody reads for long.
BOUND = 16 * 1024 * 1024
TASKS, ROUNDS = 3_000, 5


def seconds_for(tasks: int) -> float:
    """How long a node takes for so many small tasks."""
    began = time.monotonic()
    group = async_iter("operator.neg", list(range(tasks)))
    unsettled = Job.objects.filter(group=group).unsettled()
    wait_until(lambda: not unsettled.exists(), 300)
    return time.monotonic() - began


@pytest.mark.long
def test_pruning_a_million_rows_does_not_slow_a_node(processes: Processes) -> None:
    make_old_runs(5_000, 100)  # with a job and a task for each chunk
    processes.node()
    seconds_for(TASKS)
    ratios = []
    for number in range(ROUNDS):
        taken = {}
        for pruning in (True, False) if number % 2 else (False, True):
            before = Job.objects.count()
            pruner = processes.manage("prune") if pruning else None
            wait_until(lambda: pruner is None or Job.objects.count() < before, 60)  # noqa: B023
            taken[pruning] = seconds_for(TASKS)
            if pruner:
                assert pruner.popen.poll() is None, "it was not pruning all the time"
                pruner.kill_all()
        ratios.append(taken[True] / taken[False])
    left = Job.objects.filter(group__startswith="a0").count()
    print(f"with pruning {sorted(round(ratio, 3) for ratio in ratios)} times as long,")
    print(f"median {median(ratios):.3f}; {500_000 - left:,} jobs pruned meanwhile")

    shares, began = 0, time.monotonic()
    while Job.objects.filter(group__startswith="a0").exists():
        share = async_task("compute.retention.prune_a_share")
        wait_until(lambda: Job.objects.get(pk=share).state == Job.State.DONE, 60)  # noqa: B023
        shares += 1
    print(f"{left:,} jobs, as many tasks: {shares} shares, {time.monotonic() - began:.0f} s")
    assert median(ratios) < 1.1
    # A share each REST_S seconds, and up to 30 more until a node looks for what is due.
    hours = shares * (REST_S + 30 + SHARE_S) / 3600 * 500_000 / left
    print(f"scheduled, a million rows take {hours:.1f} h")
    assert hours < 4


@pytest.mark.sqlite
def test_the_log_of_sqlite_stays_small(processes: Processes) -> None:
    processes.node()
    _, site = processes.web()
    wal = f"{connection.settings_dict['NAME']}-wal"
    sizes = [os.path.getsize(wal)]
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            with urlopen(f"{site}/", timeout=30) as reply:
                reply.read()
            sizes.append(os.path.getsize(wal))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        group = async_iter("operator.neg", list(range(1_000)))
        wait_until(lambda: not Job.objects.filter(group=group).unsettled().exists(), 120)
        # Cut beside the reader, at the guard's next moment without a write.
        wait_until(lambda: os.path.getsize(wal) < LONG_B, 20, "a short log")
    finally:
        over.set()
        reader.join()
    assert results(group) == [-number for number in range(1_000)]
    print(f"the log had up to {max(sizes) / 2**20:.1f} MB")
    assert max(sizes) <= 2 * BOUND, sizes  # on a busy machine; else about a quarter


@pytest.mark.sqlite
def test_a_log_that_a_long_reader_let_grow_is_cut(transactional_db: None) -> None:
    name = connection.settings_dict["NAME"]
    wal = f"{name}-wal"
    reader = sqlite3.connect(name, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM queue_job").fetchall()
    make_old_runs(100, 100)
    Job.objects.update(error="x" * 1_000)
    assert os.path.getsize(wal) > BOUND
    reader.execute("ROLLBACK")
    reader.close()

    one = Job.objects.values_list("pk", flat=True)[0]

    def is_cut() -> bool:
        # Something new each time: SQLite writes no page that would stay as it is.
        assert Job.objects.filter(pk=one).update(error=str(time.monotonic_ns())) == 1
        return os.path.getsize(wal) <= BOUND

    wait_until(is_cut, 30)
