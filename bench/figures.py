"""What the results come to: medians, spreads and ratios.

A ratio is taken within each round, where both sides had the same machine in the same
minute; the median of the rounds' ratios counts, and the lowest and highest are its spread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

#: A measure's newest run as its file has it; what it is held against is the run `before` in it.
Result = dict[str, Any]
#: A machine is quiet at a load, averaged over one minute, that is lower.
QUIET = 0.3
#: Rounds whose median decides.
ROUNDS = 5


class Spread(NamedTuple):
    """The rounds' median, and between what they lay."""

    middle: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        there = [value for value in values if value is not None]
        if not there:
            return None
        return cls(median(there), min(there), max(there), len(there))


def load(folder: Path) -> dict[str, Result]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def load_of(run: Result) -> float:
    """The highest load before a round."""
    return float(max(run.get("loads") or [run["load_before"]]))


def decides(run: Result) -> bool:
    """Whether its rounds are enough, on a machine that was quiet."""
    return len(run["rounds"]) >= ROUNDS and load_of(run) < QUIET


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


# --- one figure of one system in one round ------------------------------------------------

#: A figure of a round of a result; None where it has none.
Figure = Callable[[dict[str, Any]], float | None]


def found(round_: dict[str, Any], *path: str) -> Any:
    """What stands at that place of a round; None if something failed on the way."""
    value: Any = round_
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def latency(name: str, what: str, share: float = 0.5) -> Figure:
    def figure(round_: dict[str, Any]) -> float | None:
        samples = found(round_, name, f"{what}_ms")
        return percentile(samples, share) if samples else None

    return figure


def throughput(name: str, part: str) -> Figure:
    return lambda round_: found(round_, name, part, "per_second")


def job(name: str, chunks: str) -> Figure:
    return lambda round_: found(round_, chunks, name, "seconds")


def chunk(name: str, count: str) -> Figure:
    def figure(round_: dict[str, Any]) -> float | None:
        samples = found(round_, name, "chunk", count)
        return median(samples) if samples else None

    return figure


def page(name: str, old: str, count: str, what: str) -> Figure:
    return lambda round_: found(round_, name, "pages", old, count, what)


def answer(name: str, phase: str, what: str, share: float) -> Figure:
    def figure(round_: dict[str, Any]) -> float | None:
        samples = found(round_, name, phase, what)
        return percentile(samples, share) if samples else None

    return figure


def beside(name: str, when: str, what: str, share: float) -> Figure:
    """Of a page with large results in the database, or without."""

    def figure(round_: dict[str, Any]) -> float | None:
        samples = found(round_, name, "beside_results", when, what, "ms")
        return percentile(samples, share) if samples else None

    return figure


def standing(name: str, *what: str) -> Figure:
    return lambda round_: found(round_, name, *what)


def recovery(name: str) -> Figure:
    return lambda round_: found(round_, name, "seconds")


# --- over all rounds ------------------------------------------------------------------------


def spread(figure: Figure) -> Callable[[Result], Spread | None]:
    return lambda result: Spread.of(figure(round_) for round_ in result["rounds"])


def ranked(
    result: Result, names: Iterable[str], figure: Callable[[str], Figure], most: bool = False
) -> list[str]:
    """The systems by their medians, the least first, or the most; then those without one."""
    middles = {name: spread(figure(name))(result) for name in names}
    there = [(value.middle, name) for name, value in middles.items() if value]
    order = [name for _, name in sorted(there, reverse=most)]
    return order + [name for name, value in middles.items() if not value]


def ratio(top: Figure, bottom: Figure) -> Callable[[Result], Spread | None]:
    def quotients(result: Result) -> Iterable[float | None]:
        for round_ in result["rounds"]:
            above, below = top(round_), bottom(round_)
            yield above / below if above is not None and below else None

    return lambda result: Spread.of(quotients(result))
