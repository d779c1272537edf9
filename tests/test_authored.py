"""What can be said of an author's object, whatever it is."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest

from compute.authored import cannot_take, is_async, is_positive, shown, survives, takes_keyword


def with_seed(first: int, last: int, seed: int) -> int:
    return first + last + seed


def with_any(first: int, **others: Any) -> int:
    return first


def by_place_alone(first: int, seed: int, /) -> int:
    return first + seed


async def later() -> int:
    return 5


class Unspeakable:
    def __repr__(self) -> str:
        raise ValueError("no")


def test_why_a_function_refuses_a_call() -> None:
    assert cannot_take(with_seed, 1, 2, seed=3) is None
    assert cannot_take(with_seed, 1, 2) == "missing a required argument: 'seed'"
    assert cannot_take(dict, 1, 2, 3) is None  # it does not tell
    assert cannot_take(5) is None  # type: ignore[arg-type]  # told of elsewhere


@pytest.mark.parametrize(
    ("function", "takes"),
    [
        (with_seed, True),
        (with_any, True),
        (functools.partial(with_seed, 1), True),
        (by_place_alone, False),
        (math.gcd, False),
        (dict, True),
        (5, True),  # told of elsewhere
    ],
)
def test_whether_a_function_takes_a_keyword(function: Any, takes: bool) -> None:
    assert takes_keyword(function, "seed") == takes


def test_what_is_awaited() -> None:
    assert is_async(later)
    assert is_async(functools.partial(later))
    assert not is_async(with_seed)
    assert not is_async("later")


@pytest.mark.parametrize(
    ("value", "positive"),
    [(1, True), (0.5, True), (0, False), (-1, False), (True, False), (math.inf, False)],
)
def test_numbers_over_nought(value: object, positive: bool) -> None:
    assert is_positive(value) == positive


def test_what_can_be_sent_to_a_worker() -> None:
    assert survives([with_seed, 1])
    assert not survives(lambda: 1)


def test_how_it_is_written() -> None:
    assert shown(with_seed) == "with_seed"
    assert shown("a\nb") == "'a\\nb'"
    assert shown([1,
                  2]) == "[1, 2]"  # fmt: skip
    assert shown(Unspeakable()) == "<Unspeakable>"
    assert len(shown("x" * 1_000)) == 100
