"""What programs are told of how a run stands, and when to ask again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from compute.models import Run
from compute.queue import pauses
from compute.queue.models import Job, JobState
from tests.conftest import check, run_jobs, started

CHECK = "/compute/primes/check/"


@pytest.fixture
def run(db: None) -> Run:
    return started("/compute/primes/start/", n=100, chunk_size=50)


def state(run: Run) -> Any:
    return check(run, f"/compute/{run.computation}/check/")["state"]


def test_a_run_from_the_queue_to_its_end(run: Run) -> None:
    assert state(run) == "queued"
    Job.objects.filter(position=0).update(state=JobState.RUNNING)
    assert state(run) == "running"
    Job.objects.filter(position=0).update(state=JobState.DONE, result=15)
    assert state(run) == "running", "though none of it is at work"
    Job.objects.filter(position=0).update(state=JobState.QUEUED)
    run_jobs()
    assert state(run) == "done"


def test_one_that_is_combined_is_running(run: Run) -> None:
    Job.objects.update(state=JobState.DONE, result=0)
    assert state(run) == "running"
    assert Run.objects.get().combine_id


def test_a_pause_comes_before_all_else(run: Run) -> None:
    Job.objects.filter(position=0).update(state=JobState.RUNNING)
    run.flow.pause()
    assert state(run) == "paused"
    run.flow.resume()
    assert state(run) == "running"
    pauses.pause("primes", "boss")
    assert state(run) == "paused"


def test_what_has_ended_badly(run_with_a_failure: Run) -> None:
    run = started("/compute/primes/start/", n=100)
    run.cancel("boss")
    assert state(run) == "cancelled"
    assert state(run_with_a_failure) == "failed"


def test_programs_ask_again_as_seldom_as_pages(run: Run) -> None:
    for age_s, every in ((0, 1), (61, 2), (601, 5)):
        Run.objects.update(created_at=timezone.now() - timedelta(seconds=age_s))
        assert check(run, CHECK)["poll_after"] == every
        assert check(run, "/sum-check/")["poll_after"] == every
    run_jobs()
    assert "poll_after" not in check(run, CHECK)
