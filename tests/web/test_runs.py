"""The addresses and pages that every computation has, on the primes."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from django_q.models import OrmQ

from compute.computations import all_computations
from compute.computations.primes import PRIMES
from compute.computations.sums import BUGGY_SUM, SUM
from compute.models import Run
from compute.models.notes import refresh, unfinished
from compute.models.retries import retry
from compute.models.speed import speed_of
from compute.queue.models import Job, Node
from compute.queue.transitions import UNKNOWN_TRIES
from tests.conftest import check, measure_samples, run_jobs, run_queued, started

START, CHECK = "/compute/primes/start/", "/compute/primes/check/"


# --- the list ---------------------------------------------------------------------------


def test_a_module_in_the_folder_is_enough() -> None:
    assert {"primes": PRIMES, "sum": SUM}.items() <= all_computations().items()


# --- for programs -----------------------------------------------------------------------


def test_a_run_from_start_to_result(db: None) -> None:
    run = started(START, n=1000, chunk_size=300)
    assert (run.computation, run.parameters, run.chunks) == ("primes", {"n": 1000}, 4)
    assert str(run) == "primes up to 1,000"
    assert [job.name for job in run.jobs][1] == "primes up to 1,000, chunk 2 of 4"
    progress = {"done": 0, "failed": 0, "total": 4}
    in_progress = {"status": "in-progress", "result": None, "error": None, "progress": progress}
    assert check(run, CHECK) == in_progress
    run_jobs()
    progress["done"] = 4
    assert check(run, CHECK) == {**in_progress, "status": "done", "result": 168}


def test_the_site_chooses_a_chunk_size_by_the_speed_of_the_last_runs(queue_server: Node) -> None:
    run = started(START, n=100, chunk_size=50)
    run_jobs()
    refresh(run)
    assert run.work_seconds is not None
    # Chunks of 0.02 s say more of the queue than of the computation.
    for n, seconds in ((10**6, 1), (3 * 10**6, 2), (10**6, 0.5), (10**9, 0.04)):
        Run.objects.create(
            task_id=f"{n}-{seconds}",
            computation="primes",
            parameters={"n": n},
            state=Run.State.DONE,
            chunks=2,
            work_seconds=seconds,
        )
    assert speed_of(PRIMES) == 1_500_000
    run = started(START, n=30_000_000)
    assert run.chunk_size == 750_000
    assert run.why == (
        "Chosen by the site: 40 chunks for 2 workers. "
        "Each takes about 0.5 s, as fast as this was lately."
    )
    assert started(START, n=10, chunk_size=5).why == ""


def test_without_runs_a_sample_tells_the_speed(db: None, declare: Any) -> None:
    assert speed_of(PRIMES) is None  # a request tries none
    measure_samples()
    speed = speed_of(PRIMES)
    assert speed is not None
    assert speed > 10_000
    assert "as fast as this was lately" in started(START, n=1000).why
    assert speed_of(BUGGY_SUM) is None
    declare(name="unknown", sample=None)
    run = started("/compute/unknown/start/", n=1000)
    assert "Nothing is known of its speed yet." in run.why


def test_what_cannot_be_cut_is_one_task(db: None) -> None:
    run = started("/compute/buggy-sum/start/", n=1000, chunk_size=10)
    assert (run.chunks, run.chunk_size) == (1, None)
    run_jobs()
    assert check(run, CHECK)["result"] == 500500


def test_the_computation_says_what_it_takes(db: None) -> None:
    said = Client().get("/compute/primes/").json()
    assert said["name"] == "primes"
    assert said["start"] == f"http://testserver{START}"
    assert list(said["parameters"]) == ["n", "chunk_size"]


@pytest.mark.parametrize(
    ("address", "status", "detail"),
    [
        ("/compute/nothing/", 404, "There is no such computation; there are: buggy-sum, "),
        ("/compute/nothing/start/?n=1", 404, "There is no such computation"),
        (START, 400, "Give n as a whole number"),
        (f"{START}?n=1e6", 400, "Give n as a whole number"),
        (f"{START}?n=9999999999999", 400, "Give a n of at most 100,000,000,000."),
        (f"{START}?n=1000000&chunk_size=9", 400, "Give a chunk_size of at least 100"),
        (f"{START}?n=1000000&chunk_size=x", 400, "Give chunk_size as a whole number"),
        (CHECK, 400, "Give the task_id"),
        (f"{CHECK}?task_id=x", 404, "No run has this task_id"),
    ],
)
def test_what_is_refused(db: None, address: str, status: int, detail: str) -> None:
    reply = Client().get(address)
    assert reply.status_code == status
    assert detail in reply.json()["detail"]
    assert not Run.objects.exists()


# --- for people -------------------------------------------------------------------------


def test_the_page_has_the_form_and_the_runs(db: None, browser_client: Client) -> None:
    run = started(START, n=1000)
    html = browser_client.get("/compute/primes/").content.decode()
    assert PRIMES.line in html
    assert f'<form method="post" action="{START}"' in html
    assert 'name="n"' in html
    assert 'name="chunk_size"' in html
    assert f'<a href="{run.get_absolute_url()}">primes up to 1,000</a>' in html


def test_the_first_page_leads_to_every_computation(db: None, browser_client: Client) -> None:
    html = browser_client.get("/").content.decode()
    assert '<a href="/compute/primes/">primes</a>' in html


def test_a_browser_is_sent_to_the_run(db: None, browser_client: Client) -> None:
    reply = browser_client.post(START, {"n": "1000"})
    assert reply.status_code == 303
    run_jobs()
    html = browser_client.get(reply.headers["Location"]).content.decode()
    assert "<output>168</output>" in html


def test_a_refused_form_comes_again_with_the_reason(db: None, browser_client: Client) -> None:
    reply = browser_client.post(START, {"n": "x", "chunk_size": "y"})
    assert reply.status_code == 400
    html = reply.content.decode()
    assert '<p class="error" id="id_n_error" role="alert">Give n as a whole number' in html
    assert "Give chunk_size as a whole number" in html
    assert 'value="x"' in html
    assert 'aria-invalid="true"' in html


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
    said = check(run, CHECK)
    assert said["status"] == "error"
    assert said["error"].startswith("the chunks' results can't be combined: ")
    assert reason in said["error"]
    assert unfinished() == 0
    declare(name="broken", combine=sum)  # mended
    refresh(Run.objects.get(pk=run.pk))
    assert check(run, CHECK)["status"] == "error"  # until somebody wants it combined again
    assert retry(Run.objects.get(pk=run.pk)) == 1
    assert check(run, CHECK)["status"] == "in-progress"
    run_jobs()
    assert check(run, CHECK)["result"] == 25
    assert check(run, CHECK)["error"] is None


def test_a_run_whose_computation_is_gone_can_be_looked_at(
    db: None, browser_client: Client, declare: Any
) -> None:
    done = started(START, n=100)
    run_jobs()
    waiting = started(START, n=200)
    Run.objects.update(computation="gone")
    run_queued()
    for run in (done, waiting):
        assert browser_client.get(CHECK, {"task_id": run.task_id}).status_code == 200
    assert check(done, CHECK)["result"] == 25
    run_queued()  # which leaves it to nodes of other code
    assert check(waiting, CHECK)["status"] == "in-progress"
    assert browser_client.get("/").status_code == 200
    declare(name="gone", combine=sum)
    OrmQ.objects.update(lock=Now())
    run_queued()
    assert check(waiting, CHECK)["status"] == "done"
    assert check(waiting, CHECK)["error"] is None


def test_a_run_whose_computation_stays_gone_ends(db: None, browser_client: Client) -> None:
    run = started(START, n=200)
    Run.objects.update(computation="gone")
    run_jobs()
    for _ in range(UNKNOWN_TRIES - 1):
        assert check(run, CHECK)["status"] == "in-progress"
        OrmQ.objects.update(lock=Now())
        run_jobs()
    assert check(run, CHECK)["status"] == "error"
    assert (
        "the computation 'gone' is not declared in this node's code" in check(run, CHECK)["error"]
    )
    assert browser_client.get(run.get_absolute_url()).status_code == 200
