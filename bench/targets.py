"""What was aimed at, and whether it is met.

A ratio is met or missed by the median of five rounds on a quiet machine, once a second such run
at another time agrees. Until then it is undecided, and the table says why.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from bench.figures import (
    QUIET,
    ROUNDS,
    Figure,
    Result,
    Spread,
    answer,
    chunk,
    found,
    job,
    latency,
    load_of,
    page,
    ratio,
    recovery,
    spread,
    standing,
    throughput,
)

SQLITE, POSTGRES = "ours-sqlite", "ours-postgres"
CELERY, PROCRASTINATE = "celery-redis", "procrastinate-postgres"
CALLED = {
    SQLITE: "ours on SQLite",
    POSTGRES: "ours on Postgres",
    CELERY: "Celery + Redis",
    PROCRASTINATE: "Procrastinate",
    "huey-sqlite": "Huey on SQLite",
    "huey-redis": "Huey on Redis",
}
Value = Callable[[Result], Spread | None]


class Verdict(NamedTuple):
    """What is said of a target."""

    says: str
    #: The values measured; where two runs disagree both, the newest first.
    values: list[Spread]
    #: The newest value by the limit, over 1 where it misses that; None without a value.
    off: float | None


class Target(NamedTuple):
    """A ratio or a figure, no more (or no less) than a limit."""

    measure: str
    says: str
    limit: float
    value: Value
    at_least: bool = False
    #: Rounds that its median takes; one for what is counted, or is a median in itself.
    rounds: int = ROUNDS

    def off(self, value: Spread) -> float:
        if self.at_least:
            return self.limit / value.middle if value.middle else float("inf")
        return value.middle / self.limit

    def doubt(self, run: Result, value: Spread) -> str:
        """Why a run decides nothing; empty if it does."""
        if load_of(run) >= QUIET:
            return f"not quiet, the load was {load_of(run):.2f}"
        return "" if value.rounds >= self.rounds else f"{value.rounds} of {self.rounds} rounds"

    def verdict(self, result: Result | None) -> Verdict:
        """Of a measure's newest run and the one before."""
        runs = [run for run in (result, (result or {}).get("before")) if run]
        judged = [(run, value) for run in runs if (value := self.value(run))]
        if not judged:
            return Verdict("not measured", [], None)
        run, newest = judged[0]
        off = self.off(newest)
        if doubt := self.doubt(run, newest):
            return Verdict(f"undecided: {doubt}", [newest], off)
        values = [value for run, value in judged if not self.doubt(run, value)]
        if len(values) == 1:
            return Verdict("undecided: one run", values, off)
        if (off <= 1) != (self.off(values[1]) <= 1):
            return Verdict("undecided: two runs disagree", values, off)
        return Verdict("met" if off <= 1 else "missed", [newest], off)


def listed() -> list[Target]:
    return [*tasks(), *jobs(), *growing(), *pages(), *idle(), *recovering()]


def tasks() -> list[Target]:
    targets = []
    for part, says, ours, other, limit in (
        ("one_by_one", "one by one", SQLITE, CELERY, 1.2),
        ("one_by_one", "one by one", SQLITE, "huey-sqlite", 0.8),
        ("one_by_one", "one by one", POSTGRES, PROCRASTINATE, 1.3),
        ("fan_out", "as one fan-out", SQLITE, CELERY, 2.0),
        ("fan_out", "as one fan-out", SQLITE, "huey-sqlite", 1.0),
        ("fan_out", "as one fan-out", POSTGRES, PROCRASTINATE, 2.5),
    ):
        called, value = compared(partial(throughput, part=part), ours, other)
        says = f"throughput {says}: {called}"
        targets.append(Target("throughput", says, limit, value, at_least=True))
    for what, says, ours, other, limit in (
        ("start", "start", SQLITE, CELERY, 0.7),
        ("start", "start", SQLITE, "huey-redis", 1.6),
        ("start", "start", POSTGRES, PROCRASTINATE, 0.85),
        ("visible", "visible result", SQLITE, CELERY, 1.2),
        ("visible", "visible result", POSTGRES, PROCRASTINATE, 1.0),
    ):
        called, value = compared(partial(latency, what=what), ours, other)
        targets.append(Target("latency", f"latency to {says}, p50: {called}", limit, value))
    return targets


def compared(figure: Callable[[str], Figure], ours: str, other: str) -> tuple[str, Value]:
    """What a figure of ours by that of another is called, and the ratio."""
    return f"{CALLED[ours]} ÷ {CALLED[other]}", ratio(figure(ours), figure(other))


def jobs() -> list[Target]:
    return [
        Target(
            "job",
            f"split sum ÷ process pool, {says}: {CALLED[ours]}",
            limit,
            ratio(job(ours, chunks), job("pool", chunks)),
        )
        for ours, chunks, says, limit in (
            (SQLITE, "auto", "automatic chunk size", 1.03),
            (SQLITE, "400", "400 chunks", 1.08),
            (SQLITE, "4000", "4,000 chunks", 1.20),
            (POSTGRES, "auto", "automatic chunk size", 1.03),
            (POSTGRES, "400", "400 chunks", 1.06),
            (POSTGRES, "4000", "4,000 chunks", 1.30),
        )
    ]


def growing() -> list[Target]:
    return [
        Target(
            "growth",
            "cost per chunk at 10,000 ÷ at 100: ours on SQLite",
            1.2,
            ratio(chunk(SQLITE, "10000"), chunk(SQLITE, "100")),
        ),
        Target(
            "growth",
            "check of a running 10,000-chunk run with 1,000,000 old tasks ÷ of a 10-chunk run "
            "with none: ours on SQLite",
            2.0,
            largest_growth,
            rounds=1,
        ),
    ]


def largest_growth(result: Result, name: str = SQLITE) -> Spread | None:
    """A check of the largest run among the most old tasks, by one of the smallest among none."""
    by_old = found(result["rounds"][0], name, "pages")
    if not by_old or any("error" in by_count for by_count in by_old.values()):
        return None
    olds, counts = sorted(map(int, by_old)), sorted(map(int, by_old[next(iter(by_old))]))
    top = page(name, str(olds[-1]), str(counts[-1]), "check")
    return ratio(top, page(name, str(olds[0]), str(counts[0]), "check"))(
        {"rounds": result["rounds"][:1]}
    )


def pages() -> list[Target]:
    busy, quiet = (answer(SQLITE, phase, "home", 0.95) for phase in ("computing", "idle"))
    return [
        Target(
            "site",
            "home page p95 while computing ÷ idle: ours on SQLite",
            2.0,
            ratio(busy, quiet),
        ),
        *(
            Target(
                "site",
                f"{says} with 500,000 runs ÷ with 500: {CALLED[ours]}",
                2.0,
                spread(with_runs(ours, *what)),
            )
            for ours in (SQLITE, POSTGRES)
            for says, what in (
                ("first page", ["home"]),
                ("search, the slowest of three,", ["found", "not_found", "by_n"]),
            )
        ),
    ]


def with_runs(name: str, *pages: str) -> Figure:
    """A page with 500,000 runs by the same with 500, or the worst of several such ratios."""

    def figure(round_: dict[str, Any]) -> float | None:
        few, many = (found(round_, name, "with_runs", runs) for runs in ("500", "500000"))
        if not few or not many or "error" in few or "error" in many:
            return None
        return max(float(many[page] / few[page]) for page in pages)

    return figure


def idle() -> list[Target]:
    return [
        Target(
            "standing",
            "idle node, % of one core: ours on SQLite",
            1.0,
            spread(standing(SQLITE, "cpu_percent")),
        ),
        Target("standing", "idle node, statements that write, per second", 1.0, writes, rounds=1),
        *(
            Target(
                "standing",
                f"idle node of two workers, PSS in MB: {CALLED[ours]}",
                85,
                spread(standing(ours, "pss_mb")),
            )
            for ours in (SQLITE, POSTGRES)
        ),
        *(
            Target(
                "standing",
                f"idle claim {says} ÷ with none: {CALLED[ours]}",
                limit,
                spread(standing(ours, what)),
            )
            for ours, what, says, limit in (
                (SQLITE, "claim_foreign", "with 200,000 rows of another queue", 2),
                (POSTGRES, "claim_foreign", "with 200,000 rows of another queue", 2),
                (POSTGRES, "claim_dead", "with 60,000 dead rows under an open snapshot", 5),
            )
        ),
    ]


def writes(result: Result) -> Spread | None:
    rates = [
        found(result["statements"], name, "writes_per_second") for name in result["statements"]
    ]
    return Spread.of(rates)


def recovering() -> list[Target]:
    return [
        Target(
            "recovery",
            "recovery after a node's SIGKILL ÷ the best other's default: ours on SQLite",
            0.7,
            to_the_best_other,
        )
    ]


def to_the_best_other(result: Result) -> Spread | None:
    """Our time until a task runs again, by the shortest of the others' that ever does."""
    ratios: list[float | None] = []
    for round_ in result["rounds"]:
        others = [found(round_, name, "seconds") for name in round_ if not name.startswith("ours")]
        best = min((seconds for seconds in others if seconds is not None), default=None)
        ours = recovery(SQLITE)(round_)
        ratios.append(ours / best if ours is not None and best else None)
    return Spread.of(ratios)
