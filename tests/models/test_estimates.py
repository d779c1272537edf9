"""What a run will take, as far as it can be told before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django import forms
from django.test import Client
from django_q.models import OrmQ
from hypothesis import given
from hypothesis import strategies as st

from compute.computations.primes import PRIMES
from compute.computations.sums import BUGGY_SUM, SUM
from compute.models import Run, Sweep, estimates
from compute.models.estimates import (
    CHUNK_BYTES,
    RUN_BYTES,
    Cost,
    cost_of,
    cost_of_sweep,
    field_of,
    left,
)
from compute.models.notes import unfinished
from compute.models.plans import plan
from compute.queue import room
from compute.queue.models import Node
from compute.queue.overview import Use
from tests.conftest import run_jobs, started


@pytest.fixture
def known_speed(db: None, queue_server: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("estimates", "plans"):
        monkeypatch.setattr(
            f"compute.models.{module}.speed_of",
            lambda computation: 1000.0 if computation.length else None,
        )


# --- work ---------------------------------------------------------------------------------


def test_the_speed_makes_a_length_seconds_however_it_is_cut(known_speed: None) -> None:
    for chunk_size, whole, chunks in ((None, False, 36), (50, False, 200), (None, True, 1)):
        cost = cost_of(SUM, {"n": 10_000}, chunk_size, whole)
        assert (cost.chunks, cost.seconds, cost.work) == (chunks, 10, 10)
        assert (cost.speed, cost.unit, cost.field) == (1000, "integers", "n")
    assert cost_of(SUM, {"n": 0}).work == 0


def test_what_has_no_length_is_one_chunk_of_unknown_cost(db: None, settings: Any) -> None:
    settings.UNKNOWN_CHUNK_SECONDS = 7
    cost = cost_of(BUGGY_SUM, {"n": 10**12})
    assert (cost.chunks, cost.seconds, cost.work, cost.speed) == (1, None, 7, 0)


@pytest.mark.thorough
def test_what_has_no_speed_takes_as_long_as_the_slowest_run_lately(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "speed_of", lambda computation: None)
    for seconds in (100, 3, 1, 2, 3, 1):
        run = started("/split-sum-start/", n=4, chunk_size=1)
        Run.objects.filter(pk=run.pk).update(state=Run.State.DONE, work_seconds=seconds)
    unknown, other = (replace(each, per_second=None) for each in (SUM, PRIMES))
    assert cost_of(unknown, {"n": 10}, 1).seconds == pytest.approx(10 * 3 / 4)
    assert cost_of(other, {"n": 10}, 1).seconds is None
    sweep = cost_of_sweep(unknown, {"n": 10}, [10, 5, 1])
    assert sweep.work == pytest.approx((1 + 2 + 10) * 3 / 4)
    assert cost_of(SUM, {"n": 25 * 10**6}, 1).seconds == 1, "as it is declared"


def test_a_sweep_is_all_its_runs(known_speed: None) -> None:
    cost = cost_of_sweep(SUM, {"n": 1000}, [1000, 100, 10])
    assert (cost.runs, cost.chunks, cost.seconds) == (1, 100, 3)
    assert 3 * RUN_BYTES + 111 * CHUNK_BYTES <= cost.bytes < 3 * RUN_BYTES + 111 * CHUNK_BYTES + 99
    assert cost_of_sweep(SUM, {"n": 0}, [1]).work == 0


@pytest.mark.parametrize(
    ("parameters", "length", "field"),
    [({"n": 5}, 5, "n"), ({"n": 5}, 6, ""), ({"a": 5, "b": 5}, 5, ""), ({}, 0, "")],
)
def test_the_only_parameter_is_named_if_it_is_the_length(
    parameters: dict[str, Any], length: int, field: str
) -> None:
    assert field_of(parameters, length) == field


@pytest.mark.parametrize(
    ("use", "known", "seconds"),
    [
        (Use(10, 0, 0, 0), True, 100),
        (Use(10, 0, 0, 0), False, 100),
        (Use(10, 5, 0, 50), True, 50),
        (Use(10, 5, 0, 1), True, 50),  # quick so far; what was expected may still come
        (Use(10, 5, 0, 1), False, 1),  # nothing was expected but a guess
        (Use(10, 5, 0, 200), True, 200),  # slow: goes on so
        (Use(10, 0, 5, 1000), True, 1000),  # as it says itself
        (Use(10, 0, 0, 1000), True, 1000),  # says nothing: as long again
        (Use(10, 10, 0, 1000), True, 0),
        (Use(10, 9, 1.5, 7), True, 0),
    ],
)
def test_what_is_left_is_corrected_by_what_was_used(use: Use, known: bool, seconds: float) -> None:
    assert left(100, use, known) == pytest.approx(seconds)


@pytest.mark.thorough
@given(
    expected=st.floats(0, 1e9),
    known=st.booleans(),
    jobs=st.integers(1, 10_000),
    share=st.floats(0, 1),
    under_way=st.floats(0, 100),
    seconds=st.floats(0, 1e9),
)
def test_what_is_left_is_never_less_than_nothing(
    expected: float, known: bool, jobs: int, share: float, under_way: float, seconds: float
) -> None:
    assert left(expected, Use(jobs, int(jobs * share), under_way, seconds), known) >= 0


@pytest.mark.thorough
def test_it_is_noted_with_the_run_and_with_each_of_a_sweep(known_speed: None) -> None:
    run = started("/split-sum-start/", n=3000, chunk_size=1000)
    assert run.expected_seconds == 3
    assert run.kept_bytes > RUN_BYTES + 3 * CHUNK_BYTES
    assert started("/bug-sum-start/", n=3000).expected_seconds is None
    assert Client().post("/compute/sum/chunk-sizes/", {"n": 1000}).status_code == 200
    run_jobs()
    unfinished()
    sweep = Sweep.objects.get()
    sweep.advance()
    for run in Run.objects.filter(sweep=sweep):
        assert (run.expected_seconds, run.address) == (1, sweep.address)
        assert run.kept_bytes >= RUN_BYTES + run.chunks * CHUNK_BYTES


# --- room ---------------------------------------------------------------------------------


class TextForm(forms.Form):
    text = forms.CharField()


def characters(text: str) -> int:
    return len(text)


@pytest.mark.thorough
@pytest.mark.parametrize("size", [0, 20_000, 200_000])
@pytest.mark.parametrize("ends", [False, True])
def test_no_more_is_kept_than_was_estimated(transactional_db: None, size: int, ends: bool) -> None:
    """Many chunks, many runs, long parameters, on this database: queued, and at their end."""
    text = "".join(chr(33 + (i * i * 7919) % 90) for i in range(size))
    many = replace(
        SUM, name="sum", length=None, cut=None, function=characters, title=lambda text: "t"
    )
    before = room.ask()
    if size:
        for _ in range(10):
            run = plan(many, {"text": text}).start()
            estimates.note(run, Cost())
    else:
        for n, chunk_size in ((800, 1), *[(1, 1)] * 80):
            run = plan(SUM, {"n": n}, chunk_size).start()
            estimates.note(run, Cost())
    if ends:
        run_jobs()
        unfinished()
    grown = room.ask() - before
    estimated = sum(Run.objects.values_list("kept_bytes", flat=True))
    print(f"grown by {grown:,} bytes, estimated {estimated:,}")
    assert grown < estimated + 300_000  # a file grows by pages, and has some at the beginning
    assert OrmQ.objects.exists() != ends
