"""How long a run would take, told before it is started."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django import forms
from django.db.models.functions import Now
from django.http import HttpRequest
from django.template.loader import render_to_string

from compute.computation import Computation
from compute.computations.primes import PRIMES
from compute.computations.sums import BUGGY_SUM
from compute.forms import filled_in
from compute.models.estimates import Cost
from compute.queue.models import JobState, Node
from compute.web.pages import estimate as module
from compute.web.pages.estimate import Estimate, at_first, estimate, estimate_of
from tests.conftest import started

COST = Cost(chunks=10, seconds=100.0)


@pytest.fixture
def known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute.models.estimates.speed_of", lambda computation: 1000.0)


class WithDefault(forms.Form):
    n = forms.IntegerField(initial=10_000)


def with_default() -> Computation:
    return replace(PRIMES, form=WithDefault)


def words(found: Estimate | None) -> str:
    return render_to_string("compute/_estimate.html", {"expected": found}).strip()


# --- seconds --------------------------------------------------------------------------------


def test_the_workers_that_are_there_share_the_chunks(
    queue_server: Node, asked: HttpRequest
) -> None:
    assert estimate_of(asked, PRIMES, COST) == Estimate(50, 10, 2, True)


def test_without_a_queue_server_it_is_told_for_the_workers_it_would_have(
    db: None, settings: Any, asked: HttpRequest
) -> None:
    settings.Q_WORKERS = 4
    # Ten chunks of ten seconds on four workers: three times ten.
    assert estimate_of(asked, PRIMES, COST) == Estimate(30, 10, 4, False)


@pytest.mark.parametrize(
    ("cost", "at_once", "seconds"),
    [
        (Cost(chunks=1, seconds=100.0), None, 100),
        (Cost(chunks=3, seconds=90.0), None, 60),
        (COST, 1, 100),
        (COST, 99, 50),
        (Cost(chunks=0, seconds=0.0), None, 0),
    ],
)
def test_a_chunk_is_one_piece_and_only_so_many_may_be_at_work(
    queue_server: Node, asked: HttpRequest, cost: Cost, at_once: int | None, seconds: float
) -> None:
    found = estimate_of(asked, replace(PRIMES, at_once=at_once), cost)
    assert found.seconds == pytest.approx(seconds)


def test_beside_others_it_starts_later_and_has_a_part(
    queue_server: Node, asked: HttpRequest, known_speed: None
) -> None:
    run = started("/compute/primes/start/", n=1_000_000, chunk_size=100_000)  # 1,000 s
    run.jobs.filter(position__lt=2).update(
        state=JobState.RUNNING, started_at=Now() - timedelta(seconds=50), node=queue_server
    )
    found = estimate_of(asked, PRIMES, COST)
    assert found.seconds is not None
    assert 0 < found.starts_in < found.seconds
    assert found.portion == pytest.approx(0.5)
    assert found.seconds > 100
    assert words(found).startswith("Starts in about ")
    assert words(found).endswith(": you get half of the workers.")


def test_nobody_knows_what_has_no_speed(db: None, asked: HttpRequest) -> None:
    found = estimate_of(asked, BUGGY_SUM, Cost())
    assert (found.seconds, found.chunks) == (None, 1)


# --- of a form ------------------------------------------------------------------------------


def test_a_form_that_is_filled_in_is_estimated(
    queue_server: Node, asked: HttpRequest, known_speed: None
) -> None:
    form = filled_in(PRIMES, {"n": "10000", "chunk_size": "2500"})
    assert estimate(asked, PRIMES, form) == Estimate(5, 4, 2, True)
    assert estimate(asked, PRIMES, filled_in(PRIMES, {"n": "x"})) is None


def test_a_form_that_can_be_started_as_it_is_is_estimated_at_first(
    queue_server: Node, asked: HttpRequest, known_speed: None
) -> None:
    computation = with_default()
    found = estimate(asked, computation, filled_in(computation))
    assert found is not None
    assert found.seconds == pytest.approx(5, rel=0.2)
    assert at_first(computation).cleaned_data["n"] == 10_000
    assert estimate(asked, PRIMES, filled_in(PRIMES)) is None


def test_code_that_fails_has_no_estimate(
    db: None, asked: HttpRequest, caplog: pytest.LogCaptureFixture
) -> None:
    computation = replace(PRIMES, length=lambda n: 1 // 0)
    assert estimate(asked, computation, filled_in(computation, {"n": "5"})) is None
    assert "its `length` raised ZeroDivisionError" in caplog.text
    assert module.log.name in {record.name for record in caplog.records}


# --- in words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, ""),
        (Estimate(None, 1, 2, True), "Nothing is known of its speed yet; its first run will tell."),
        (
            Estimate(120, 40, 2, True),
            "About 2 min with the 2 workers that are there, in 40 chunks.",
        ),
        (Estimate(5, 1, 1, True), "About 5.0 s with the 1 worker that is there."),
        (Estimate(5, 2, 1, False), "About 5.0 s with 1 worker, in 2 chunks."),
        (
            Estimate(60, 2, 4, True, 0.0, 0.25),
            "Starts at once, done in about 1 min: you get a quarter of the workers.",
        ),
    ],
)
def test_the_sentence_fits(found: Estimate | None, said: str) -> None:
    assert words(found) == said
