"""What the results come to: medians, spreads, ratios, and whether a target is met.

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

#: A measure's results as its file has them.
Result = dict[str, Any]


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


class Target(NamedTuple):
    """What was aimed at: a ratio or a figure, no more (or no less) than a limit."""

    measure: str
    says: str
    limit: float
    value: Callable[[Result], Spread | None]
    at_least: bool = False

    def verdict(self, value: Spread | None) -> str:
        """Met if the median is within; missed if every round lies beyond; else undecided."""
        if value is None:
            return "not measured"

        def within(figure: float) -> bool:
            return figure >= self.limit if self.at_least else figure <= self.limit

        if within(value.middle):
            return "met"
        if value.rounds == 1 and self.measure not in ("growth", "standing"):
            return "undecided"  # one round has no spread
        return "undecided" if within(value.low) or within(value.high) else "missed"


def load(folder: Path) -> dict[str, Result]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


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


def standing(name: str, what: str) -> Figure:
    return lambda round_: found(round_, name, what)


def recovery(name: str) -> Figure:
    return lambda round_: found(round_, name, "seconds")


# --- over all rounds ------------------------------------------------------------------------


def spread(figure: Figure) -> Callable[[Result], Spread | None]:
    return lambda result: Spread.of(figure(round_) for round_ in result["rounds"])


def ratio(top: Figure, bottom: Figure) -> Callable[[Result], Spread | None]:
    def quotients(result: Result) -> Iterable[float | None]:
        for round_ in result["rounds"]:
            above, below = top(round_), bottom(round_)
            yield above / below if above is not None and below else None

    return lambda result: Spread.of(quotients(result))


def to_the_best_other(result: Result) -> Spread | None:
    """Our time until a task runs again, by the shortest of the others' that ever does."""
    ratios: list[float | None] = []
    for round_ in result["rounds"]:
        others = [found(round_, name, "seconds") for name in round_ if not name.startswith("ours")]
        best = min((seconds for seconds in others if seconds is not None), default=None)
        ours = recovery("ours-sqlite")(round_)
        ratios.append(ours / best if ours is not None and best else None)
    return Spread.of(ratios)


def largest_growth(result: Result, name: str = "ours-sqlite") -> Spread | None:
    """A check of the largest run among the most old tasks, by one of the smallest among none."""
    pages = found(result["rounds"][0], name, "pages")
    if not pages or any("error" in by_count for by_count in pages.values()):
        return None
    olds, counts = sorted(map(int, pages)), sorted(map(int, pages[next(iter(pages))]))
    top = page(name, str(olds[-1]), str(counts[-1]), "check")
    return ratio(top, page(name, str(olds[0]), str(counts[0]), "check"))(
        {"rounds": result["rounds"][:1]}
    )


def writes(result: Result) -> Spread | None:
    rates = [
        found(result["statements"], name, "writes_per_second") for name in result["statements"]
    ]
    return Spread.of(rates)


def targets() -> list[Target]:
    sqlite, postgres = "ours-sqlite", "ours-postgres"
    celery, procrastinate = "celery-redis", "procrastinate-postgres"
    listed = []
    for what, says, limit in (("start", "start", 1.0), ("visible", "visible result", 1.2)):
        listed.append(
            Target(
                "latency",
                f"latency to {says}, p50: ours on SQLite ÷ Celery + Redis",
                limit,
                ratio(latency(sqlite, what), latency(celery, what)),
            )
        )
    for what, says in (("start", "start"), ("visible", "visible result")):
        listed.append(
            Target(
                "latency",
                f"latency to {says}, p50: ours on Postgres ÷ Procrastinate",
                1.0,
                ratio(latency(postgres, what), latency(procrastinate, what)),
            )
        )
    for part, says in (("one_by_one", "one by one"), ("fan_out", "as one fan-out")):
        for ours, other, pair in (
            (sqlite, celery, "ours on SQLite ÷ Celery + Redis"),
            (postgres, procrastinate, "ours on Postgres ÷ Procrastinate"),
        ):
            listed.append(
                Target(
                    "throughput",
                    f"throughput {says}: {pair}",
                    1.0,
                    ratio(throughput(ours, part), throughput(other, part)),
                    at_least=True,
                )
            )
    for chunks, says, limit in (
        ("auto", "automatic chunk size", 1.05),
        ("400", "400 chunks", 1.10),
        ("4000", "4,000 chunks", 1.5),
    ):
        listed.append(
            Target(
                "job",
                f"split sum ÷ process pool, {says}: ours on SQLite",
                limit,
                ratio(job(sqlite, chunks), job("pool", chunks)),
            )
        )
    listed += [
        Target(
            "growth",
            "cost per chunk at 10,000 ÷ at 100: ours on SQLite",
            1.2,
            ratio(chunk(sqlite, "10000"), chunk(sqlite, "100")),
        ),
        Target(
            "growth",
            "check of a running 10,000-chunk run with 1,000,000 old tasks ÷ of a 10-chunk run "
            "with none: ours on SQLite",
            2.0,
            largest_growth,
        ),
        Target(
            "site",
            "home page p95 while computing ÷ idle: ours on SQLite",
            2.0,
            ratio(answer(sqlite, "computing", "home", 0.95), answer(sqlite, "idle", "home", 0.95)),
        ),
        Target(
            "standing",
            "idle node, % of one core: ours on SQLite",
            1.0,
            spread(standing(sqlite, "cpu_percent")),
        ),
        Target("standing", "idle node, statements that write, per second", 1.0, writes),
        Target(
            "recovery",
            "recovery after a node's SIGKILL ÷ the best other's default: ours on SQLite",
            0.7,
            to_the_best_other,
        ),
    ]
    return listed
