"""Failed parts of runs, done once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from compute.models import Run, RunState
from compute.models.notes import refresh
from compute.models.retries import can_go_on, combine_again, go_on, retry
from compute.queue.models import JobState
from tests.conftest import run_jobs, run_queued, started
from tests.models.jobs import set_states
from tests.models.uncombined import START, Declare, a_run, crash, page, said


def test_a_retry_queues_the_failed_chunks_and_no_others(
    run_with_a_failure: Run, missing_file: Path
) -> None:
    refresh(run_with_a_failure)
    assert run_with_a_failure.finished_at is not None
    missing_file.write_text("123")
    assert retry(run_with_a_failure) == 1
    assert retry(run_with_a_failure) == 0
    run_with_a_failure.refresh_from_db()
    assert run_with_a_failure.state == RunState.IN_PROGRESS
    assert run_with_a_failure.finished_at is None
    run_jobs()
    refresh(run_with_a_failure)
    assert (run_with_a_failure.state, run_with_a_failure.result) == (RunState.DONE, 123)
    assert list(run_with_a_failure.jobs.values_list("attempt", flat=True)) == [1, 2, 1]


def test_a_cancelled_chunk_is_not_retried(db: None) -> None:
    run = started("/sum-start/", n=10)
    set_states(run, JobState.CANCELLED)
    assert retry(run) == 0


def test_a_cancelled_run_goes_on_where_it_was(db: None) -> None:
    run = started("/split-sum-start/", n=15, chunk_size=5)
    run_queued(1)
    assert not can_go_on(run)
    run.flow.pause()
    run.cancel("cancelled by boss")
    run.refresh_from_db()
    assert can_go_on(run)
    assert go_on(run) == 2
    assert go_on(run) == 0
    assert not run.flow.get().paused
    run.refresh_from_db()
    assert (run.state, run.trouble, run.finished_at) == (RunState.IN_PROGRESS, "", None)
    run_jobs()
    run.refresh_from_db()
    assert (run.state, run.result) == (RunState.DONE, 120)


def test_what_failed_stays_failed_when_the_rest_goes_on(db: None, run_with_a_failure: Run) -> None:
    run = run_with_a_failure
    run.jobs.filter(position=2).update(state=JobState.CANCELLED, payload="package")
    assert go_on(run) == 1
    assert run.jobs.counts() == {**run.jobs.counts(), "failed": 1, "queued": 1, "done": 1}


def test_nothing_goes_on_of_which_the_version_before_kept_nothing(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    run.cancel("cancelled by boss")
    run.refresh_from_db()
    run.jobs.filter(position=1).update(payload="")
    assert not can_go_on(run)


def a_run_that_failed(declare: Declare, **fields: Any) -> Run:
    run = a_run(declare, combine=lambda results: crash(), **fields)
    run_jobs()
    refresh(run)
    assert run.state == RunState.ERROR
    return run


@pytest.mark.thorough
def test_its_owner_combines_it_again_after_the_code_was_mended(
    db: None, declare: Declare, browser_client: Client
) -> None:
    declare(name="odd", combine=lambda results: crash())
    browser_client.post(START, {"n": "100", "chunk_size": "50"})
    run_jobs()
    run = Run.objects.get()
    assert "Combine again" in page(run, browser_client)
    assert "Combine again" not in page(run)
    declare(name="odd")
    assert Client().post("/compute/odd/combine/", {"task_id": run.task_id}).status_code == 403
    reply = browser_client.post("/compute/odd/combine/", {"task_id": run.task_id})
    assert (reply.status_code, reply["Location"]) == (303, run.get_absolute_url())
    assert said(run) == ("in-progress", None, None)
    assert "Combine again" not in page(run, browser_client)
    run_jobs()
    assert said(run) == ("done", 25, None)
    assert [job.attempt for job in run.jobs] == [1, 1]
    assert "Combine again" not in page(run, browser_client)


@pytest.mark.thorough
def test_a_program_is_told_whether_there_was_anything_to_combine(
    declare: Declare, admin: Client
) -> None:
    run = a_run_that_failed(declare)
    declare(name="odd")
    for combined in (1, 0):  # the second time it waits for a worker
        reply = admin.post("/compute/odd/combine/", {"task_id": run.task_id})
        assert reply.json() == {
            "combined": combined,
            "task_progress": f"http://testserver{run.get_absolute_url()}",
        }
    run_jobs()
    reply = admin.post("/compute/odd/combine/", {"task_id": run.task_id})
    assert reply.json()["combined"] == 0
    assert said(run) == ("done", 25, None)


def test_it_is_for_posts_alone_and_for_runs_that_exist(db: None) -> None:
    assert Client().get("/compute/primes/combine/").status_code == 405
    reply = Client().post("/compute/primes/combine/", {"task_id": "0" * 32})
    assert reply.status_code == 404


def test_where_too_much_is_unfinished_it_waits(
    declare: Declare, browser_client: Client, settings: Any, db: None
) -> None:
    declare(name="odd", combine=lambda results: crash())
    browser_client.post(START, {"n": "100", "chunk_size": "50"})
    run_jobs()
    settings.MAX_ACTIVE_RUNS = 0
    reply = browser_client.post("/compute/odd/combine/", {"task_id": Run.objects.get().task_id})
    assert (reply.status_code, reply["Retry-After"]) == (429, "10")


@pytest.mark.thorough
@pytest.mark.parametrize("action", ["combine", "retry"])
def test_staff_combines_again_in_the_admin(declare: Declare, admin: Client, action: str) -> None:
    run = a_run_that_failed(declare)
    declare(name="odd")
    form = {"action": action, "_selected_action": [run.pk]}
    for queued in (1, 0):
        html = admin.post("/admin/compute/run/", form, follow=True).content.decode()
        assert f"{queued} task{'' if queued == 1 else 's'} queued again." in html
    run_jobs()
    assert said(run) == ("done", 25, None)


@pytest.mark.thorough
def test_the_failed_task_itself_can_be_queued_again(declare: Declare, admin: Client) -> None:
    run = a_run_that_failed(declare)
    declare(name="odd")
    form = {"action": "resubmit", "_selected_action": [run.combine_id]}
    admin.post("/admin/django_q/failure/", form)
    assert said(run) == ("in-progress", None, None)
    run_jobs()
    assert said(run) == ("done", 25, None)


def test_failed_chunks_come_first(run_with_a_failure: Run) -> None:
    assert not combine_again(run_with_a_failure)
    run_with_a_failure.refresh_from_db()
    assert run_with_a_failure.state == RunState.ERROR
    assert run_with_a_failure.combine_id == ""
