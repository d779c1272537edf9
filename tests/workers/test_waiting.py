"""Work that waits for others on real workers: awaited, cancelled, ended by its time limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil
import pytest
from django.contrib.auth.models import User
from django_q.tasks import async_task

from compute.queue.models import Job, JobState
from tests.processes import Processes, runs, wait_until
from tests.queue import functions

WAITING = [functions.wait_for_long, functions.wait_in_threads]


def job_of(task_id: str) -> Job:
    return Job.objects.get(pk=task_id)


def settled(task_id: str) -> Job:
    wait_until(lambda: not Job.objects.filter(pk=task_id).unsettled().exists())
    return job_of(task_id)


def test_a_coroutine_is_awaited_and_may_ask_the_database(processes: Processes) -> None:
    User.objects.create(username="ann")
    processes.node(Q_WORKERS="1")
    ids = [async_task(functions.count_users) for _ in range(3)]
    ids.append(async_task(functions.fail_later))
    jobs = [settled(each) for each in ids]
    assert [job.result for job in jobs[:3]] == [1, 1, 1]
    assert (jobs[3].state, jobs[3].error) == (JobState.FAILED, "ValueError: no luck")
    assert len({job.worker for job in jobs}) == 1, "no worker was lost on the way"


@pytest.mark.parametrize("function", WAITING)
def test_what_waits_is_cancelled_with_its_worker(
    processes: Processes, function: Callable[..., Any]
) -> None:
    processes.node(Q_WORKERS="1")
    task_id = async_task(function)
    wait_until(lambda: job_of(task_id).worker)
    worker = psutil.Process(job_of(task_id).worker)
    Job.objects.filter(pk=task_id).cancel("cancelled by a test")
    wait_until(lambda: not runs(worker))
    assert job_of(task_id).state == JobState.CANCELLED
    assert settled(async_task(functions.add, 1, 2)).result == 3


@pytest.mark.parametrize("function", WAITING)
def test_what_waits_for_too_long_has_failed(
    processes: Processes, function: Callable[..., Any]
) -> None:
    """A coroutine is interrupted; threads can't be, and end with their worker 3 s later."""
    processes.node(Q_WORKERS="1")
    job = settled(async_task(function, timeout=1))
    assert (job.state, job.error_class) == (JobState.FAILED, "TimeoutException")
    assert settled(async_task(functions.add, 1, 2)).result == 3
