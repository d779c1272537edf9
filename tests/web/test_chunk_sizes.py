"""Trying out chunk sizes, one after another, and the picture of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from compute.computations.sums import SUM
from compute.models import Run, Sweep, plans
from compute.models.notes import unfinished
from compute.queue.models import Job, JobState
from compute.queue.signals import groups_changed, looking_around
from compute.web.pictures import nice_step, plot
from tests.conftest import run_jobs, run_queued, started

ADDRESS = "/compute/sum/chunk-sizes/"
HTML = {"accept": "text/html"}


def at_work() -> set[str]:
    return set(Job.objects.unsettled().values_list("group", flat=True))


def end_the_run() -> None:
    """Do what a node does with the chunks, with what combines them, and with what starts the
    next run: run them, and say which groups have settled."""
    for _ in range(3):
        before = at_work()
        run_queued(OrmQ.objects.count())  # not what these queue
        groups_changed.send(sender=None, groups=before - at_work())


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


def test_what_somebody_else_runs_is_none_of_it(db: None) -> None:
    Client().post(ADDRESS, {"n": 1000})
    started("/split-sum-start/", n=1000, chunk_size=10)
    end_the_run()
    assert Run.objects.filter(sweep=Sweep.objects.get()).count() == 2


def test_pressing_twice_starts_it_once(db: None) -> None:
    for _ in range(2):
        Client().post(ADDRESS, {"n": 1000})
    assert (Sweep.objects.count(), Run.objects.count()) == (1, 1)


def test_a_run_that_is_cancelled_or_fails_ends_it(db: None) -> None:
    Client().post(ADDRESS, {"n": 1000})
    Run.objects.get().cancel("boss")
    assert Client().get(ADDRESS, {"n": 1000}).json()["sweeping"]  # a task will see to it
    run_queued()
    assert Sweep.objects.get().ended
    assert Run.objects.count() == 1
    Client().post(ADDRESS, {"n": 1000})
    assert Sweep.objects.count() == 2


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
    plan, inside = plans.plan, []

    def overtaken(*args: Any) -> plans.Plan:
        if not inside:
            inside.append(True)
            Sweep.objects.get().advance()  # the other, while this one calls the author's code
        return plan(*args)

    monkeypatch.setattr("compute.models.sweep.plan", overtaken)
    Sweep.objects.get().advance()
    assert Run.objects.count() == 2


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
    broken = replace(SUM, title=lambda n: 1 / 0)
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


def test_whoever_pressed_may_cancel_its_runs(db: None, browser_client: Client) -> None:
    reply = browser_client.post(ADDRESS, {"n": 1000})
    assert (reply.status_code, reply["Location"]) == (303, f"{ADDRESS}?n=1000")
    run = Run.objects.get()
    browser_client.post("/compute/sum/cancel/", {"task_id": run.task_id})
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED


def test_the_page_has_the_picture_and_says_what_it_shows(db: None, browser_client: Client) -> None:
    html = browser_client.get(ADDRESS).content.decode()
    assert "Try several sizes" in html
    assert "Give the numbers above" in html
    html = browser_client.get(ADDRESS, {"n": 1000}).content.decode()
    assert "No run of this has been split into chunks yet." in html
    browser_client.post(ADDRESS, {"n": 1000})
    html = browser_client.get(ADDRESS, {"n": 1000}).content.decode()
    assert "0 of 6 sizes tried" in html
    assert f'hx-get="{ADDRESS}?n=1000"' in html
    now = timezone.now()
    for size, seconds in ((1, 30), (100, 10), (1000, 20)):
        run = started("/split-sum-start/", n=1000, chunk_size=size)
        Run.objects.filter(pk=run.pk).update(
            state="done", created_at=now, finished_at=now + timedelta(seconds=seconds)
        )
    Run.objects.filter(chunk_size=100, sweep=None).update(work_seconds=15)
    part = browser_client.get(ADDRESS, {"n": 1000}, headers={"hx-request": "true"})
    html = part.content.decode()
    assert html.strip().startswith('<section id="chunk-sizes"')
    assert html.count("<circle") == 3
    assert 'aria-label="Chunks of 100: 10 s"' in html
    assert "one worker&#x27;s time" in html or "one worker's time" in html
    assert "On the left, small chunks:" in html
    assert "On the right, large chunks:" in html


@pytest.mark.parametrize(
    ("address", "status", "detail"),
    [
        ("/compute/nothing/chunk-sizes/", 404, "There is no such computation"),
        ("/compute/buggy-sum/chunk-sizes/", 404, "buggy-sum runs in one piece, without chunks."),
        (f"{ADDRESS}?n=x", 400, "Give n as a whole number"),
        (f"{ADDRESS}?n=0", 400, "There is nothing to cut."),
        (ADDRESS, 400, "Give n as a whole number"),
    ],
)
def test_what_is_refused(db: None, address: str, status: int, detail: str) -> None:
    reply = Client().post(address)
    assert reply.status_code == status
    assert detail in reply.json()["detail"]
    assert not Sweep.objects.exists()


def test_a_wrong_n_is_said_at_the_field(db: None, browser_client: Client) -> None:
    html = browser_client.get(ADDRESS, {"n": "x"}).content.decode()
    assert 'id="id_n_error"' in html


def test_without_parameters_a_program_is_told_of_no_runs(db: None) -> None:
    assert Client().get(ADDRESS).json() == {"runs": []}


def test_too_many_runs_are_too_many_here_as_well(db: None, settings: Any) -> None:
    settings.MAX_ACTIVE_RUNS = 0
    reply = Client().post(ADDRESS, {"n": 1000})
    assert (reply.status_code, reply["Retry-After"]) == (429, "10")


def test_a_runs_page_leads_there(db: None, browser_client: Client) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=10)
    run.jobs.update(state=JobState.DONE)
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert f'href="{ADDRESS}?n=1000"' in html


def test_what_is_too_long_for_an_address_is_named_by_a_run(
    db: None, browser_client: Client
) -> None:
    long = "0" * 50_000 + "1000"
    reply = browser_client.post(ADDRESS, {"n": long})
    run = Run.objects.get()
    assert (reply.status_code, reply["Location"]) == (303, f"{ADDRESS}?task_id={run.task_id}")
    html = browser_client.get(reply["Location"]).content.decode()
    assert f'value="{long}"' in html
    assert f'hx-get="{ADDRESS}?task_id={run.task_id}"' in html
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert f'href="{ADDRESS}?task_id={run.task_id}"' in html
    assert Client().get(f"{ADDRESS}?task_id={run.task_id}").json()["sweeping"]
    assert Client().get(f"{ADDRESS}?task_id={'0' * 32}").status_code == 404


# --- the plot -------------------------------------------------------------------------------


def test_the_plot_has_a_logarithmic_axis_and_one_from_nought() -> None:
    drawn = plot([(10, 8.0, "a"), (1000, 4.0, "b")], 3.9)
    assert [size for _, size in drawn.sizes] == [10, 100, 1000]
    assert [seconds for _, seconds in drawn.times] == [0, 2, 4, 6, 8]
    assert [(dot.x, dot.y) for dot in drawn.dots] == [(60, 20), (700, 160)]
    assert 160 < drawn.ideal < 170


def test_a_plot_of_one_dot_is_one() -> None:
    assert len(plot([(1, 0.0, "a")], 0.0).sizes) == 2


@pytest.mark.parametrize(
    ("least", "step"), [(0.03, 0.05), (0.1, 0.1), (1.1, 2), (3, 5), (6, 10), (400, 500), (0, 0.001)]
)
def test_marks_are_at_round_numbers(least: float, step: float) -> None:
    assert nice_step(least) == pytest.approx(step)
