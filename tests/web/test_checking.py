"""A run's page, and its check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from django_q.models import OrmQ

from compute.models import Run
from compute.models.notes import refresh, unfinished
from compute.models.retries import retry
from compute.queue.models import Job
from compute.queue.transitions import UNKNOWN_TRIES
from tests.conftest import (
    check,
    run_jobs,
    run_queued,
    started,
)
from tests.seeded import declare_darts, expected

START, CHECK = "/compute/primes/start/", "/compute/primes/check/"
#: Of what is not declared any more.
GONE = "/compute/gone/check/"


def test_a_run_that_tells_how_far_it_is_moves_the_bar(db: None, browser_client: Client) -> None:
    run = started(START, n=1000, chunk_size=250)
    jobs = list(run.jobs)
    Job.objects.filter(pk=jobs[0].pk).update(state=Job.State.DONE)
    Job.objects.filter(pk=jobs[1].pk).update(state=Job.State.RUNNING, progress=0.5)
    assert run.progress().fraction == 0.375
    assert 'max="1" value="0.3750"' in browser_client.get(run.get_absolute_url()).content.decode()


# --- results of any kind ------------------------------------------------------------------


def test_a_result_is_shown_as_the_computation_says(
    db: None, browser_client: Client, declare: Any
) -> None:
    declare(name="odd", combine=lambda results: list(results), show=lambda result: f"<{result}>")
    run = started("/compute/odd/start/", n=100, chunk_size=50)
    run_jobs()
    assert check(run, "/compute/odd/check/")["result"] == [15, 10]
    assert "&lt;[15, 10]&gt;" in browser_client.get(run.get_absolute_url()).content.decode()


@pytest.mark.parametrize(
    ("combine", "reason"),
    [
        (lambda results: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda results: object(), "the result is an object, which JSON can't keep"),
    ],
    ids=["raises", "no JSON"],
)
def test_results_that_cannot_be_combined_are_an_error(
    db: None, declare: Any, combine: Any, reason: str
) -> None:
    declare(name="broken", combine=combine)
    run = started("/compute/broken/start/", n=100, chunk_size=50)
    run_jobs()
    said = check(run, "/compute/broken/check/")
    assert said["status"] == "error"
    assert said["error"].startswith("the chunks' results can't be combined: ")
    assert reason in said["error"]
    assert unfinished() == 0
    declare(name="broken", combine=sum)  # mended
    refresh(Run.objects.get(pk=run.pk))
    # Until somebody wants it combined again.
    assert check(run, "/compute/broken/check/")["status"] == "error"
    assert retry(Run.objects.get(pk=run.pk)) == 1
    assert check(run, "/compute/broken/check/")["status"] == "in-progress"
    run_jobs()
    assert check(run, "/compute/broken/check/")["result"] == 25
    assert check(run, "/compute/broken/check/")["error"] is None


@pytest.mark.thorough
def test_a_run_whose_computation_is_gone_can_be_looked_at(
    db: None, browser_client: Client, declare: Any
) -> None:
    done = started(START, n=100)
    run_jobs()
    waiting = started(START, n=200)
    Run.objects.update(computation="gone")
    run_queued()
    for run in (done, waiting):
        assert browser_client.get(GONE, {"task_id": run.task_id}).status_code == 200
    assert check(done, GONE)["result"] == 25
    run_queued()  # which leaves it to nodes of other code
    assert check(waiting, GONE)["status"] == "in-progress"
    assert browser_client.get("/").status_code == 200
    declare(name="gone", combine=sum)
    OrmQ.objects.update(lock=Now())
    run_queued()
    assert check(waiting, GONE)["status"] == "done"
    assert check(waiting, GONE)["error"] is None


@pytest.mark.thorough
def test_a_run_whose_computation_stays_gone_ends(db: None, browser_client: Client) -> None:
    run = started(START, n=200)
    Run.objects.update(computation="gone")
    run_jobs()
    for _ in range(UNKNOWN_TRIES - 1):
        assert check(run, GONE)["status"] == "in-progress"
        OrmQ.objects.update(lock=Now())
        run_jobs()
    assert check(run, GONE)["status"] == "error"
    assert "the computation 'gone' is not declared in this node's code" in check(run, GONE)["error"]
    run.refresh_from_db()
    assert browser_client.get(run.get_absolute_url()).status_code == 200


# --- where a result is -------------------------------------------------------------------------


def test_a_check_says_where_a_large_result_is(db: None, declare: Callable[..., None]) -> None:
    declare(name="odd", combine=lambda results: "x" * 70_000)
    run = started("/compute/odd/start/", n=100, chunk_size=50)
    assert "result_at" not in check(run, "/compute/odd/check/")
    run_jobs()
    said = check(run, "/compute/odd/check/")
    at = f"http://testserver/compute/odd/result/?task_id={run.task_id}"
    assert (said["status"], said["result"], said["result_at"]) == ("done", None, at)
    assert Client().get(at).status_code == 200


def test_a_small_result_with_a_shape_is_there_and_has_an_address(
    db: None, declare: Callable[..., None]
) -> None:
    declare(name="odd", combine=lambda results: [{"n": n} for n in results])
    run = started("/compute/odd/start/", n=100, chunk_size=50)
    run_jobs()
    said = check(run, "/compute/odd/check/")
    assert said["result"] == [{"n": 15}, {"n": 10}]
    assert said["result_at"].endswith(f"/compute/odd/result/?task_id={run.task_id}")


# --- chance -----------------------------------------------------------------------------


def test_a_run_of_chance_tells_its_seed(
    db: None, declare: Callable[..., None], browser_client: Client
) -> None:
    declare_darts(declare)
    run = started("/compute/darts/start/", n=10, chunk_size=4, seed=42)
    assert check(run, "/compute/darts/check/")["seed"] == 42
    run_jobs()
    said = check(run, "/compute/darts/check/")
    assert (said["status"], said["result"]) == ("done", expected(10, 4, 42))
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert "seed <code>42</code>" in html
    other = started("/compute/darts/start/", n=10, chunk_size=4)
    assert check(other, "/compute/darts/check/")["seed"] == other.seed != 42


def test_without_chance_there_is_no_seed_to_tell(db: None, browser_client: Client) -> None:
    run = started(START, n=10, seed=42)
    assert run.seed is None
    assert "seed" not in check(run, CHECK)
    assert "seed" not in browser_client.get(run.get_absolute_url()).content.decode().lower()
