"""Chunk sizes tried out: a run in each of several sizes, one after another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django_q.models import OrmQ

from compute.computations.sums import SUM
from compute.models import Run, Sweep, plans
from compute.models.notes import unfinished
from compute.queue.models import Job, JobState
from compute.queue.signals import groups_changed, looking_around
from tests.conftest import run_jobs, run_queued, started

ADDRESS = "/compute/sum/chunk-sizes/"


def at_work() -> set[str]:
    return set(Job.objects.unsettled().values_list("group", flat=True))


def end_the_run() -> None:
    """Do what a node does with the chunks, with what combines them, and with what starts the
    next run: run them, and say which groups have settled."""
    for _ in range(3):
        before = at_work()
        run_queued(OrmQ.objects.count())  # not what these queue
        groups_changed.send(sender=None, groups=before - at_work())


@pytest.mark.thorough
def test_one_press_makes_a_run_for_each_size_one_after_another(db: None) -> None:
    reply = Client().post(ADDRESS, {"n": 1000})
    assert reply.json() == {"chunk_sizes": f"http://testserver{ADDRESS}?n=1000"}
    sweep = Sweep.objects.get()
    assert str(sweep) == "sum, 6 chunk sizes"
    for count in range(1, 7):
        assert Run.objects.count() == count
        assert Client().get(ADDRESS, {"n": 1000}).json()["sweeping"]
        end_the_run()
    said = Client().get(ADDRESS, {"n": 1000}).json()
    assert not said["sweeping"]
    assert [each["chunk_size"] for each in said["runs"]] == sorted(sweep.sizes)
    assert Run.objects.filter(sweep=sweep, state=Run.State.DONE, result=500500).count() == 6


@pytest.mark.thorough
def test_what_somebody_else_runs_is_none_of_it(db: None) -> None:
    Client().post(ADDRESS, {"n": 1000})
    started("/split-sum-start/", n=1000, chunk_size=10)
    end_the_run()
    assert Run.objects.filter(sweep=Sweep.objects.get()).count() == 2


def test_pressing_twice_starts_it_once(db: None) -> None:
    for _ in range(2):
        Client().post(ADDRESS, {"n": 1000})
    assert (Sweep.objects.count(), Run.objects.count()) == (1, 1)


@pytest.mark.thorough
def test_a_run_that_is_cancelled_or_fails_ends_it(db: None) -> None:
    Client().post(ADDRESS, {"n": 1000})
    Run.objects.get().cancel("boss")
    assert Client().get(ADDRESS, {"n": 1000}).json()["sweeping"]  # a task will see to it
    run_queued()
    assert Sweep.objects.get().ended
    assert Run.objects.count() == 1
    Client().post(ADDRESS, {"n": 1000})
    assert Sweep.objects.count() == 2


@pytest.mark.thorough
def test_a_start_that_a_crash_swallowed_is_made_up_for_by_a_nodes_look(db: None) -> None:
    Client().post(ADDRESS, {"n": 1000})
    run_jobs()  # and the node dies before it asks for the next
    assert (Run.objects.count(), unfinished()) == (1, 0)
    Client().get(ADDRESS, {"n": 1000})
    assert not OrmQ.objects.exists()  # a page starts nothing
    looking_around.send(sender=None)
    run_queued(OrmQ.objects.count())
    assert Run.objects.count() == 2
    looking_around.send(sender=None)  # which has nothing left to do while that one is at work
    assert not Job.objects.unsettled().filter(pk=Sweep.objects.get().advance_id).exists()


@pytest.mark.thorough
def test_the_next_is_asked_for_once_however_many_ask(db: None) -> None:
    Client().post(ADDRESS, {"n": 1000})
    run_jobs()
    sweep = Sweep.objects.get()
    for _ in range(3):
        sweep.queue_advance()
    assert list(OrmQ.objects.values_list("pk", flat=True)) == list(
        Job.objects.filter(pk=Sweep.objects.get().advance_id).values_list("queue_id", flat=True)
    )
    run_queued(1)
    sweep.advance()  # called once more, while a run is at work
    assert Run.objects.count() == 2
    Run.objects.get(state=Run.State.IN_PROGRESS).cancel("boss")
    run_queued()
    assert Sweep.objects.get().ended
    sweep = Sweep.objects.get()
    sweep.queue_advance()
    sweep.advance()
    assert (OrmQ.objects.count(), Run.objects.count()) == (0, 2)


def test_of_two_who_advance_at_the_same_moment_one_starts_the_run(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Client().post(ADDRESS, {"n": 1000})
    run_jobs()
    plan = plans.plan
    inside: list[bool] = []

    def overtaken(*args: Any) -> plans.Plan:
        if not inside:
            inside.append(True)
            Sweep.objects.get().advance()  # the other, while this one calls the author's code
        return plan(*args)

    monkeypatch.setattr("compute.models.sweep.plan", overtaken)
    Sweep.objects.get().advance()
    assert Run.objects.count() == 2


@pytest.mark.thorough
def test_its_runs_are_whose_it_is(db: None, browser_client: Client) -> None:
    browser_client.post(ADDRESS, {"n": 1000})
    end_the_run()
    sweep = Sweep.objects.get()
    assert sweep.owner
    assert [run.owner for run in Run.objects.all()] == [sweep.owner, sweep.owner]
    assert [run.client for run in Run.objects.all()] == [sweep.client, sweep.client]


def test_a_computation_whose_code_fails_meanwhile_ends_it(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Client().post(ADDRESS, {"n": 1000})

    def title(n: int) -> str:
        raise ZeroDivisionError("division by zero")

    broken = replace(SUM, title=title)
    monkeypatch.setattr("compute.models.sweep.all_computations", lambda: {"sum": broken})
    end_the_run()
    sweep = Sweep.objects.get()
    assert sweep.ended
    job = Job.objects.get(pk=sweep.advance_id)
    assert job.error == (
        "ComputationError: sum: its `title` raised ZeroDivisionError: division by zero"
    )


def test_a_sweep_that_is_removed_meanwhile_is_no_failure(db: None) -> None:
    Client().post(ADDRESS, {"n": 1000})
    run_jobs()
    Sweep.objects.get().queue_advance()
    Sweep.objects.all().delete()
    run_queued()
    assert not Job.objects.filter(state=JobState.FAILED).exists()
    assert Run.objects.count() == 1
