"""A computation's function called here and now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from compute.chance import seed_of
from compute.computations.primes import PRIMES
from compute.computations.sums import BUGGY_SUM, SUM
from compute.trying import called, sampled_speed


def told(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


async def told_later(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def test_a_function_is_called_as_a_worker_would() -> None:
    assert called(SUM, (1, 10)) == 55
    assert called(replace(SUM, function=told), (1, 10)) == ((1, 10), {})
    assert called(replace(SUM, function=told_later), (1, 10)) == ((1, 10), {})


def test_chance_gets_the_seed_of_its_place() -> None:
    seeded = replace(SUM, function=told, seed=True)
    assert called(seeded, (1, 10), seed=42, place=7) == ((1, 10), {"seed": seed_of(42, 7)})
    assert called(seeded, (1, 10)) == ((1, 10), {"seed": seed_of(0, 0)})


def test_a_sample_tells_how_fast_it_is() -> None:
    assert sampled_speed(BUGGY_SUM) is None
    speed = sampled_speed(PRIMES)
    assert speed is not None
    assert speed > 10_000


def test_a_sample_of_chance_gets_a_seed() -> None:
    speed = sampled_speed(replace(PRIMES, function=told, seed=True))
    assert speed is not None
