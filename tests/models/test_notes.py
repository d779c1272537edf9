"""Run: what it notes of its jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import InterfaceError, OperationalError
from django.db.models.functions import Now
from django.utils import timezone

from compute.models import Progress, Run, notes
from compute.models.combining import combine
from compute.models.notes import MOST_COMBINED, cancel, refresh, settle, unfinished
from compute.queue.models import Job, JobState
from tests.conftest import finish_by_hand, run_jobs, run_queued, started
from tests.models.uncombined import Declare, a_run, said

State = Run.State


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


def test_a_failed_run_whose_chunks_have_been_removed_stays_failed(
    run_with_a_failure: Run,
) -> None:
    refresh(run_with_a_failure)
    run_with_a_failure.jobs.delete()
    refresh(run_with_a_failure)
    assert run_with_a_failure.state == State.ERROR
    assert run_with_a_failure.error() == "its chunks have been removed"
    assert unfinished() == 0


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


# --- between two tasks of a run ---------------------------------------------------------


def test_a_run_whose_result_is_dropped_again_and_again_ends_with_an_error(
    db: None, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(declare)
    monkeypatch.setattr("compute.models.combining.note", lambda *args: None)
    for _ in range(2 * MOST_COMBINED):
        run_queued()
        refresh(run)
    assert Job.objects.exclude(group=run.task_id).count() == MOST_COMBINED
    status, _, error = said(run)
    assert status == "error"
    assert error == (
        f"its results were combined {MOST_COMBINED} times, and each time nothing of it was kept"
    )
    assert run.finished_at is not None


def test_a_run_between_two_tasks_is_cancelled(db: None, declare: Declare) -> None:
    run = a_run(declare)
    Job.objects.filter(pk=run.combine_id).update(state=JobState.DONE)  # and dropped its result
    assert cancel(Run.objects.filter(pk=run.pk), "boss") == 1
    run.refresh_from_db()
    assert (run.state, run.trouble) == (State.CANCELLED, "cancelled by boss")
    assert cancel(Run.objects.filter(pk=run.pk), "boss") == 0
    combine(run.task_id)
    run.refresh_from_db()
    assert run.state == State.CANCELLED
