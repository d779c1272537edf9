"""The task that makes one result of a run's chunks: once, whatever happens around it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task

from compute.computations import all_computations
from compute.computations.sums import SUM
from compute.models import Run, RunState
from compute.models.combining import combine
from compute.models.notes import refresh, settle, unfinished
from compute.models.plans import run_of
from compute.models.retries import combine_again
from compute.queue.engines import FREE
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from compute.queue.signals import groups_changed, looking_around
from tests.conftest import check, finish_by_hand, run_jobs, run_queued, started

START, CHECK = "/compute/odd/start/", "/compute/odd/check/"
HTML = {"accept": "text/html"}
Declare = Callable[..., None]


def a_run(declare: Declare, **fields: Any) -> Run:
    """A run of two chunks with the results 15 and 10, which nothing has combined yet."""
    declare(name="odd", **fields)
    run = started(START, n=100, chunk_size=50)
    run_queued()
    assert [job.result for job in run.jobs] == [15, 10]
    refresh(run)
    return run


def page(run: Run, client: Client | None = None) -> str:
    reply = (client or Client()).get(run.get_absolute_url(), headers=HTML)
    assert reply.status_code == 200
    return reply.content.decode()


def said(run: Run) -> tuple[str, Any, str | None]:
    reply = check(run, CHECK)
    return reply["status"], reply["result"], reply["error"]


def crash() -> Any:
    raise ZeroDivisionError("/srv/secret")


# --- once ---------------------------------------------------------------------------------


def test_it_is_queued_once_however_many_look(db: None, declare: Declare) -> None:
    run = a_run(declare)
    first = run.combine_id
    for look in (lambda: refresh(run), settle, lambda: check(run, CHECK), lambda: page(run)):
        look()  # type: ignore[no-untyped-call]
    groups_changed.send(sender=Job, groups={run.task_id})
    looking_around.send(sender=Job)
    run.refresh_from_db()
    assert run.combine_id == first
    (job,) = Job.objects.exclude(group=run.task_id).filter(name__endswith=", combined")
    assert (job.pk, job.group, job.name) == (first, first, "primes up to 100, combined")
    assert set(run.everything()) == {*run.jobs, job}


def test_until_it_has_run_the_run_is_in_progress(db: None, declare: Declare) -> None:
    run = a_run(declare)
    progress = {"done": 2, "failed": 0, "total": 2}
    in_progress = {"status": "in-progress", "result": None, "error": None, "progress": progress}
    assert check(run, CHECK) == in_progress
    assert "waiting for a worker to combine the results" in page(run)
    Job.objects.filter(pk=run.combine_id).update(state=JobState.RUNNING, started_at=Now())
    assert "combining the results, for" in page(run)
    assert unfinished() == 1
    Job.objects.filter(pk=run.combine_id).update(state=JobState.QUEUED)
    run_queued()
    assert said(run) == ("done", 25, None)
    run.refresh_from_db()
    assert run.shown == "25"
    assert run.finished_at is not None
    assert run.finished_at >= max(job.finished_at for job in run.jobs if job.finished_at)
    assert run.work_seconds == pytest.approx(
        sum((job.finished_at - job.started_at).total_seconds() for job in run.jobs), abs=0.01
    )


def test_running_again_changes_nothing(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda results: len(calls.append(1) or calls))
    calls: list[int] = []
    run_queued()
    noted = Run.objects.values().get()
    assert noted["result"] == 1
    combine(run.task_id)
    assert len(calls) == 2
    assert Run.objects.values().get() == noted
    refresh(run)
    assert Run.objects.values().get() == noted


def test_a_worker_that_dies_while_it_combines_is_followed_by_another(
    db: None, declare: Declare
) -> None:
    run = a_run(declare)
    assert get_broker().claim(1)  # and the worker dies
    OrmQ.objects.update(lock=FREE)
    run_queued()
    assert said(run) == ("done", 25, None)
    job = run.combine_job
    assert job is not None
    run.refresh_from_db()
    job = Job.objects.get(pk=run.combine_id)
    assert (job.state, job.attempt) == (JobState.DONE, 2)


def test_a_worker_that_dies_after_it_has_noted_the_result_counts_once(
    db: None, declare: Declare
) -> None:
    run = a_run(declare)
    assert get_broker().claim(1)
    combine(run.task_id)  # and the worker dies before the job has ended
    noted = Run.objects.values().get()
    OrmQ.objects.update(lock=FREE)
    run_jobs()
    assert Run.objects.values().get() == noted
    assert Job.objects.get(pk=run.combine_id).state == JobState.DONE


def test_a_node_that_dies_before_it_asked_for_it_is_made_up_for(db: None, declare: Declare) -> None:
    declare(name="odd")
    run = started(START, n=100, chunk_size=50)
    run_queued()  # and nobody is told
    assert not OrmQ.objects.exists()
    looking_around.send(sender=Job)
    run_queued(1)
    assert said(run) == ("done", 25, None)


def test_one_whose_result_was_not_taken_is_queued_anew(db: None, declare: Declare) -> None:
    run = a_run(declare)
    first = run.combine_id
    Job.objects.filter(pk=first).update(state=JobState.DONE, finished_at=Now())
    refresh(run)
    assert run.state == RunState.IN_PROGRESS
    assert run.combine_id != first
    run_queued()
    assert said(run) == ("done", 25, None)


def test_three_deaths_of_its_worker_end_the_run(db: None, declare: Declare) -> None:
    run = a_run(declare)
    for _ in range(3):
        OrmQ.objects.update(lock=FREE)
        assert get_broker().claim(1)
        Job.objects.filter(pk=run.combine_id).bury("was killed")
    status, result, error = said(run)
    assert (status, result) == ("error", None)
    assert error is not None
    assert error.startswith("the chunks' results can't be combined: its worker was killed")


# --- beside a web server of the version before, which combines by itself ---------------------


def test_what_an_older_web_server_has_noted_stays(db: None, declare: Declare) -> None:
    run = a_run(declare, show=lambda result: f"<{result}>")
    then = timezone.now() - datetime.timedelta(hours=1)
    Run.objects.update(state=RunState.DONE, result=7, finished_at=then, work_seconds=1)
    assert "<output>7</output>" in page(run)
    run_queued()
    run.refresh_from_db()
    assert (run.state, run.result, run.finished_at) == (RunState.DONE, 7, then)
    assert run.shown == "<25>"  # that alone it could not note
    Run.objects.update(shown="once")
    combine(run.task_id)
    run.refresh_from_db()
    assert run.shown == "once"


# --- what is not held over an author's code ---------------------------------------------------


def test_nothing_is_held_while_it_combines(transactional_db: None, declare: Declare) -> None:
    held = []

    def look(results: Iterable[int]) -> int:
        total = 0
        for result in results:
            held.append(connection.in_atomic_block)
            total += result
        return total

    def show(result: int) -> str:
        held.append(connection.in_atomic_block)
        return str(result)

    a_run(declare, combine=look, show=show)
    run_queued()
    assert held == [False, False, False]
    assert Run.objects.get().result == 25


def test_results_come_one_by_one(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda results: [next(results), iter(results) is results])
    run_queued()
    assert said(run) == ("done", [15, True], None)


# --- failures -------------------------------------------------------------------------------


def test_a_failure_is_listed_with_its_traceback(db: None, declare: Declare, admin: Client) -> None:
    run = a_run(declare, combine=lambda results: crash())
    run_jobs()
    whole = "the chunks' results can't be combined: ZeroDivisionError: /srv/secret"
    assert check(run, CHECK)["status"] == "error"
    assert "/srv/secret" not in check(run, CHECK)["error"]
    run.refresh_from_db()
    assert run.error() == whole
    failure = Failure.objects.get(pk=run.combine_id)
    assert "in crash" in failure.result
    html = page(run, admin)
    assert f"/admin/django_q/failure/{run.combine_id}/change/" in html
    assert "in crash" in html
    for secret in ("in crash", "/srv/secret"):
        assert secret not in page(run)
    assert unfinished() == 0
    assert [job.attempt for job in run.jobs] == [1, 1]
    job = run.combine_job
    assert job is not None
    assert run.finished_at == job.finished_at


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ({1: 2}, "the result has the key 1, an int, and JSON's keys are text"),
        ([b"x"], "the result[0] is a bytes, which JSON can't keep"),
    ],
)
def test_a_result_that_cannot_be_kept_says_what_and_where(
    db: None, declare: Declare, result: Any, error: str
) -> None:
    run = a_run(declare, combine=lambda results: result)
    run_jobs()
    status, nothing, why = said(run)
    assert (status, nothing) == ("error", None)
    assert why is not None
    assert why.startswith(f"the chunks' results can't be combined: NotKeptError: {error}")


def test_what_is_no_number_of_jsons_is_a_word(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda results: [math.nan, math.inf, *results])
    run_jobs()
    assert said(run) == ("done", ["NaN", "Infinity", 15, 10], None)


@pytest.mark.parametrize("show", [lambda result: crash(), lambda result: 5], ids=["raises", "int"])
def test_no_result_is_lost_for_how_it_is_shown(
    db: None, declare: Declare, show: Any, admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    run = a_run(declare, show=show)
    run_jobs()
    assert said(run) == ("done", 25, None)
    run.refresh_from_db()
    assert run.shown == "25"
    assert run.trouble.startswith("odd: its `show` ")
    assert run.trouble in caplog.text
    assert "<output>25</output>" in page(run)
    assert "odd: its `show`" not in page(run)
    assert "odd: its `show`" in page(run, admin).replace("&#x27;", "'")
    assert "25" in Client().get("/", headers=HTML).content.decode()


def test_chunks_that_are_gone_before_are_not_missed_silently(db: None, declare: Declare) -> None:
    run = a_run(declare)
    run.jobs.filter(position=1).delete()
    run_queued()
    failure = Failure.objects.get(pk=run.combine_id)
    assert "LookupError: its chunks have been removed, or are not all done" in failure.result
    refresh(run)
    assert (run.state, run.error()) == (RunState.ERROR, "its chunks have been removed")


@pytest.mark.parametrize("change", ["removed", "queued again"])
def test_chunks_that_change_meanwhile_are_not_missed_silently(
    db: None, declare: Declare, change: str
) -> None:
    def change_then_add(results: Iterable[int]) -> int:
        last = Job.objects.filter(position=1)
        if change == "removed":
            last.delete()
        elif not changed:
            last.update(state=JobState.QUEUED)
        changed.append(1)
        return sum(results)

    changed: list[int] = []
    run = a_run(declare, combine=change_then_add)
    run_queued()
    assert Job.objects.get(pk=run.combine_id).state == JobState.FAILED
    refresh(run)
    if change == "removed":
        assert run.state == RunState.ERROR
    else:  # it is combined anew once they are done
        assert (run.state, run.combine_id) == (RunState.IN_PROGRESS, "")
        Job.objects.filter(position=1, group=run.task_id).update(state=JobState.DONE)
        run_jobs()
        assert said(run) == ("done", 25, None)


def test_one_task_that_is_gone_is_said_in_words(db: None, declare: Declare) -> None:
    run = one_task(declare, show=str)
    run_queued(1)
    refresh(run)
    run.jobs.delete()
    run_queued()
    assert "LookupError: its chunks have been removed" in Failure.objects.get().result


# --- again ----------------------------------------------------------------------------------


def a_run_that_failed(declare: Declare, **fields: Any) -> Run:
    run = a_run(declare, combine=lambda results: crash(), **fields)
    run_jobs()
    refresh(run)
    assert run.state == RunState.ERROR
    return run


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


@pytest.mark.parametrize("action", ["combine", "retry"])
def test_staff_combines_again_in_the_admin(declare: Declare, admin: Client, action: str) -> None:
    run = a_run_that_failed(declare)
    declare(name="odd")
    form = {"action": action, "_selected_action": [run.pk]}
    for queued in (1, 0):
        html = admin.post("/admin/compute/run/", form, follow=True).content.decode()
        assert f"{queued} task(s) queued again." in html
    run_jobs()
    assert said(run) == ("done", 25, None)


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


# --- cancelled --------------------------------------------------------------------------------


def test_it_is_cancelled_with_the_run_and_can_be_combined_again(
    db: None, declare: Declare, admin: Client
) -> None:
    run = a_run(declare)
    reply = admin.post("/compute/odd/cancel/", {"task_id": run.task_id})
    assert reply.json()["cancelled"] == 1
    assert not OrmQ.objects.exists()
    assert said(run) == ("error", None, "cancelled by boss")
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    html = page(run, admin)
    assert "Combine again" in html
    admin.post("/compute/odd/combine/", {"task_id": run.task_id})
    run_jobs()
    assert said(run) == ("done", 25, None)


def test_a_result_that_comes_after_a_cancellation_is_not_taken(db: None, declare: Declare) -> None:
    def cancel_then_add(results: Iterable[int]) -> int:
        run.cancel("boss")
        return sum(results)

    run = a_run(declare, combine=cancel_then_add)
    run_jobs()
    run.refresh_from_db()
    assert (run.state, run.result, run.shown) == (RunState.CANCELLED, None, "")
    assert run.error() == "cancelled by boss"


# --- a run of one task ------------------------------------------------------------------------


def one_task(declare: Declare, **fields: Any) -> Run:
    declare(name="odd", length=None, cut=None, combine=crash, **fields)
    task_id = async_task("builtins.abs", -5)
    return run_of(task_id, all_computations()["odd"], {"n": 5})


def test_one_task_with_plain_data_needs_none(db: None, declare: Declare) -> None:
    run = one_task(declare)
    run_queued()
    assert said(run) == ("done", 5, None)
    run.refresh_from_db()
    assert (run.shown, run.combine_id) == ("5", "")


def test_one_task_whose_result_is_shown_by_its_own_code_needs_one(
    db: None, declare: Declare
) -> None:
    run = one_task(declare, show=lambda result: f"<{result}>")
    run_queued()
    assert said(run) == ("in-progress", None, None)
    run_queued()
    assert said(run) == ("done", 5, None)
    run.refresh_from_db()
    assert run.shown == "<5>"


def test_one_task_with_data_of_a_class_needs_one(db: None, declare: Declare) -> None:
    run = one_task(declare)
    finish_by_hand(run, datetime.date(2026, 11, 25))
    run_jobs()
    assert said(run) == ("done", "2026-11-25", None)
    run.refresh_from_db()
    assert run.combine_id
    assert run.shown == "2026-11-25"


def test_plain_data_of_one_task_that_cannot_be_kept_is_said(db: None, declare: Declare) -> None:
    run = one_task(declare)
    finish_by_hand(run, {1: 2})
    status, result, error = said(run)
    assert (status, result) == ("error", None)
    assert error is not None
    assert error.startswith("the result has the key 1, an int")
    run.refresh_from_db()
    assert run.combine_id == ""
    assert run.finished_at == run.jobs.get().finished_at


def test_data_of_one_task_that_a_worker_cannot_keep_is_said(db: None, declare: Declare) -> None:
    run = one_task(declare, show=str)
    finish_by_hand(run, b"x")
    run_jobs()
    status, result, error = said(run)
    assert (status, result) == ("error", None)
    assert error is not None
    assert error.startswith("its result can't be kept: NotKeptError: the result is a bytes")


# --- in the request ---------------------------------------------------------------------------


def test_what_ran_in_the_request_is_combined_there(db: None, declare: Declare) -> None:
    declare(name="odd", show=lambda result: f"<{result}>")
    odd = all_computations()["odd"]
    group = async_iter("builtins.abs", [-1, -2], sync=True)
    run = run_of(group, odd, {"n": 2}, chunk_size=1, chunks=2)
    assert (run.state, run.result, run.shown) == (RunState.DONE, 3, "<3>")
    task_id = async_task("builtins.abs", -5, sync=True)
    run = run_of(task_id, SUM, {"n": 5})
    assert (run.state, run.result, run.shown) == (RunState.DONE, 5, "5")
    assert not OrmQ.objects.exists()


# --- where nothing can be done ----------------------------------------------------------------


def test_a_run_that_is_removed_meanwhile_is_a_failed_task_alone(db: None, declare: Declare) -> None:
    run = a_run(declare)
    Run.objects.all().delete()
    run_jobs()
    assert Job.objects.get(pk=run.combine_id).error_class == "DoesNotExist"


def test_a_computation_that_this_code_lacks_is_left_to_other_nodes(
    db: None, declare: Declare, caplog: pytest.LogCaptureFixture
) -> None:
    run = a_run(declare)
    Run.objects.update(computation="newer")
    run_queued()
    assert "unknown to this node's code, left to others" in caplog.text
    assert Job.objects.get(pk=run.combine_id).state == JobState.QUEUED
    assert OrmQ.objects.get().lock > timezone.now()
    declare(name="newer")
    OrmQ.objects.update(lock=FREE)
    run_jobs()
    assert check(run, CHECK)["result"] == 25


def test_chunks_are_combined_at_the_place_of_their_run(db: None) -> None:
    first = started("/split-sum-start/", n=10, chunk_size=5)
    finish_by_hand(first, 15, 40)
    started("/split-sum-start/", n=100, chunk_size=1)  # a giant that came later
    refresh(first)
    [(lease, _)] = get_broker().claim(1)
    job = Job.objects.get(queue_id=lease.queue_id)
    assert (job.pk, job.state) == (first.combine_id, Job.State.RUNNING)


def test_code_whose_function_is_another_leaves_it_to_others(db: None, declare: Declare) -> None:
    run = a_run(declare)
    Run.objects.filter(pk=run.pk).update(function="compute.computations.odd.of_before")
    run_queued()
    refresh(run)
    job = run.combine_job
    assert job is not None
    assert (run.state, job.state, job.attempt) == (Run.State.IN_PROGRESS, Job.State.QUEUED, 1)
    Job.objects.filter(pk=job.pk).update(attempt=100)
    OrmQ.objects.update(lock=FREE)
    run_jobs()
    run.refresh_from_db()
    assert "which is compute.computations.primes.count_primes in this node's code" in run.trouble
    assert combine_again(run)  # a person says that the code is right as it is
    run_jobs()
    run.refresh_from_db()
    assert (run.state, run.result) == (Run.State.DONE, 25)
