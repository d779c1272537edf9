"""Large results of real workers, some of which are killed while they write one."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
from django.db import connection, transaction
from django_q.tasks import async_task, result

from compute.queue.contents import Content, Part
from compute.queue.fanout import async_iter, results
from compute.queue.models import Job
from tests.processes import Processes, wait_until
from tests.queue import functions
from tests.workers.test_node import wait_for_state, workers_of

MB = 1_000_000


def nothing_is_left_over(count: int) -> None:
    """So many contents, whole, and no part of another."""

    def is_so() -> bool:
        contents = list(Content.objects.exclude(digest=""))
        written = set(Part.objects.values_list("content", flat=True))
        return len(contents) == count and written == {content.pk for content in contents}

    wait_until(is_so, 30, "no other content")
    assert not Content.objects.filter(digest="").exists()


@pytest.mark.main_path
def test_it_arrives_whole(processes: Processes) -> None:
    node = processes.node()
    task_id = async_task(functions.large, 5 * MB)
    done = wait_for_state(task_id, Job.State.DONE)
    assert done.result == result(task_id) == functions.large(5 * MB)
    nothing_is_left_over(1)
    assert node.stop() == 0


@pytest.mark.thorough
def test_a_worker_is_killed_while_it_writes_one(processes: Processes) -> None:
    """Its first parts are removed by the next attempt, whose result is exact."""
    processes.node()
    task_id = async_task(functions.large, 50 * MB)
    wait_until(Content.objects.filter(holder=task_id).exists, 60, "its first part")
    with transaction.atomic():  # in which nobody else writes
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE queue_part IN SHARE MODE")
        begun = Content.objects.get(holder=task_id)
        job = Job.objects.get(pk=task_id)
        assert (begun.digest, job.state) == ("", Job.State.RUNNING)
        assert job.worker
        os.kill(job.worker, signal.SIGKILL)
    done = wait_for_state(task_id, Job.State.DONE, 60)
    assert (done.attempt, done.deaths) == (2, 1)
    assert done.result == functions.large(50 * MB)
    assert not Content.objects.filter(pk=begun.pk).exists()
    nothing_is_left_over(1)


@pytest.mark.thorough
def test_two_nodes_whose_workers_are_killed(processes: Processes) -> None:
    for _ in range(2):
        processes.node()
    sizes = [3 * MB + number for number in range(12)]
    group = async_iter(functions.large, sizes)
    jobs = Job.objects.filter(group=group)
    for count in (2, 5):  # a third death would be a task's last
        wait_until(lambda: jobs.filter(state=Job.State.DONE).count() >= count, 60)  # noqa: B023
        running = jobs.filter(state=Job.State.RUNNING).first()
        if running and running.worker:
            os.kill(running.worker, signal.SIGKILL)
    wait_until(lambda: not jobs.unsettled().exists(), 120, "the end")
    assert results(group) == [functions.large(size) for size in sizes]
    nothing_is_left_over(len(sizes))


@pytest.mark.long
@pytest.mark.skipif(not psutil.LINUX, reason="Linux tells what a process has had at most")
@pytest.mark.parametrize("func", ["repeated", "repeated_in_a_box"])
def test_what_a_hundred_megabytes_take(processes: Processes, func: str) -> None:
    """Of the worker's memory, beside the result; and of the time of whoever reads it."""
    node = processes.node(Q_WORKERS="1")
    (worker,) = workers_of(node)
    before = worker.memory_info().rss
    size = 100 * MB
    task_id = async_task(f"tests.queue.functions.{func}", size)
    done = wait_for_state(task_id, Job.State.DONE, 120)
    assert done.worker == worker.pid
    beside = highest(worker.pid) - before - size
    began = time.monotonic()
    read = sum(map(len, Content.objects.get().read()))
    rate = read / (time.monotonic() - began) / MB
    print(f"\n{func}: the worker has had {beside / MB:.0f} MB beside the result of 100 MB;")
    print(f"it is read at {rate:.0f} MB/s, beside a load of {os.getloadavg()[0]:.0f}")
    assert beside < (30 * MB if func == "repeated" else 150 * MB)


def highest(pid: int) -> int:
    """Bytes of memory that a process has had at most."""
    with open(f"/proc/{pid}/status") as file:
        (line,) = (line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
