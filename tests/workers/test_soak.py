"""A node for an hour, with 20,000 tasks: what it holds must not grow."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import psutil
import pytest
from django.db import connection
from django_q.tasks import async_task

from compute.computations.sums import SUM
from compute.models import Run
from compute.models.notes import unfinished
from compute.models.plans import plan
from compute.queue.models import Job
from tests.processes import Process, Processes, wait_until

HOUR, WARM_UP = 3600, 600  # seconds
ROUNDS = 200  # of 18 s, each with a run of 50 chunks and 50 tasks one by one
CHUNKS = TASKS = 50


class Held(NamedTuple):
    """What all processes of a node have at one moment."""

    memory: int  # bytes, what they share counted once
    files: int  # open files, sockets and pipes
    connections: int  # to Postgres, everybody's


@pytest.mark.long
def test_an_hour_and_twenty_thousand_tasks_leave_nothing_behind(processes: Processes) -> None:
    node = processes.node()
    held: list[tuple[float, Held]] = []
    began = time.monotonic()
    for number in range(ROUNDS):
        plan(SUM, {"n": CHUNKS * 1_000}, 1_000).start()
        for task in range(TASKS):
            # Of every kind: one of ten fails, one has a result of a megabyte.
            func, argument = {0: ("math.sqrt", -1), 1: ("bytes", 1_000_000)}.get(
                task % 10, ("math.factorial", 100)
            )
            async_task(func, argument)
            moment = began + HOUR / ROUNDS * (number + (task + 1) / TASKS)
            time.sleep(max(0, moment - time.monotonic()))
        wait_until(lambda: not (Job.objects.unsettled().exists() or unfinished()), 60)
        held.append((time.monotonic() - began, look_at(node)))

    assert ROUNDS * (CHUNKS + TASKS) == 20_000
    assert Job.objects.count() == 20_000 + ROUNDS  # a run has a task more, which combines it
    assert Job.objects.filter(state=Job.State.FAILED).count() == ROUNDS * TASKS / 10
    assert not Run.objects.exclude(result=50_000 * 50_001 // 2).exists()
    early = [each for moment, each in held if WARM_UP < moment <= 2 * WARM_UP]
    late = [each for moment, each in held if moment > HOUR - WARM_UP]

    def both(what: Callable[[Held], int]) -> tuple[float, float]:
        return median(map(what, early)), median(map(what, late))

    memory, files = both(lambda each: each.memory), both(lambda each: each.files)
    connections = both(lambda each: each.connections)
    print(f"memory {memory[0] / 2**20:.1f} → {memory[1] / 2**20:.1f} MB,")
    print(f"files {files[0]} → {files[1]}, connections {connections[0]} → {connections[1]}")
    for moment, each in held[:: ROUNDS // 20]:
        print(f"{moment:5.0f} s: {each.memory / 2**20:.1f} MB, {each.files}, {each.connections}")
    assert memory[1] < memory[0] * 1.05
    assert files[1] <= files[0]
    assert connections[1] <= connections[0]
    assert "WARNING" not in node.text()


def look_at(node: Process) -> Held:
    memory = files = 0
    for process in node.family():
        with contextlib.suppress(psutil.NoSuchProcess):
            memory += process.memory_full_info().pss
            files += process.num_fds()
    return Held(memory, files, connections())


def connections() -> int:
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
