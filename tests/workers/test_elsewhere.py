"""A node without what Linux alone has (Q_PORTABLE=1), as it would run on macOS."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from django.test import Client
from django_q.tasks import async_task

from compute.queue.fanout import async_iter, results
from compute.queue.models import Job
from tests.processes import Process, Processes, wait_for_end, wait_until
from tests.workers import test_chapters as chapters
from tests.workers.test_node import stat_of, wait_for_state

#: Seconds after which nothing of a killed process' family is left.
ORPHANED_S = 2


@pytest.fixture
def elsewhere(processes: Processes) -> Processes:
    processes.environment = {**processes.environment, "Q_PORTABLE": "1"}
    return processes


@pytest.mark.parametrize(
    "chapter", [chapters.test_start_and_check, chapters.test_the_sum_command_prints_the_total_alone]
)
def test_a_chapter(elsewhere: Processes, chapter: Callable[[Processes], None]) -> None:
    chapter(elsewhere)


@pytest.mark.parametrize(
    "chapter",
    [
        chapters.test_the_failing_task_is_found_in_the_admin,
        chapters.test_a_failed_chunk_is_retried_in_the_admin_and_completes_its_run,
    ],
)
def test_a_chapter_with_the_admin(
    elsewhere: Processes, admin: Client, chapter: Callable[[Processes, Client], None]
) -> None:
    chapter(elsewhere, admin)


def busy(node: Process) -> tuple[Any, list[psutil.Process]]:
    """Have both workers run what does not look up; the node's statistics, and its workers."""
    for _ in range(2):
        wait_for_state(async_task("time.sleep", 600), Job.State.RUNNING)
    stat = wait_until(lambda: stat_of(node))
    return stat, [psutil.Process(pid) for pid in stat.workers]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_or_frozen_worker_is_replaced(elsewhere: Processes, number: int) -> None:
    node = elsewhere.node(Q_WORKERS="1")
    task_id = async_task("time.sleep", 3)
    running = wait_for_state(task_id, Job.State.RUNNING)
    assert running.worker
    os.kill(running.worker, number)
    assert wait_for_state(task_id, Job.State.DONE).attempt == 2
    assert node.stop() == 0


def test_workers_at_work_end_with_a_killed_guard(elsewhere: Processes) -> None:
    node = elsewhere.node(Q_WORKERS="2")
    stat, workers = busy(node)
    os.kill(stat.sentinel, signal.SIGKILL)
    wait_for_end(workers, ORPHANED_S)
    Job.objects.all().cancel("by a test")
    group = async_iter("math.factorial", [5] * 10)
    wait_until(lambda: results(group), 20)
    assert node.stop() == 0


def test_all_end_with_a_killed_supervisor(elsewhere: Processes) -> None:
    node = elsewhere.node(Q_WORKERS="2")
    busy(node)
    family = node.family()
    os.kill(node.pid, signal.SIGKILL)
    wait_for_end(family, ORPHANED_S)


def test_a_ctrl_c_stops_it_quietly(elsewhere: Processes) -> None:
    node = elsewhere.node(Q_WORKERS="2", Q_GRACE="0.5")
    task_id = async_task("time.sleep", 600)
    wait_for_state(task_id, Job.State.RUNNING)
    assert node.stop(signal.SIGINT) == 0
    assert Job.objects.get(pk=task_id).state == Job.State.QUEUED
    assert "Traceback" not in node.text()


def test_a_commit_wakes_a_worker_within_50_ms(elsewhere: Processes) -> None:
    node = elsewhere.node(Q_WORKERS="1")
    waits = []
    for _ in range(10):
        done = wait_for_state(async_task("math.factorial", 5), Job.State.DONE)
        assert done.started_at
        waits.append((done.started_at - done.queued_at).total_seconds())
    assert sorted(waits)[2] < 0.05, waits
    assert node.stop() == 0
