"""Runs retried, combined or cancelled many at a time."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from compute import several
from compute.models import Run, RunState
from compute.models.notes import refresh
from compute.queue.bulk import Done
from compute.queue.models import Job
from tests.conftest import run_jobs, started


def failed_runs(count: int) -> list[Run]:
    runs = [started("/bug-sum-start/", n=1234567 + number) for number in range(count)]
    run_jobs()
    for run in runs:
        refresh(run)
        assert run.state == RunState.ERROR
    return runs


def states() -> set[str]:
    return set(Run.objects.values_list("state", flat=True))


@pytest.mark.django_db
def test_failed_runs_are_at_work_again_after_one_retry(django_assert_max_num_queries: Any) -> None:
    keys = [run.pk for run in failed_runs(5)]
    with django_assert_max_num_queries(20):
        assert several.retry_all(keys, "boss") == Done(5)
    assert states() == {RunState.IN_PROGRESS}
    assert several.cancel_all(keys, "boss") == Done(5)
    assert states() == {RunState.CANCELLED}
    assert several.combine_all(keys, "boss") == Done(0)


@pytest.mark.django_db
def test_a_batch_has_few_runs_and_not_too_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "FEW", 3)
    monkeypatch.setattr(several, "BATCH", 10)
    for chunks in (4, 6, 1, 1, 1, 1, 11):
        Run.objects.create(task_id=f"{Run.objects.count()}", parameters={}, chunks=chunks)
    sizes = [len(batch) for batch in several.batches(Run.objects.all())]
    assert sizes == [2, 3, 1, 1]
    assert list(several.batches(Run.objects.none())) == []


@pytest.mark.django_db
def test_what_failed_to_combine_is_combined_again_with_the_rest() -> None:
    run = started("/split-sum-start/", n=3000, chunk_size=1000)
    run_jobs()
    refresh(run)
    run_jobs()
    Run.objects.update(state=RunState.ERROR, trouble="can't be combined")
    assert several.retry([run.pk], "boss") == 1
    assert states() == {RunState.IN_PROGRESS}


def test_it_is_by_a_press_in_the_admin(admin: Client) -> None:
    run = started("/split-sum-start/", n=3000, chunk_size=1000)
    run_jobs()
    refresh(run)
    run_jobs()
    address = "/admin/compute/run/"
    for action, said in (("combine", "1 task(s) queued again."), ("cancel", "1 task(s) cancelled")):
        if action == "combine":
            Run.objects.update(state=RunState.ERROR, trouble="can't be combined")
        form = {"action": action, "_selected_action": run.pk}
        assert said in admin.post(address, form, follow=True).content.decode()
    assert "<pre>" in admin.get(f"{address}{run.pk}/change/").content.decode()


@pytest.mark.django_db
def test_a_retried_combine_task_has_its_run_in_progress() -> None:
    run = started("/split-sum-start/", n=3000, chunk_size=1000)
    run_jobs()
    refresh(run)
    combining = Run.objects.get().combine_id
    Job.objects.filter(pk=combining).update(state="failed", payload="package")
    Run.objects.update(state=RunState.ERROR, trouble="can't be combined")
    assert Job.objects.filter(pk=combining).retry() == 1
    noted = Run.objects.get()
    assert (noted.state, noted.trouble, noted.combine_id) == ("in-progress", "", combining)


# --- in a terminal --------------------------------------------------------------------------


def said(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    call_command(*command)
    return capsys.readouterr().out


@pytest.mark.django_db
def test_runs_are_retried_and_cancelled_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = failed_runs(2)
    assert said(capsys, "retry", first.task_id) == ("Queued 1 failed chunk(s) of 1 run(s) again.\n")
    assert said(capsys, "retry", "--all") == "Queued 1 failed chunk(s) of 1 run(s) again.\n"
    assert states() == {RunState.IN_PROGRESS}
    other = ["--computation", second.computation]
    assert said(capsys, "cancel", *other) == "Cancelled 2 chunk(s) of 2 run(s).\n"
    assert said(capsys, "cancel", "--all") == "Cancelled 0 chunk(s) of 0 run(s).\n"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Give the runs, or --computation, or --all."),
        (["abc", "--all"], "Give the runs, or --computation, or --all."),
        (["abc"], "There is no run abc. Nothing is done."),
    ],
)
def test_nothing_is_done_to_runs_that_are_not_named(arguments: list[str], complaint: str) -> None:
    failed_runs(1)
    with pytest.raises(CommandError, match=complaint):
        call_command("retry", *arguments)
    assert states() == {RunState.ERROR}
