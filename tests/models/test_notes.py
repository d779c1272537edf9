"""Run: what it notes of its jobs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import InterfaceError, OperationalError
from django.db.models.functions import Now
from django.utils import timezone

from compute.models import Progress, Run, notes
from compute.models.notes import refresh, settle, unfinished
from compute.models.retries import retry
from compute.queue.models import Job, JobState
from compute.queue.signals import groups_changed
from tests.conftest import finish_by_hand, run_jobs, run_queued, started

State = Run.State


def set_states(run: Run, *states: JobState) -> None:
    for job, state in zip(run.jobs, states, strict=True):
        Job.objects.filter(pk=job.pk).update(state=state, result=1, error=f"error {job.number}")


def test_a_runs_address_names_its_computation() -> None:
    run = Run(computation="primes", task_id="abc")
    assert run.get_absolute_url() == "/compute/primes/check/?task_id=abc"


def test_the_newest_run_comes_first(db: None) -> None:
    runs = [started("/sum-start/", n=n) for n in range(3)]
    assert list(Run.objects.all()) == runs[::-1]


@pytest.mark.parametrize(
    ("progress", "settled"),
    [
        (Progress(0, 0, 0), True),
        (Progress(0, 0, 1), False),
        (Progress(2, 1, 4), False),
        (Progress(2, 2, 4), True),
        (Progress(4, 0, 4), True),
    ],
)
def test_progress_is_settled_when_every_chunk_is(progress: Progress, settled: bool) -> None:
    assert progress.settled == settled


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


def test_the_jobs_of_other_runs_do_not_count(db: None) -> None:
    run = started("/split-sum-start/", n=2, chunk_size=1)
    finish_by_hand(started("/split-sum-start/", n=2, chunk_size=1), 1, 2)
    assert refresh(run)[:3] == (0, 0, 2)


def test_refresh_has_the_total_made_and_notes_when_it_was(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    assert refresh(run)[:3] == (0, 0, 2)
    assert (run.state, run.result, run.finished_at) == (State.IN_PROGRESS, None, None)
    finish_by_hand(run, 15, 40)
    last = timezone.now() - timedelta(hours=1)
    Job.objects.filter(group=run.task_id, position=0).update(finished_at=last)
    Job.objects.filter(group=run.task_id, position=1).update(finished_at=last - timedelta(hours=1))
    assert refresh(run)[:3] == (2, 0, 2)
    assert (run.state, run.result, run.finished_at) == (State.IN_PROGRESS, None, None)
    assert run.results() == [15, 40]  # which are there before they make one
    before = timezone.now()
    run_queued()
    assert refresh(run)[:3] == (2, 0, 2)
    assert (run.state, run.result, run.shown) == (State.DONE, 55, "55")
    # The time that combining took is part of it; clocks of the database and here may differ.
    assert run.finished_at is not None
    assert run.finished_at > before - timedelta(seconds=1)
    assert run.results() == [15, 40]


def test_a_run_of_one_task_ended_when_its_task_did(db: None) -> None:
    run = started("/sum-start/", n=10)
    finish_by_hand(run, 55)
    last = timezone.now() - timedelta(hours=1)
    Job.objects.filter(group=run.task_id).update(finished_at=last)
    refresh(run)
    assert (run.state, run.result, run.shown, run.finished_at) == (State.DONE, 55, "55", last)
    assert run.combine_id == ""


def test_what_is_noted_once_does_not_change_by_looking_again(db: None) -> None:
    run = started("/sum-start/", n=10)
    run_jobs()
    refresh(run)
    noted = Run.objects.values().get()
    refresh(run)
    assert Run.objects.values().get() == noted


def test_a_run_without_chunks_is_combined_at_once(db: None) -> None:
    run = started("/split-sum-start/", n=0)
    assert refresh(run)[:3] == (0, 0, 0)
    assert (run.state, run.result) == (State.IN_PROGRESS, None)
    run_queued()  # what combines nothing was queued with it
    assert refresh(run)[:3] == (0, 0, 0)
    assert (run.state, run.result) == (State.DONE, 0)
    assert run.finished_at is not None


def test_a_run_without_chunks_whose_combine_is_cancelled_ended_when_that_did(db: None) -> None:
    run = started("/split-sum-start/", n=0)
    run.cancel("boss")
    run.refresh_from_db()
    assert (run.state, run.error()) == (State.CANCELLED, "cancelled by boss")
    assert run.combine_job is not None
    assert run.finished_at == run.combine_job.finished_at


def test_a_done_run_needs_its_jobs_no_more_to_tell_its_progress(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    finish_by_hand(run, 15, 40)
    run_jobs()
    run.jobs.delete()
    run.refresh_from_db()
    assert run.progress()[:3] == (2, 0, 2)
    assert refresh(run)[:3] == (2, 0, 2)


def test_a_failed_run_whose_chunks_have_been_removed_stays_failed(
    run_with_a_failure: Run,
) -> None:
    refresh(run_with_a_failure)
    run_with_a_failure.jobs.delete()
    refresh(run_with_a_failure)
    assert run_with_a_failure.state == State.ERROR
    assert run_with_a_failure.error() == "its chunks have been removed"
    assert unfinished() == 0


def test_a_run_that_has_not_failed_has_no_error(db: None) -> None:
    run = started("/sum-start/", n=10)
    assert run.error() is None
    run_jobs()
    refresh(run)
    assert run.error() is None


def test_of_one_chunk_the_error_is_the_chunks_own(db: None) -> None:
    run = started("/bug-sum-start/", n=1234567)
    run_jobs()
    refresh(run)
    assert run.error() == run.jobs.get().error


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


def test_a_retry_queues_the_failed_chunks_and_no_others(
    run_with_a_failure: Run, missing_file: Path
) -> None:
    refresh(run_with_a_failure)
    assert run_with_a_failure.finished_at is not None
    missing_file.write_text("123")
    assert retry(run_with_a_failure) == 1
    assert retry(run_with_a_failure) == 0
    run_with_a_failure.refresh_from_db()
    assert run_with_a_failure.state == State.IN_PROGRESS
    assert run_with_a_failure.finished_at is None
    run_jobs()
    refresh(run_with_a_failure)
    assert (run_with_a_failure.state, run_with_a_failure.result) == (State.DONE, 123)
    assert list(run_with_a_failure.jobs.values_list("attempt", flat=True)) == [1, 2, 1]


def test_a_cancelled_chunk_is_not_retried(db: None) -> None:
    run = started("/sum-start/", n=10)
    set_states(run, JobState.CANCELLED)
    assert retry(run) == 0


def test_unfinished_counts_the_runs_in_progress(db: None) -> None:
    assert unfinished() == 0
    started("/split-sum-start/", n=3, chunk_size=1)
    started("/sum-start/", n=3)
    assert unfinished() == 2


def test_unfinished_finds_what_a_killed_node_left_unnoted(db: None) -> None:
    run = started("/sum-start/", n=3)
    started("/sum-start/", n=4)
    Job.objects.filter(pk=run.task_id).update(state=JobState.DONE, result=6, finished_at=Now())
    assert unfinished() == 1
    run.refresh_from_db()
    assert (run.state, run.result) == (State.DONE, 6)


def test_the_queues_word_that_a_group_has_settled_is_noted(db: None) -> None:
    run = started("/sum-start/", n=3)
    run_queued()
    groups_changed.send(sender=Job, groups={run.task_id})
    run.refresh_from_db()
    assert (run.state, run.result) == (State.DONE, 6)


def test_a_run_that_cannot_be_noted_does_not_keep_others_from_it(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [started("/sum-start/", n=3), started("/sum-start/", n=3)]
    run_jobs()
    noted = notes.refresh

    def refuse(run: Run) -> Progress:
        if run == bad:
            raise ValueError("it can't be noted")
        return noted(run)

    monkeypatch.setattr(notes, "refresh", refuse)
    for bad in runs:
        Run.objects.update(state=State.IN_PROGRESS)
        with pytest.raises(ValueError, match="can't be noted"):
            groups_changed.send(sender=Job, groups={run.task_id for run in runs})
        assert set(Run.objects.filter(state=State.DONE)) == set(runs) - {bad}


def test_the_queues_word_about_a_group_that_is_no_run_is_nothing(db: None) -> None:
    run = started("/sum-start/", n=3)
    run_queued()
    groups_changed.send(sender=Job, groups={"another"})
    run.refresh_from_db()
    assert run.state == State.IN_PROGRESS


def test_what_cannot_be_noted_is_logged_and_keeps_no_other_from_it(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [started("/sum-start/", n=3), started("/sum-start/", n=3)]
    run_queued()
    noted = notes.refresh

    def refuse(run: Run) -> Progress:
        if run == runs[1]:
            raise ValueError("odd")
        return noted(run)

    monkeypatch.setattr(notes, "refresh", refuse)
    assert unfinished() == 1
    assert f"{runs[1].task_id}: it can't be noted" in caplog.text


def test_a_run_that_is_removed_while_a_list_looks_is_no_error(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started("/sum-start/", n=3)
    Run.objects.all().delete()
    notes.refresh_if_possible(run)


@pytest.mark.parametrize("error", [OperationalError("away"), InterfaceError("away")])
def test_a_database_that_is_away_is_no_runs_fault(
    db: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def away(run: Run) -> Progress:
        raise error

    monkeypatch.setattr(notes, "refresh", away)
    started("/sum-start/", n=3)
    run_queued()
    with pytest.raises(type(error)):
        settle()


def test_the_next_look_notes_an_end_of_combining_that_nobody_noted(db: None) -> None:
    run = started("/split-sum-start/", n=0)
    run.everything().update(state=JobState.FAILED, error="ValueError: no", finished_at=Now())
    assert notes.is_out_of_date(run, run.progress())
    assert unfinished() == 0
    run.refresh_from_db()
    assert run.error() == "the chunks' results can't be combined: ValueError: no"


@pytest.mark.parametrize(
    ("shown", "began", "brief"),
    [
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
    assert Run(result=["a"]).readable == "['a']"
    assert Run(result=5, shown="five").readable == "five"
