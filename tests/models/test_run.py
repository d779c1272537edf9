"""A run, and what its jobs say of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from compute.computations.sums import SUM
from compute.models import Run
from compute.models.notes import refresh
from compute.models.plans import run_of
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from tests.aged import a_run, make_rows
from tests.conftest import finish_by_hand, run_jobs, run_queued, started
from tests.models.jobs import set_states


def test_the_newest_run_comes_first(db: None) -> None:
    runs = [started("/sum-start/", n=n) for n in range(3)]
    assert list(Run.objects.all()) == runs[::-1]


def test_the_last_runs_that_are_done_are_no_more_than_it_takes(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.models.run.LATELY", 2)
    make_rows(5)
    started("/sum-start/", n=3)
    lately = Run.objects.done_lately("sum")
    assert [run.task_id[-1] for run in lately] == ["4", "3"]
    assert not Run.objects.done_lately("primes")


def test_progress_counts_the_jobs_and_cancelled_ones_as_failed(db: None) -> None:
    run = started("/split-sum-start/", n=6, chunk_size=1)
    set_states(
        run,
        JobState.QUEUED,
        JobState.RUNNING,
        JobState.DONE,
        JobState.DONE,
        JobState.FAILED,
        JobState.CANCELLED,
    )
    assert run.progress()[:3] == (2, 2, 6)
    assert [job.number for job in run.failures()] == [5]


def test_a_done_run_needs_its_jobs_no_more_to_tell_its_progress(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    finish_by_hand(run, 15, 40)
    run_jobs()
    run.jobs.delete()
    run.refresh_from_db()
    assert run.progress()[:3] == (2, 0, 2)
    assert refresh(run)[:3] == (2, 0, 2)


def test_what_workers_have_spent_on_it_is_in_its_flow_or_in_its_jobs(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    assert run.spent == 0
    run.flow.update(seconds=12.5)
    assert run.spent == 12.5
    run.flow.delete()  # of the version before
    now = timezone.now()
    done = run.jobs.filter(position=0)
    done.update(state=JobState.DONE, started_at=now - timedelta(seconds=90), finished_at=now)
    assert run.spent == pytest.approx(90, abs=0.01)


def test_a_run_that_has_not_failed_has_no_error(db: None) -> None:
    run = started("/sum-start/", n=10)
    assert run.error() is None
    run_jobs()
    refresh(run)
    assert run.error() is None


@pytest.mark.thorough
def test_of_one_chunk_the_error_is_the_chunks_own(db: None) -> None:
    run = started("/bug-sum-start/", n=1234567)
    run_jobs()
    refresh(run)
    assert run.error() == run.jobs.get().error


@pytest.mark.thorough
def test_of_many_chunks_the_error_counts_and_gives_the_first(db: None) -> None:
    run = started("/split-sum-start/", n=1200, chunk_size=1)
    run.jobs.update(state=JobState.FAILED, error="ValueError: no")
    run.jobs.filter(position__lt=1100).update(state=JobState.DONE, result=1)
    refresh(run)
    assert run.error() == (
        "100 of 1,200 chunks failed, the first being number 1,101: ValueError: no"
    )


def test_a_cancelled_chunk_explains_more_than_a_failed_one(db: None) -> None:
    run = started("/split-sum-start/", n=3, chunk_size=1)
    set_states(run, JobState.DONE, JobState.FAILED, JobState.CANCELLED)
    refresh(run)
    assert run.error() == "error 3"


@pytest.mark.parametrize(
    ("shown", "began", "brief"),
    [
        ("even: 3\n\n odd: 4", None, "even: 3, odd: 4"),
        ("1234567", None, "1,234,567"),
        ("", "1234567", "1,234,567"),
        ("9" * 41, None, "9" * 41),
        ("[1, 2]", None, "[1, 2]"),
        ("", '"text', '"text'),
        ("", None, ""),
    ],
)
def test_a_list_has_the_beginning_of_a_result(shown: str, began: str | None, brief: str) -> None:
    run = Run(shown=shown)
    run.began = began  # type: ignore[attr-defined]
    assert run.brief == brief


def test_a_result_that_older_code_has_noted_can_be_read() -> None:
    assert Run(result=1234567).readable == "1,234,567"
    assert Run(result=["a"]).readable == "a"
    assert Run(result=5, shown="five").readable == "five"


def test_a_failed_run_without_chunks_has_been_removed(db: None) -> None:
    run = a_run("/sum-start/")
    run.state = Run.State.ERROR
    Job.objects.all().delete()
    assert run.error() == "its chunks have been removed"
    assert run.results() == []
    Run.objects.all().delete()
    for ask in (run.error, run.results, run.progress):
        with pytest.raises(Run.DoesNotExist):
            ask()


def test_results_of_which_one_is_large_are_not_loaded(db: None) -> None:
    """By a web process, which shows them as they are."""
    group = async_iter("tests.queue.functions.large", [10, 100_000], task_name="large")
    run = run_of(group, SUM, {"n": 2}, chunk_size=1, chunks=2)
    run_queued()
    assert run.progress().done == 2
    with CaptureQueriesContext(connection) as queries:
        assert run.results() is None
    assert not any("queue_part" in query["sql"] for query in queries.captured_queries)


def test_a_run_never_took_less_than_nothing(db: None) -> None:
    run = started("/sum-start/", n=5)
    assert run.took is None
    run.finished_at = run.created_at - timedelta(seconds=1)
    assert run.took == 0
