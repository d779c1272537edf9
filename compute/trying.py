"""A computation's function called here and now, as a worker would call it."""

from __future__ import annotations

from timeit import repeat
from typing import Any

from . import chance
from .computation import Computation
from .queue.coroutines import awaited


def called(
    computation: Computation, arguments: tuple[Any, ...], seed: int = 0, place: int = 0
) -> Any:
    """What it returns for the chunk at a place (from 0) in a run with this seed; raises what it
    raises."""
    keywords = {"seed": chance.seed_of(seed, place)} if computation.seed else {}
    return awaited(computation.function(*arguments, **keywords))


def sampled_speed(computation: Computation) -> float | None:
    """How much of the length is done in a second, here and now; None without a sample."""
    if computation.sample is None:
        return None
    arguments, length = computation.sample
    return length / min(repeat(lambda: called(computation, arguments), number=1, repeat=3))
