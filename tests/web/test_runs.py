"""The addresses and pages that every computation has, on the primes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django import forms
from django.test import Client

from compute.computations import all_computations
from compute.computations.primes import PRIMES
from compute.computations.sums import BUGGY_SUM, SUM
from compute.models import Run
from compute.models.notes import refresh
from compute.models.speed import speed_of
from compute.queue.models import Node
from tests.conftest import (
    NOBODY_KNOWS,
    OVER,
    check,
    measure_samples,
    run_jobs,
    started,
)
from tests.filling import sent_by
from tests.seeded import declare_darts

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
    assert check(run, CHECK) == in_progress | NOBODY_KNOWS
    run_jobs()
    progress["done"] = 4
    assert check(run, CHECK) == {**in_progress, "status": "done", "result": 168, **OVER}


@pytest.mark.thorough
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


@pytest.mark.thorough
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
    assert check(run, "/compute/buggy-sum/check/")["result"] == 500500


def test_the_computation_says_what_it_takes(db: None) -> None:
    said = Client().get("/compute/primes/").json()
    assert said["name"] == "primes"
    assert said["about"].startswith("The sieve of Eratosthenes")
    assert said["start"] == f"http://testserver{START}"
    assert list(said["parameters"]) == ["n", "chunk_size"]


# --- filled in from a run ----------------------------------------------------------------


def filled(address: str) -> list[str]:
    """What the two fields of the primes have on a page."""
    html = Client(headers={"accept": "text/html"}).get(address).content.decode()
    sent = sent_by(html, START)
    return [sent[name][0] for name in ("n", "chunk_size")]


def test_a_form_is_filled_in_from_a_run_and_from_the_address(db: None) -> None:
    sized, chosen = started(START, n=900, chunk_size=300), started(START, n=800)
    assert filled(f"/compute/primes/?from={sized.task_id}") == ["900", "300"]
    assert filled(f"/compute/primes/?from={chosen.task_id}") == ["800", ""]
    assert filled(f"/compute/primes/?from={sized.task_id}&n=7") == ["7", "300"]
    assert filled(f"/compute/primes/?from={sized.task_id}&chunk_size=") == ["900", ""]
    assert filled("/compute/primes/?chunk_size=5&n=6") == ["6", "5"]
    Run.objects.update(given=None)
    assert filled(f"/compute/primes/?from={sized.task_id}") == ["900", "300"]


@pytest.mark.parametrize("task_id", ["", "x", "0" * 32, "another computation's", "a stranger's"])
def test_it_has_to_be_a_run_of_it_that_one_may_see(
    db: None, browser_client: Client, settings: Any, task_id: str
) -> None:
    if task_id == "another computation's":
        task_id = started("/sum-start/", n=9).task_id
    if task_id == "a stranger's":
        browser_client.get(START, {"n": 5})
        task_id = Run.objects.get().task_id
        address = f"/compute/primes/?from={task_id}"
        settings.RUNS_PRIVATE = True
        assert browser_client.get(address).status_code == 200
    reply = Client().get("/compute/primes/", {"from": task_id})
    assert reply.status_code == (404 if task_id else 400)
    assert "task_id" in reply.json()["detail"]


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
    assert "<p>The sieve of Eratosthenes, a segment after the other: " in html
    assert '<h2 id="start">Start a run</h2>' in html
    assert f'<form method="post" action="{START}"' in html
    assert 'name="n"' in html
    assert 'name="chunk_size"' in html
    assert f'<a href="{run.get_absolute_url()}">primes up to 1,000</a>' in html
    assert "Find by id, name or title" in html


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


# --- a form that an address fills in ----------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "filled"),
    [
        ("", {"x": "-0.75", "pixels": "512"}),
        ("x=0.3&pixels=64", {"x": "0.3", "y": "0", "pixels": "64"}),
        ("chunk_size=7", {"x": "-0.75", "chunk_size": "7"}),
        ("state=done&q=x", {"x": "-0.75"}),
    ],
)
def test_a_computations_page_has_the_form_as_its_address_says(
    db: None, browser_client: Client, query: str, filled: dict[str, str]
) -> None:
    html = browser_client.get(f"/compute/mandelbrot/?{query}").content.decode()
    for name, value in filled.items():
        assert f'name="{name}" value="{value}"' in html
    assert 'role="alert"' not in html


def test_what_an_address_has_wrong_is_said_at_the_field(db: None, browser_client: Client) -> None:
    reply = browser_client.get("/compute/mandelbrot/?x=NaN")
    assert reply.status_code == 200
    assert "Give x as a number" in reply.content.decode()
    assert Client().get("/compute/mandelbrot/?x=NaN").json()["name"] == "mandelbrot"


# --- chance -----------------------------------------------------------------------------


def test_the_form_of_chance_asks_for_the_seed(
    db: None, declare: Callable[..., None], browser_client: Client
) -> None:
    declare_darts(declare)
    html = browser_client.get("/compute/darts/?n=10&seed=42").content.decode()
    assert re.search(r'name="seed" value="42"', html)
    run = started("/compute/darts/start/", n=10, seed=43)
    for more, seed in ("", 43), ("&seed=44", 44):
        html = browser_client.get(f"/compute/darts/?from={run.task_id}{more}").content.decode()
        assert re.search(f'name="seed" value="{seed}"', html)
    assert "repeat a run exactly" in Client().get("/compute/darts/").json()["parameters"]["seed"]
    reply = browser_client.post("/compute/darts/start/", {"n": 10, "seed": "x"})
    assert reply.status_code == 400
    assert "Give seed as a whole number" in reply.content.decode()
    reply = Client().get("/compute/darts/start/", {"n": 10, "seed": 2**63})
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith("seed: Give a seed of at most 9,223,")


@pytest.mark.parametrize("text", ['"\\ud800"', '{"a\\udfff": ["\\ud800", 1]}'])
def test_a_lone_surrogate_in_json_breaks_no_page(
    db: None, browser_client: Client, declare: Any, text: str
) -> None:
    """JSON may write it with an escape, which is read when the field's own text is cleaned."""
    form = type("JSONForm", (forms.Form,), {"js": forms.JSONField(), "other": forms.IntegerField()})
    declare(
        name="odd", form=form, function=repr, title=lambda js, other: f"odd {js}", cut=None,
        length=None, combine=None,
    )  # fmt: skip
    given = {"js": text, "other": "1"}
    assert browser_client.get("/compute/odd/", given).status_code == 200
    assert browser_client.get("/compute/odd/estimate/", given).status_code == 200
    wrong = browser_client.get("/compute/odd/start/", {**given, "other": "wrong"})
    assert wrong.status_code == 400
    assert browser_client.get("/compute/odd/start/", given).status_code == 303
    run = Run.objects.get()
    for address in (f"/compute/odd/?from={run.task_id}", run.get_absolute_url(), "/"):
        assert browser_client.get(address).status_code == 200
