"""What is about to be started, and what of it can't be queued."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from compute import tasks
from compute.computation import ComputationError
from compute.computations.sums import BUGGY_SUM, SUM
from compute.models import Run
from compute.models.plans import plan, plan_one, run_of
from compute.queue.models import Job
from tests.conftest import run_jobs


def test_arguments_that_cannot_travel_are_the_authors_mistake(db: None) -> None:
    computation = replace(SUM, cut=lambda chunk_size, n: [(1, lambda: n)])
    with pytest.raises(ComputationError, match="sum: its tasks can't be queued: "):
        plan(computation, {"n": 5}, 1).start()
    assert not Run.objects.exists()
    assert not Job.objects.exists()


def test_a_database_that_refuses_is_not_the_authors_mistake(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("away")

    monkeypatch.setattr("compute.models.plans.async_iter", away)
    with pytest.raises(OperationalError):
        plan(SUM, {"n": 5}, 1).start()


def test_one_task_of_what_can_be_cut_is_called_with_the_parameters(db: None) -> None:
    run = plan_one(SUM, tasks.get_sum, {"n": 4}).start()
    assert (run.chunk_size, run.chunks, run.title) == (None, 1, "sum 1–4")
    run_jobs()
    run.refresh_from_db()
    assert run.result == 10


def test_parameters_that_cannot_be_kept_are_kept_as_text(db: None) -> None:
    run = run_of("a" * 32, BUGGY_SUM, {"n": object()}, title="odd", chunks=0)
    run.refresh_from_db()
    assert run.parameters == {"n": "<object: NotKeptError>"}
