"""The task that makes one result of a run's chunks: once, whatever happens around it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from collections.abc import Iterable
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task
from pytest_django import Settings

from compute.computations import all_computations
from compute.computations.sums import SUM
from compute.models import Run, RunState
from compute.models.combining import combine
from compute.models.notes import refresh, settle, unfinished
from compute.models.plans import run_of
from compute.models.retries import combine_again
from compute.queue import transitions
from compute.queue.contents import Content, Part
from compute.queue.engines import UP
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from compute.queue.signals import groups_changed, looking_around
from compute.shapes import File, Picture, Table
from compute.words import SHOWN_CHARS
from tests.conftest import NOBODY_KNOWS, check, finish_by_hand, run_jobs, run_queued, started
from tests.models.uncombined import CHECK, HTML, START, Declare, a_run, crash, page, said
from tests.test_shapes import PNG

# --- once ---------------------------------------------------------------------------------


def test_it_is_queued_once_however_many_look(db: None, declare: Declare) -> None:
    run = a_run(declare)
    first = run.combine_id
    for look in (lambda: refresh(run), settle, lambda: check(run, CHECK), lambda: page(run)):
        look()
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
    assert check(run, CHECK) == in_progress | {**NOBODY_KNOWS, "state": "running", "starts_in": 0}
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
    spans = [
        job.finished_at - job.started_at for job in run.jobs if job.finished_at and job.started_at
    ]
    assert len(spans) == len(run.jobs)
    assert run.work_seconds == pytest.approx(
        sum(spans, datetime.timedelta()).total_seconds(), abs=0.01
    )


def test_running_again_changes_nothing(db: None, declare: Declare) -> None:
    calls: list[Any] = []

    def counted(results: Any) -> int:
        calls.append(results)
        return len(calls)

    run = a_run(declare, combine=counted)
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
    assert transitions.claim("sumsite", 1, None)  # and the worker dies
    OrmQ.objects.update(lock=UP)
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
    assert transitions.claim("sumsite", 1, None)
    combine(run.task_id)  # and the worker dies before the job has ended
    noted = Run.objects.values().get()
    OrmQ.objects.update(lock=UP)
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
        OrmQ.objects.update(lock=UP)
        assert transitions.claim("sumsite", 1, None)
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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


# --- cancelled --------------------------------------------------------------------------------


@pytest.mark.thorough
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
    finish_by_hand(run, {1: 2})
    run_jobs()
    status, result, error = said(run)
    assert (status, result) == ("error", None)
    assert error is not None
    assert error.startswith(
        "its result can't be kept: NotKeptError: the result has the key 1, an int"
    )


# --- outputs ----------------------------------------------------------------------------------


def outputs(run: Run) -> list[tuple[str, str, bytes]]:
    return [(each.name, each.kind, b"".join(each.read())) for each in run.outputs.all()]


def test_what_combine_returns_is_kept_in_its_shape(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda results: Table(([n] for n in results), ["n"]))
    run_queued()
    run.refresh_from_db()
    assert (run.state, run.result, run.shown) == (RunState.DONE, None, "table, 2 rows × 1 column")
    assert outputs(run) == [("", "table", b"[15]\n[10]\n")]


def test_a_small_value_with_a_shape_is_the_rows_as_well(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda results: [{"n": n} for n in results])
    run_queued()
    run.refresh_from_db()
    assert (run.result, run.shown) == ([{"n": 15}, {"n": 10}], "[{'n': 15}, {'n': 10}]")
    assert outputs(run) == [("", "table", b"[15]\n[10]\n")]


def test_a_longer_one_is_named_in_lists_by_what_it_is(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda results: list(range(100)))
    run_queued()
    run.refresh_from_db()
    assert (run.result, run.shown) == (list(range(100)), "series, 100 rows")


def test_a_large_value_is_kept_apart(db: None, declare: Declare) -> None:
    value = {"a": ["ü" * 50_000], "b": 2**90}
    run = a_run(declare, combine=lambda results: value)
    run_queued()
    run.refresh_from_db()
    assert run.result is None
    assert run.shown.startswith('{"a":["üüü')
    [(name, kind, data)] = outputs(run)
    assert (name, kind, json.loads(data)) == ("", "value", value)


def test_a_large_text_is_one(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda results: "ü" * 50_000)
    run_queued()
    run.refresh_from_db()
    assert (run.result, len(run.shown)) == (None, SHOWN_CHARS)
    assert outputs(run) == [("", "text", ("ü" * 50_000).encode())]


@pytest.mark.parametrize(
    ("show", "told", "names"),
    [
        (lambda total: Picture(PNG), "picture, 12 bytes", [("", "picture")]),
        (
            lambda total: {"line": [1, 2, total], "why": "text", "raw": b"x", "n": total},
            "4 results: line, 3 rows; why, 4 bytes; raw, 1 byte; n, 2 bytes",
            [("line", "series"), ("why", "text"), ("raw", "file"), ("n", "value")],
        ),
    ],
)
def test_what_show_returns_stands_beside_the_result(
    db: None, declare: Declare, show: Any, told: str, names: list[tuple[str, str]]
) -> None:
    run = a_run(declare, show=show)
    run_queued()
    run.refresh_from_db()
    assert (run.result, run.shown, run.trouble) == (25, told, "")
    assert [each[:2] for each in outputs(run)] == names


def test_a_large_result_is_kept_beside_what_shows_it(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda _: list(range(30_000)), show=lambda _: Picture(PNG))
    run_queued()
    run.refresh_from_db()
    assert run.result is None
    picture, (name, kind, data) = outputs(run)
    assert (picture, name, kind) == (("", "picture", PNG), "value", "value")
    assert json.loads(data) == list(range(30_000))


def test_what_has_no_plain_form_is_kept_as_it_is_shown(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda _: object(), show=lambda _: Picture(PNG))
    run_queued()
    run.refresh_from_db()
    assert (run.state, run.result) == (RunState.DONE, None)
    assert outputs(run) == [("", "picture", PNG)]


def test_words_for_a_shape_are_kept_with_it(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda _: PNG, show=lambda data: f"{len(data)} bytes")
    run_queued()
    run.refresh_from_db()
    assert (run.result, run.shown) == (None, "12 bytes")
    assert outputs(run) == [("", "picture", PNG)]


def test_words_for_a_large_value_are_kept_with_it(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda _: "x" * 100_000, show=lambda text: text[:3])
    run_queued()
    run.refresh_from_db()
    assert (run.result, run.shown) == (None, "xxx")


def test_a_show_whose_rows_fail_loses_no_result(
    db: None, declare: Declare, caplog: pytest.LogCaptureFixture
) -> None:
    def rows() -> Iterable[list[int]]:
        yield [1]
        raise ZeroDivisionError

    run = a_run(declare, show=lambda _: {"a": PNG, "b": Table(rows())})
    run_queued()
    run.refresh_from_db()
    assert (run.state, run.result, run.shown) == (RunState.DONE, 25, "25")
    assert run.trouble == "odd: its `show` raised ZeroDivisionError"
    assert run.trouble in caplog.text
    assert outputs(run) == []
    assert not Part.objects.exists()


def test_rows_that_come_once_are_not_kept_in_part_where_show_fails(
    db: None, declare: Declare
) -> None:
    def read_one(table: Table) -> str:
        next(table.rows)
        return crash()  # type: ignore[no-any-return]

    run = a_run(declare, combine=lambda results: Table([n] for n in results), show=read_one)
    run_jobs()
    status, result, error = said(run)
    assert (status, result) == ("error", None)
    assert "its `show` raised ZeroDivisionError" in str(error)


def test_a_value_that_python_cannot_print_is_kept(db: None, declare: Declare) -> None:
    @dataclasses.dataclass(repr=False)
    class Odd:
        n: int

        def __str__(self) -> str:
            return crash()  # type: ignore[no-any-return]

    run = a_run(declare, combine=lambda _: Odd(5))
    run_queued()
    run.refresh_from_db()
    assert (run.state, run.result, run.shown) == (RunState.DONE, {"n": 5}, "n: 5")
    assert run.trouble.startswith("odd: its `show` raised ZeroDivisionError")


def test_too_large_a_result_says_so(db: None, declare: Declare, settings: Settings) -> None:
    settings.MAX_RESULT_MB = 1
    run = a_run(declare, combine=lambda results: File(b"x" * 10**6 for _ in results))
    run_jobs()
    status, _, error = said(run)
    assert status == "error"
    assert "TooLargeError: the file has over" in str(error)
    assert not Part.objects.exists()


def test_a_list_that_is_too_large_for_a_series_is_a_value(
    db: None, declare: Declare, settings: Settings
) -> None:
    settings.MAX_RESULT_MB = 0.5
    numbers = list(range(70_000))
    run = a_run(declare, combine=lambda results: numbers)
    run_jobs()
    run.refresh_from_db()
    assert (run.state, run.result) == (RunState.DONE, None)
    [(name, kind, data)] = outputs(run)
    assert (name, kind, json.loads(data)) == ("", "value", numbers)


def test_who_comes_second_discards_what_it_has_written(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda _: PNG)
    combine(run.task_id)
    combine(run.task_id)
    assert outputs(run) == [("", "picture", PNG)]
    assert Content.objects.count() == Part.objects.values("content").distinct().count() == 1


def test_a_commit_whose_answer_is_lost_counts(
    db: None, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(declare, combine=lambda _: PNG)

    def twice(ask: Any) -> Any:
        ask()
        return ask()

    monkeypatch.setattr("compute.models.combining.persistently", twice)
    combine(run.task_id)
    assert outputs(run) == [("", "picture", PNG)]


def test_what_comes_after_a_cancellation_leaves_nothing(db: None, declare: Declare) -> None:
    def cancel_then_draw(results: Iterable[int]) -> bytes:
        run.cancel("boss")
        return PNG

    run = a_run(declare, combine=cancel_then_draw)
    run_jobs()
    run.refresh_from_db()
    assert (run.state, run.shown) == (RunState.CANCELLED, "")
    assert not Part.objects.exists()


def test_combining_again_replaces(db: None, declare: Declare) -> None:
    run = a_run(declare, combine=lambda _: PNG)
    combine(run.task_id)
    (first,) = run.outputs.all()
    Run.objects.update(state=RunState.IN_PROGRESS)
    combine(run.task_id)
    (second,) = run.outputs.all()
    assert first.content_id != second.content_id
    assert outputs(run) == [("", "picture", PNG)]
    assert Part.objects.count() == 1


def test_chunks_that_go_while_rows_are_written_are_missed(db: None, declare: Declare) -> None:
    def rows(results: Iterable[int]) -> Iterable[list[int]]:
        for number in results:
            Job.objects.filter(position=1).delete()
            yield [number]

    run = a_run(declare, combine=lambda results: Table(rows(results), ["n"]))
    run_queued()
    failure = Failure.objects.get(pk=run.combine_id)
    assert "LookupError: its chunks have been removed" in failure.result
    assert not Part.objects.exists()


def test_one_task_with_a_shape_needs_a_worker(db: None, declare: Declare) -> None:
    run = one_task(declare)
    finish_by_hand(run, PNG)
    run_jobs()
    run.refresh_from_db()
    assert (run.state, run.result, bool(run.combine_id)) == (RunState.DONE, None, True)
    assert outputs(run) == [("", "picture", PNG)]


def test_one_task_that_returns_a_table_is_kept_so(db: None, declare: Declare) -> None:
    run = one_task(declare)
    finish_by_hand(run, Table([[1, 2]], ["a", "b"]))
    run_jobs()
    run.refresh_from_db()
    assert (run.state, run.shown) == (RunState.DONE, "table, 1 row × 2 columns")
    assert outputs(run) == [("", "table", b"[1,2]\n")]


def test_one_task_whose_json_is_longer_than_its_pickle_needs_a_worker(
    db: None, declare: Declare
) -> None:
    run = one_task(declare)
    text = "ü" * 20_000
    finish_by_hand(run, {"a": text, "b": text, "c": 1})  # the pickle has it once
    run_jobs()
    run.refresh_from_db()
    assert (run.state, run.result, bool(run.combine_id)) == (RunState.DONE, None, True)
    assert [each[:2] for each in outputs(run)] == [("", "value")]


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
    OrmQ.objects.update(lock=UP)
    run_jobs()
    assert check(run, "/compute/newer/check/")["result"] == 25


def test_chunks_are_combined_at_the_place_of_their_run(db: None) -> None:
    first = started("/split-sum-start/", n=10, chunk_size=5)
    finish_by_hand(first, 15, 40)
    started("/split-sum-start/", n=100, chunk_size=1)  # a giant that came later
    refresh(first)
    [(lease, _)] = transitions.claim("sumsite", 1, None)
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
    Job.objects.filter(pk=job.pk).update(starts=transitions.UNKNOWN_TRIES)
    OrmQ.objects.update(lock=UP)
    run_jobs()
    run.refresh_from_db()
    assert "which is compute.computations.primes.count_primes in this node's code" in run.trouble
    assert combine_again(run)  # a person says that the code is right as it is
    run_jobs()
    run.refresh_from_db()
    assert (run.state, run.result) == (Run.State.DONE, 25)
