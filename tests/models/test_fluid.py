"""Work that flows to workers that are shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.models import fluid
from compute.models.fluid import TAIL, Line, along, curve, flowing, rates
from tests.models.queues import lines

# --- who has how many workers ---------------------------------------------------------------


def shares(*given: Line, workers: int = 4) -> Any:
    return pytest.approx(rates(given, workers))


def test_who_is_alone_has_all_that_he_can_use() -> None:
    assert shares(Line("a", 1, 100)) == [4]
    assert shares(Line("a", 1, 2, (0.5,))) == [3]
    assert shares(Line("a", 1, 0)) == [0]
    assert rates([], 4) == []


def test_clients_have_the_same_however_many_runs_they_have() -> None:
    assert shares(*[Line("a", 1, 99)] * 4, Line("b", 1, 99)) == [0.5, 0.5, 0.5, 0.5, 2]


def test_a_weight_counts_within_a_client_and_between_clients() -> None:
    assert shares(Line("a", 1, 99, weight=4), Line("b", 1, 99), workers=5) == [4, 1]
    within = [Line("a", 1, 99, weight=3), Line("a", 1, 99, weight=1), Line("b", 1, 99, weight=2)]
    assert shares(*within) == [1.5, 0.5, 2]


def test_what_one_cannot_use_others_have() -> None:
    assert shares(Line("a", 1, 1), Line("b", 1, 99)) == [1, 3]
    assert shares(Line("a", 1, 1), Line("a", 1, 99), Line("b", 1, 99), workers=8) == [1, 3, 4]


def test_no_pool_has_more_at_once_than_it_may() -> None:
    limited = [Line(name, 1, 99, at_once=2, pool="p") for name in "ab"]
    assert shares(*limited, Line("c", 1, 99), workers=8) == [1, 1, 6]


@given(lines, st.integers(1, 12))
def test_shares_are_neither_negative_nor_more_than_there_is(
    given: list[Line], workers: int
) -> None:
    found = rates(given, workers)
    assert min(found) >= 0
    assert sum(found) <= workers + 1e-6
    assert all(gets <= line.most + 1e-6 for gets, line in zip(found, given, strict=True))


def test_work_that_flows_is_neither_lost_nor_added() -> None:
    given = [Line("a", 1, 1000), Line("b", 0.5, 100, (0.2,)), Line("b", 2, 50.5)]
    seconds, rest = flowing(given, 3, 0)
    before, after = (sum(line.work for line in each) for each in (given, rest))
    assert before - after == pytest.approx(3 * seconds)
    assert rest[0].waiting == int(rest[0].waiting)


# --- before it is queued --------------------------------------------------------------------


def test_a_newcomer_has_more_when_others_have_ended() -> None:
    found = curve([Line("a", 1, 100), Line("b", 1, 40)], 3, Line("me", 1, 1))
    assert found == [(0, 1), (pytest.approx(40), 1.5), (pytest.approx(80), 3)]
    assert along(found, 20) == pytest.approx(20)
    assert along(found, 70) == pytest.approx(60)
    assert along(found, 130) == pytest.approx(90)
    assert along(found, 0) == 0


def test_without_a_worker_nothing_is_ever_done() -> None:
    assert along(curve([], 0, Line("me", 1, 1)), 1) is None
    assert along([(0, 0), (5, 2)], 4) == 7


@pytest.mark.parametrize("mean", [1e-3, 1.0, 1e6 / 3, 1e9 / 7])
def test_work_of_any_size_comes_to_an_end(mean: float) -> None:
    """Of centuries, too, of which a float can't take away a nanosecond."""
    lines = [Line("ann", mean, 9_999), Line("bob", mean * 1.1, 10_000, weight=0.25)]
    for which in range(2):
        seconds, rest = flowing(lines, 3, which)
        assert 0 < seconds < mean * 20_000
        assert rest[which].waiting <= 2 * TAIL * 3


# --- of many lines --------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [2, 40])
def test_many_lines_end_a_few_at_a_time_and_about_when_each_would(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that a forecast takes is to grow with their number, and not as its square."""
    others = [Line(f"client {i % 7}", 0.2, 3 + i % 250) for i in range(1000)]
    mine = Line("me", 0.5, 2000)
    asked: list[float] = []

    def counted(lines: Sequence[Line], workers: float) -> list[float]:
        asked.append(workers)
        return rates(lines, workers)

    monkeypatch.setattr(fluid, "rates", counted)

    def told() -> tuple[list[float | None], float, int]:
        asked.clear()
        found = curve(others, workers, mine)
        seconds, _ = flowing([*others, mine], workers, len(others))
        return [along(found, work) for work in (1, 100, 10_000)], seconds, len(asked)

    ends, flows, steps = told()
    monkeypatch.setattr(fluid, "MANY", len(others) + 1)
    each_ends, each_flows, each_steps = told()
    assert ends == pytest.approx(each_ends, rel=0.1)
    assert flows == pytest.approx(each_flows, rel=0.1)
    assert steps < each_steps / 2
