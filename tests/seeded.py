"""A computation that makes use of chance: its result is what its chunks were called with."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from compute.chance import seed_of
from compute.chunking import ranges


def thrown(first: int, last: int, seed: int) -> list[int]:
    return [first, last, seed]


def together(results: Iterable[list[int]]) -> dict[str, list[list[int]]]:
    return {"chunks": list(results)}


def declare_darts(declare: Callable[..., None]) -> None:
    """By the fixture of that name: `darts`, whose form is that of the primes."""
    declare(name="darts", title="{n} darts".format, function=thrown, combine=together, seed=True)


def expected(n: int, chunk_size: int, seed: int) -> dict[str, list[list[int]]]:
    """What a run of it has to come to."""
    chunks = enumerate(ranges(n, chunk_size))
    return {"chunks": [[*ends, seed_of(seed, place)] for place, ends in chunks]}
