"""What a run has come to so far: asked for by a page, made by a worker, in nobody's way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from django.db import DataError, OperationalError
from django.db.models.functions import Now
from django_q.models import OrmQ, Task

from compute.models import Output, Partial, Run, RunState, partial
from compute.models.partial import ask, combine_part, note, queue, tidy
from compute.models.run import SO_FAR
from compute.queue import transitions
from compute.queue.contents import Content, Part
from compute.queue.engines import UP
from compute.queue.models import Flow, Job, JobState
from compute.queue.signals import looking_around
from compute.shapes import Table
from tests.conftest import run_jobs, run_queued
from tests.models.parts import begun, let_pass, parts
from tests.models.uncombined import Declare, page


def table(results: Iterable[int]) -> Table:
    return Table([[result] for result in results], columns=["primes"])


def look(run: Run) -> Partial | None:
    """Ask as a page does."""
    run.refresh_from_db()
    return ask(run, run.progress(), run.flow.first())


def made(run: Run) -> Partial:
    """The part that a look asks for, made by a worker."""
    look(run)
    run_queued(1)
    return Partial.objects.get(run=run)


# --- made while somebody looks ---------------------------------------------------------------


def test_a_look_asks_for_a_part_and_a_worker_makes_it(db: None, declare: Declare) -> None:
    run = begun(declare)
    assert look(run) is None
    (job,) = parts(run)
    assert look(run) is None
    assert parts(run).get() == job  # one at a time
    run_queued(1)
    found = look(run)
    assert found is not None
    assert (found.chunks, found.shown, found.trouble) == (3, "10", "")
    job.refresh_from_db()
    assert job.state == JobState.DONE
    assert not Task.objects.filter(pk=job.pk).exists()
    run.refresh_from_db()
    assert (run.state, run.result, run.shown) == (RunState.IN_PROGRESS, None, "")


def test_the_next_is_made_two_seconds_later_if_more_is_done(db: None, declare: Declare) -> None:
    run = begun(declare)
    made(run)
    first = parts(run).get()
    let_pass(3)
    assert look(run)
    assert parts(run).get() == first  # no more is done
    run_queued(2)
    let_pass(1)
    look(run)
    assert parts(run).get() == first
    let_pass(2.1)
    found = made(run)
    assert (found.chunks, found.shown) == (5, "15")
    assert parts(run).get() != first  # which is removed


def test_of_one_that_took_long_the_next_is_made_later(db: None, declare: Declare) -> None:
    run = begun(declare)
    made(run)
    run_queued(1)
    let_pass(45, took=10)
    look(run)
    assert parts(run).unsettled().count() == 0
    let_pass(51, took=10)
    look(run)
    assert parts(run).unsettled().count() == 1


def test_none_is_made_before_the_first_chunk_or_after_the_last(db: None, declare: Declare) -> None:
    run = begun(declare, done=0)
    assert look(run) is None
    run_queued(10)
    assert look(run) is None
    assert not parts(run).exists()


def test_of_two_who_look_at_the_same_moment_one_asks(db: None, declare: Declare) -> None:
    run = begun(declare)
    for _ in range(2):
        queue(run, None, run.flow.first())
    assert parts(run).count() == 1
    run_queued(2)
    seen = Partial.objects.get()
    for _ in range(2):
        queue(run, seen, run.flow.first())
    assert parts(run).unsettled().count() == 1


def test_it_counts_for_the_same_client_beside_the_runs_own_line(db: None, declare: Declare) -> None:
    run = begun(declare)
    run.flow.update(client="account 7", weight=4, kind="odd")
    look(run)
    flow = Flow.objects.get(key=f"{SO_FAR}{run.task_id}")
    assert (flow.client, flow.weight, flow.kind) == ("account 7", 4, "odd")


def test_a_run_of_older_code_that_has_no_line_has_parts(db: None, declare: Declare) -> None:
    run = begun(declare)
    assert ask(run, run.progress(), None) is None
    assert parts(run).count() == 1


def test_a_database_that_does_not_write_now_is_no_trouble(
    db: None, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any) -> None:
        raise error

    run = begun(declare)
    made(run)
    run_queued(1)
    let_pass(3)
    monkeypatch.setattr(partial, "queue", away)
    error: Exception = OperationalError("database is locked")
    assert look(run)
    error = DataError("no")
    with pytest.raises(DataError):
        look(run)


# --- outputs ---------------------------------------------------------------------------------


def test_what_is_large_is_the_runs_outputs_until_the_result_is_there(
    db: None, declare: Declare
) -> None:
    run = begun(declare, combine=table)
    made(run)
    first = run.outputs.get()
    assert list(first.read_rows()) == [[4], [4], [2]]
    run_queued(2)
    let_pass(3)
    made(run)
    second = run.outputs.get()
    assert list(second.read_rows()) == [[4], [4], [2], [2], [3]]
    assert Content.objects.get().pk == second.content_id
    run_jobs()
    run.refresh_from_db()
    assert run.state == RunState.DONE
    assert run.outputs.get().rows == 10
    assert Content.objects.get().pk == run.outputs.get().content_id
    assert Part.objects.count() == 1


def test_one_that_is_older_or_too_late_is_dropped(db: None, declare: Declare) -> None:
    def end(results: Iterable[int]) -> Table:
        Run.objects.update(state=RunState.CANCELLED)
        return table(results)

    run = begun(declare, combine=table)
    made(run)
    kept = run.outputs.get()
    note(run, "older", 2, [Output(run=run, kind="text", content_id="x", size=1)])
    assert (run.outputs.get(), Partial.objects.get().chunks) == (kept, 3)
    declare(name="odd", partial=True, combine=end)
    run_queued(1)
    combine_part(run.task_id)
    assert (run.outputs.get(), Partial.objects.get().chunks) == (kept, 3)
    assert Content.objects.get().pk == kept.content_id


def test_one_that_is_made_twice_is_the_same(db: None, declare: Declare) -> None:
    run = begun(declare, combine=table)
    look(run)
    assert transitions.claim("sumsite", 1, None)  # and the worker dies, its work done
    combine_part(run.task_id)
    OrmQ.objects.filter(pk=parts(run).get().queue_id).update(lock=UP)
    run_queued(1)
    assert run.outputs.get().rows == Partial.objects.get().chunks == 3
    assert Content.objects.count() == 1


# --- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "state", "trouble"),
    [
        (ValueError("not all"), JobState.DONE, "ValueError: not all"),
        (SystemExit(3), JobState.FAILED, ""),
    ],
)
def test_one_that_fails_disturbs_nothing(
    db: None, declare: Declare, error: BaseException, state: str, trouble: str
) -> None:
    def all_or_nothing(results: Iterable[int]) -> int:
        found = list(results)
        if len(found) < 10:
            raise error
        return sum(found)

    run = begun(declare, combine=all_or_nothing)
    assert made(run).trouble == trouble
    assert parts(run).get().state == state
    assert look(run) is None
    run_queued(1)
    let_pass(50)
    look(run)
    assert not parts(run).unsettled().exists()
    let_pass(61)
    look(run)
    assert parts(run).unsettled().count() == 1
    run_jobs()
    run.refresh_from_db()
    assert (run.state, run.result, run.trouble) == (RunState.DONE, 25, "")


def test_after_trouble_the_one_before_stays_and_the_next_mends_it(
    db: None, declare: Declare
) -> None:
    run = begun(declare)
    made(run)
    declare(name="odd", partial=True, combine=lambda results: 1 / 0)
    run_queued(1)
    let_pass(3)
    found = made(run)
    assert (found.chunks, found.shown) == (3, "10")
    assert found.trouble.startswith("ZeroDivisionError")
    declare(name="odd", partial=True)
    let_pass(61)
    found = made(run)
    assert (found.chunks, found.shown, found.trouble) == (4, "12", "")


def test_one_that_has_killed_its_workers_is_not_made_again_soon(db: None, declare: Declare) -> None:
    run = begun(declare)
    made(run)
    run_queued(1)
    parts(run).update(state=JobState.FAILED)
    let_pass(50)
    look(run)
    assert not parts(run).unsettled().exists()


def test_a_database_that_is_away_is_no_mistake_of_the_authors(db: None, declare: Declare) -> None:
    def away(results: Iterable[int]) -> int:
        raise OperationalError("it is away")

    run = begun(declare, combine=away)
    with pytest.raises(OperationalError):
        combine_part(run.task_id)


def test_what_this_nodes_code_does_not_have_it_leaves_alone(db: None, declare: Declare) -> None:
    run = begun(declare)
    look(run)
    Run.objects.update(function="another.function")
    combine_part(run.task_id)
    Run.objects.update(function="", computation="unknown")
    combine_part(run.task_id)
    Run.objects.update(computation="odd")
    declare(name="odd", partial=False)
    combine_part(run.task_id)
    combine_part("0" * 32)
    assert Partial.objects.get().chunks == 0
    declare(name="odd", partial=True)
    combine_part(run.task_id)
    assert Partial.objects.get().chunks == 3


# --- the end ----------------------------------------------------------------------------------


def test_it_is_cancelled_with_the_run_and_stays_to_be_looked_at(db: None, declare: Declare) -> None:
    run = begun(declare)
    made(run)
    run_queued(1)
    let_pass(3)
    look(run)
    assert run.cancel("somebody") == 6
    assert parts(run).get().state == JobState.CANCELLED
    looking_around.send(sender=Job)
    assert not parts(run).exists()
    assert not Flow.objects.filter(key__startswith=SO_FAR).exists()
    found = Partial.objects.get()
    assert (found.chunks, found.shown, found.task_id) == (3, "10", "")


def test_nothing_is_left_when_the_result_is_there(db: None, declare: Declare) -> None:
    run = begun(declare)
    made(run)
    Content.objects.create(id="1" * 32, holder=run.task_id, size=5)  # by a worker that died
    run_jobs()
    tidy()
    run.refresh_from_db()
    assert (run.state, run.result) == (RunState.DONE, 25)
    assert Content.objects.get().holder == ""
    assert not Partial.objects.exists()
    assert set(Job.objects.all()) == set(run.everything())
    assert not Flow.objects.filter(key__startswith=SO_FAR).exists()


def test_what_is_at_work_is_left_until_it_has_ended(db: None, declare: Declare) -> None:
    run = begun(declare)
    made(run)
    run_queued(1)
    let_pass(3)
    look(run)
    (job,) = parts(run).unsettled()
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING)
    tidy()
    Run.objects.update(state=RunState.ERROR)
    tidy()
    assert parts(run).filter(pk=job.pk).exists()
    Job.objects.filter(pk=job.pk).update(state=JobState.DONE, finished_at=Now())
    tidy()
    assert not parts(run).filter(pk=job.pk).exists()
    assert str(Partial.objects.get()) == f"{run.pk}: 3 chunks"


def test_a_run_that_goes_on_has_parts_again(db: None, declare: Declare) -> None:
    run = begun(declare)
    made(run)
    run.cancel("somebody")
    tidy()
    run.cancelled().go_on()
    run_queued(1)
    let_pass(61)
    assert made(run).chunks == 4


def test_no_part_is_asked_of_a_computation_that_makes_none(db: None, declare: Declare) -> None:
    run = begun(declare, partial=False)
    page(run)
    assert not Partial.objects.exists()
