"""Runs retried, combined or cancelled many at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.test import Client

from compute import several
from compute.models import Run, RunState
from compute.models.notes import refresh
from compute.queue.bulk import Done
from compute.queue.models import Flow, Job
from tests.conftest import run_jobs, started
from tests.failed import failed_runs, states


@pytest.mark.thorough
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
def test_runs_are_paused_resumed_and_preferred_by_one_update_each(
    django_assert_max_num_queries: Any,
) -> None:
    runs = [started("/split-sum-start/", n=10, chunk_size=5) for _ in range(3)]
    ended = started("/sum-start/", n=10)
    Run.objects.filter(pk=ended.pk).update(state=RunState.DONE)
    keys = [run.pk for run in (*runs, ended)]
    for step, changed in (
        (several.pause_all, 3),
        (several.resume_all, 3),
        (several.resume_all, 0),
        (partial(several.prioritize_all, "urgent"), 4),
    ):
        with django_assert_max_num_queries(2):
            assert step(keys, "boss") == Done(changed)
    assert {run.flow.get().weight for run in (*runs, ended)} == {4.0}
    assert several.pause([runs[0].pk], "boss") == 1
    assert Flow.objects.get(paused=True).key == runs[0].task_id
    with pytest.raises(ValueError, match="high"):
        several.prioritize_all("high", keys, "boss")


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


@pytest.mark.thorough
def test_it_is_by_a_press_in_the_admin(admin: Client) -> None:
    run = started("/split-sum-start/", n=3000, chunk_size=1000)
    run_jobs()
    refresh(run)
    run_jobs()
    address = "/admin/compute/run/"
    for action, said in (("combine", "1 task queued again."), ("cancel", "1 task cancelled")):
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
