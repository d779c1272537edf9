"""What `fair` found: each target beside both databases, and the picture of two runs."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from bench.figures import Result, found
from bench.style import svg
from bench.systems import OURS, label

PICTURE = "The progress of a large and a small run, first in, first out, and with fair shares"
#: A lease at its default, and the chunk that a worker has first to end.
LEASE_S = 15.5


class Goal(NamedTuple):
    """A figure of a scenario, and between what it has to be."""

    says: str
    target: str
    low: float
    high: float
    scenario: str
    figure: Callable[[dict[str, Any]], float]

    def cells(self, round_: dict[str, Any], name: str) -> list[str]:
        scenario = found(round_, name, self.scenario)
        if not scenario or "error" in scenario:
            return ["–", "not measured"]
        value = self.figure(scenario)
        digits = 0 if float(value).is_integer() else 2
        return [f"{value:,.{digits}f}", "met" if self.low <= value <= self.high else "missed"]


def goals(options: dict[str, Any]) -> list[Goal]:
    chunks = f"{options['chunks']:,}"

    def times(scenario: dict[str, Any]) -> float:
        return float(median(scenario["times"]))

    def percent(what: str) -> Callable[[dict[str, Any]], float]:
        return lambda scenario: scenario[what]

    small = "8 chunks, until they are done, ÷ alone"
    weights = "weight 4 against 1, % of the worker seconds"
    ends = "runs of mixes of 5, 12 and 20 whose end was foretold within 25 % after a tenth"
    limited = "at most 3 at once, a node of three killed"
    return [
        Goal(f"{small}: behind {chunks} of another client", "≤ 3", 0, 3, "one_giant", times),
        Goal(f"{small}: behind 50 runs of another client", "≤ 3", 0, 3, "many_giants", times),
        Goal(f"{small}: behind {chunks} of the same client", "≤ 5", 0, 5, "own_giant", times),
        Goal(
            "1 run against 40 of another client, % of the worker seconds",
            *("50 ± 5", 45, 55, "forty_to_one", percent("percent")),
        ),
        Goal("of those 40, have run", "40", 40, 40, "forty_to_one", percent("have_run")),
        Goal(
            "chunks of 2 s against chunks of 0.1 s, % of the worker seconds",
            *("50 ± 10", 40, 60, "long_and_short", percent("percent")),
        ),
        Goal(f"{weights}: two clients", "80 ± 6", 74, 86, "weights", percent("clients")),
        Goal(f"{weights}: two runs of a client", "80 ± 6", 74, 86, "weights", percent("runs")),
        Goal(
            "ten runs of three clients, until all are done, ÷ first in, first out",
            *("≤ 1.02", 0, 1.02, "all_together", percent("times")),
        ),
        Goal(
            "a giant beside newcomers, its worker seconds ÷ its ideal share, the worst part of ten",
            *("≥ 0.9", 0.9, 9, "newcomers", lambda scenario: min(scenario["parts"])),
        ),
        Goal(f"{ends}, %", *("100", 100, 100, "foretold", right)),
        Goal(f"{ends}, of kinds that never ran, %", *("100", 100, 100, "foretold_new", right)),
        Goal(f"{limited}: most leases", "3", 3, 3, "at_once", percent("most")),
        Goal(
            f"{limited}: longest time with fewer, in seconds",
            *(f"≤ {LEASE_S}", 0, LEASE_S, "at_once", percent("below_s")),
        ),
    ]


def right(scenario: dict[str, list[float]]) -> float:
    """Percent of the runs whose rest took as long as was said, give or take a quarter."""
    ratios = [ratio for mix in scenario.values() for ratio in mix]
    return 100 * sum(0.75 <= ratio <= 1.25 for ratio in ratios) / len(ratios)


def rows(result: Result) -> tuple[list[str], list[list[str]]]:
    """A table's head, and its rows."""
    round_ = result["rounds"][0]
    names = [name for name in OURS if name in round_]
    head = ["", "target", *(part for name in names for part in (label(name), ""))]
    return head, [
        [goal.says, goal.target, *(cell for name in names for cell in goal.cells(round_, name))]
        for goal in goals(result["options"])
    ]


# --- the picture -------------------------------------------------------------------------

WIDTH, LEFT, TOP, PANEL, HIGH, BETWEEN = 820, 50, 86, 335, 170, 60
LINES = """
polyline.ours,polyline.other{fill:none;stroke-width:2.5}.ours{stroke:#0969da}.other{stroke:#8c959f}
.axis{stroke:#d0d7de}
@media(prefers-color-scheme:dark){.ours{stroke:#4493f8}.other{stroke:#6e7681}.axis{stroke:#30363d}}
"""
PANELS = {"line": "First in, first out", "shared": "Fair shares"}
RUNS = {"giant": ("other", "large run"), "small": ("ours", "small run")}


def picture(result: Result) -> str:
    """Two panels, one for each way: how far each of two runs was, second by second."""
    name = next(name for name in OURS if found(result["rounds"][0], name, "picture", "line"))
    ways = found(result["rounds"][0], name, "picture")
    last = max(points[-1][0] for runs in ways.values() for points in runs.values())
    parts = []
    for place, (way, says) in enumerate(PANELS.items()):
        x = LEFT + place * (PANEL + BETWEEN)
        parts += [f'<text x="{x}" y="52">{says}</text>', *axes(x, last)]
        for row, (run, (kind, called)) in enumerate(RUNS.items()):
            points = ways[way][run]
            drawn = " ".join(
                f"{x + PANEL * second / last:.1f},{TOP + HIGH * (1 - percent / 100):.1f}"
                for second, percent in points
            )
            parts.append(f'<polyline class="{kind}" points="{drawn}"/>')
            took = points[-1][0] - points[0][0]
            left, y = x + PANEL - 150, 48 + 18 * row
            parts.append(f'<polyline class="{kind}" points="{left},{y} {left + 18},{y}"/>')
            parts.append(f'<text x="{left + 25}" y="{y + 4}">{escape(called)}: {took:.1f} s</text>')
    return svg("How far two runs are", (WIDTH, TOP + HIGH + 44), LEFT, parts, LINES)


def axes(x: float, last: float) -> list[str]:
    parts = []
    for percent in (0, 50, 100):
        y = TOP + HIGH * (1 - percent / 100)
        parts.append(f'<line class="axis" x1="{x}" x2="{x + PANEL}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text class="small" x="{x - 6}" y="{y + 4}" text-anchor="end">{percent} %</text>'
        )
    for second in range(0, int(last) + 1, 5):
        place = x + PANEL * second / last
        parts.append(
            f'<text class="small" x="{place:.1f}" y="{TOP + HIGH + 18}" '
            f'text-anchor="middle">{second} s</text>'
        )
    return parts
