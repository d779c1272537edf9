"""Tiny tasks, which workers claim and settle several at a time: with real processes."""

from __future__ import annotations

import pytest

from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from tests.processes import Processes, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]

COUNT, ODD = 400, 250


def ended(group: str) -> int:
    return Job.objects.in_group(group).exclude(state__in=["queued", "running"]).count()


def test_a_tiny_task_that_kills_its_worker_takes_no_other_along(processes: Processes) -> None:
    processes.node(Q_WORKERS="2")
    group = async_iter("tests.queue.functions.kill_if", [(n, n == ODD) for n in range(COUNT)])
    wait_until(lambda: ended(group) == COUNT, 60, "all have ended")
    jobs = Job.objects.in_group(group)
    (failed,) = jobs.filter(state=JobState.FAILED)
    assert (failed.position, failed.error_class, failed.deaths) == (ODD, "WorkerDied", 2)
    others = jobs.exclude(pk=failed.pk)
    assert set(others.values_list("state", "deaths")) == {(JobState.DONE, 0)}
    assert others.filter(attempt=1).count() > COUNT - 100, "what was done is not run again"


def test_while_a_tiny_task_takes_long_all_others_end(processes: Processes) -> None:
    """Those before it, which its worker has not written, and those that it has claimed with it."""
    node = processes.node(Q_WORKERS="2")
    calls = [(n, 60 if n == ODD else 0) for n in range(COUNT)]
    group = async_iter("tests.queue.functions.sleep_for", calls)
    wait_until(lambda: ended(group) == COUNT - 1, 20, "all others have ended")
    jobs = Job.objects.in_group(group)
    assert set(jobs.exclude(position=ODD).values_list("state", "starts", "deaths")) == {
        (JobState.DONE, 1, 0)
    }
    assert jobs.get(position=ODD).state == JobState.RUNNING
    assert "lease was lost" not in node.text()
