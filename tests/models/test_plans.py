"""What is about to be started, and what of it can't be queued."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django_q.conf import Conf
from django_q.tasks import async_task

from compute import tasks
from compute.chance import DRAWN_BELOW, seed_of
from compute.computation import ComputationError
from compute.computations.sums import BUGGY_SUM, SUM
from compute.models import Run, retries
from compute.models.plans import plan, plan_one, run_of
from compute.queue.models import Job
from compute.queue.sharing import Pause, Slot
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


@pytest.mark.parametrize(
    ("declared", "asked_for", "weight"),
    [("normal", "", 1.0), ("background", "", 0.25), ("background", "urgent", 4.0)],
)
def test_a_run_gets_what_is_asked_for_or_what_its_computation_says(
    db: None, declared: str, asked_for: str, weight: float
) -> None:
    planned = plan(replace(SUM, priority=declared), {"n": 5}, 1)
    assert planned._replace(priority=asked_for).start().flow.get().weight == weight


@pytest.mark.parametrize("address", ["/sum-start/", "/bug-sum-start/", "/split-sum-start/"])
def test_each_run_waits_in_a_line_of_its_own_however_it_is_queued(
    browser_client: Client, db: None, address: str
) -> None:
    for _ in range(2):
        browser_client.post(address, {"n": 10})
    for run in Run.objects.all():
        flow = run.flow.get()
        assert set(flow.jobs.all()) == set(run.jobs)
        assert flow.client == run.sharer != ""
        assert flow.kind == run.computation


def test_one_task_of_a_computation_is_as_that_says(db: None) -> None:
    Pause.objects.create(queue=Conf.CLUSTER_NAME, kind="sum")
    task_id = async_task(tasks.get_sum, 5)
    run = run_of(task_id, replace(SUM, priority="background", at_once=2), {"n": 5})
    flow = run.flow.get()
    assert (flow.client, flow.weight, flow.at_once) == ("compute.tasks.get_sum", 0.25, 2)
    assert (flow.pool, flow.kind, flow.kind_paused) == ("computation sum", "sum", True)
    assert Slot.objects.filter(pool=flow.pool).count() == 2
    assert [job.flow_id for job in run.jobs] == [flow.pk]


def test_parameters_that_cannot_be_kept_are_kept_as_text(db: None) -> None:
    run = run_of("a" * 32, BUGGY_SUM, {"n": object()}, title="odd", chunks=0)
    run.refresh_from_db()
    assert run.parameters == {"n": "<object: NotKeptError>"}


# --- chance -----------------------------------------------------------------------------------


def note(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


SEEDED = replace(SUM, function=note, seed=True, combine=list, show=str)


def results_of(run: Run) -> Any:
    run_jobs()
    return [job.result for job in run.jobs]


def test_each_chunk_gets_the_seed_of_its_place(db: None) -> None:
    run = plan(SEEDED, {"n": 5}, 2, seed=42).start()
    assert run.seed == 42
    assert results_of(run) == [
        [[first, last], {"seed": seed_of(42, place)}]
        for place, (first, last) in enumerate([(1, 2), (3, 4), (5, 5)])
    ]


def test_a_run_in_one_piece_gets_one_too(db: None) -> None:
    run = plan(replace(SEEDED, cut=None, length=None), {"n": 5}, seed=42).start()
    assert (run.seed, run.chunk_size) == (42, None)
    assert results_of(run) == [[[5], {"seed": seed_of(42, 0)}]]


def test_a_seed_that_nobody_gives_is_drawn(db: None) -> None:
    first, second = (plan(SEEDED, {"n": 5}, 2).start().seed for _ in range(2))
    assert first is not None
    assert second is not None
    assert first != second
    assert 0 <= first < DRAWN_BELOW


def test_without_chance_there_is_none(db: None) -> None:
    run = plan(replace(SEEDED, seed=False), {"n": 5}, 5).start()
    assert run.seed is None
    assert results_of(run) == [[[1, 5], {}]]


def test_a_chunk_that_is_tried_again_has_the_same(db: None) -> None:
    fails_once = replace(SEEDED, function=fail_at_first)
    run = plan(fails_once, {"n": 1}, 1, seed=42).start()
    tried.clear()
    run_jobs()
    assert run.jobs.get().state == Job.State.FAILED
    retries.retry(run)
    run_jobs()
    assert tried == [seed_of(42, 0)] * 2


tried: list[int] = []


def fail_at_first(first: int, last: int, seed: int) -> None:
    tried.append(seed)
    if len(tried) == 1:
        raise ValueError("no luck")
