"""The work that the workers have still to do for visitors' unfinished runs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now
from django.test import Client

from compute.computations.sums import SUM
from compute.models import Run, Sweep
from compute.models.plans import plan
from compute.queue.models import Job, JobState
from compute.web.work import followers, unfinished_work
from tests.conftest import run_queued, started


def start(expected_seconds: float | None) -> Run:
    """A visitor's run of four chunks, of which nothing has begun."""
    run = started("/split-sum-start/", n=40, chunk_size=10)
    Run.objects.filter(pk=run.pk).update(expected_seconds=expected_seconds)
    return run


def work_of(run: Run) -> float:
    (work,) = (work for told, work in unfinished_work() if told["task_id"] == run.task_id)
    return work


def test_without_runs_there_is_none(db: None) -> None:
    assert unfinished_work() == []


def test_a_run_that_waits_has_all_that_was_expected(db: None) -> None:
    first, second = start(100), start(20)
    assert (work_of(first), work_of(second)) == (100, 20)


def test_a_run_has_the_less_left_the_more_of_its_chunks_are_done(db: None) -> None:
    run = start(100)
    done = [job.pk for job in run.jobs[:3]]
    Job.objects.filter(pk__in=done).update(
        state=JobState.DONE, started_at=Now() - timedelta(seconds=25), finished_at=Now()
    )
    assert work_of(run) == pytest.approx(25, abs=1)


def test_of_a_run_that_nobody_could_estimate_each_chunk_counts_as_the_settings_say(
    db: None,
) -> None:
    assert work_of(start(None)) == 4 * settings.UNKNOWN_CHUNK_SECONDS


def test_while_its_chunks_are_combined_that_task_alone_is_left(db: None) -> None:
    run = start(100)
    run_queued(4)
    Client().get(run.get_absolute_url())  # a look queues what combines them
    assert Run.objects.get().combine_id
    assert work_of(run) == settings.UNKNOWN_CHUNK_SECONDS


def test_a_run_that_has_ended_and_one_of_no_visitor_are_none(db: None) -> None:
    Run.objects.filter(pk=start(100).pk).update(state=Run.State.CANCELLED)
    plan(SUM, {"n": 40}, 10).start()  # by a terminal
    assert unfinished_work() == []


def test_a_run_that_tries_a_chunk_size_has_the_work_of_those_that_follow_it(db: None) -> None:
    run = start(100)
    sweep = Sweep.objects.create(computation="sum", parameters={"n": 40}, sizes=[40, 20, 10])
    Run.objects.filter(pk=run.pk).update(sweep=sweep)
    assert work_of(run) == 100 + 2 * 100


@pytest.mark.thorough
def test_a_sweep_has_as_many_followers_as_it_has_not_started(db: None) -> None:
    made = [Sweep.objects.create(computation="sum", parameters={}, sizes=[2, 1]) for _ in range(2)]
    one, other = made
    assert followers({one.pk}) == {one.pk: 2}
    for _ in range(3):  # more than it has sizes
        Run.objects.filter(pk=start(1).pk).update(sweep=other)
    assert followers({one.pk, other.pk}) == {one.pk: 2, other.pk: 0}
    assert followers(set()) == {}
