"""Bar charts as SVG, drawn by hand: no library, and readable in light and in dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from bench import fairness, figures
from bench.figures import Result, Spread
from bench.style import svg
from bench.systems import SYSTEMS, label

PICTURES = {
    "bench-latency": "Milliseconds until a task starts and until its result is visible, by system",
    "bench-throughput": "No-op tasks a second, one by one and as one fan-out, by system",
    "bench-job": "A split sum by a bare process pool, by this project and by a Celery chord",
    "bench-recovery": "Seconds until a killed node's task runs again, by system",
    "bench-fair": fairness.PICTURE,
}
WIDTH, LEFT, BAR, GAP, HEAD = 820, 210, 15, 10, 64
SPACE = WIDTH - LEFT - 130


class Row(NamedTuple):
    says: str
    ours: bool
    values: Sequence[Spread | None]
    #: What stands there instead of a missing value.
    instead: str = "not measured"


def write(results: dict[str, Result], folder: Path) -> None:
    draw = {
        "latency": latency,
        "throughput": throughput,
        "job": job,
        "recovery": recovery,
        "fair": fairness.picture,
    }
    for name, picture in draw.items():
        if name in results:
            (folder / f"bench-{name}.svg").write_text(picture(results[name]))


def latency(result: Result) -> str:
    rows = [
        row(name, result, [figures.latency(name, what) for what in ("start", "visible")])
        for name in there(result, lambda name: figures.latency(name, "start"))
    ]
    return bars("Latency, p50 in milliseconds: shorter is better", ("to start", "to result"), rows)


def throughput(result: Result) -> str:
    rows = [
        row(name, result, [figures.throughput(name, part) for part in ("one_by_one", "fan_out")])
        for name in there(result, lambda name: figures.throughput(name, "one_by_one"), most=True)
    ]
    return bars("No-op tasks a second: longer is better", ("one by one", "as a fan-out"), rows)


def job(result: Result) -> str:
    rows = []
    for size in result["sizes"]:
        chunks = f"{-(-result['options']['n'] // result['sizes'][size]):,} chunks"
        for name in ("pool", "ours-sqlite", "ours-postgres", "celery-redis"):
            value = figures.spread(figures.job(name, size))(result)
            if value:
                who = "process pool" if name == "pool" else label(name)
                rows.append(Row(f"{chunks}: {who}", name.startswith("ours"), [value]))
    return bars("A split sum, in seconds: shorter is better", (), rows)


def recovery(result: Result) -> str:
    never = f"never (within {result['options']['seconds']} s)"
    names = there(result, figures.recovery)
    rows = [row(name, result, [figures.recovery(name)], never) for name in names]
    return bars("Seconds until a killed node's task runs again: shorter is better", (), rows)


def there(result: Result, figure: Callable[[str], figures.Figure], most: bool = False) -> list[str]:
    """The systems that were measured, the best first."""
    measured = {name for round_ in result["rounds"] for name in round_}
    return figures.ranked(result, [name for name in SYSTEMS if name in measured], figure, most)


def row(name: str, result: Result, wanted: Sequence[figures.Figure], instead: str = "") -> Row:
    values = [figures.spread(figure)(result) for figure in wanted]
    return Row(label(name), name.startswith("ours"), values, instead or "did not run here")


def bars(title: str, legend: Sequence[str], rows: list[Row]) -> str:
    """Horizontal bars with a line for the spread; one scale from zero for all."""
    top = max((value.high for each in rows for value in each.values if value), default=1.0)
    parts, y = [], HEAD - (0 if legend else 18)
    for each in rows:
        height = BAR * len(each.values)
        middle = y + height / 2 + 4.5
        parts.append(
            f'<text x="{LEFT - 10}" y="{middle}" text-anchor="end">{escape(each.says)}</text>'
        )
        for place, value in enumerate(each.values):
            parts.append(bar(each, place, value, y + place * BAR, top))
        y += height + GAP
    if legend:
        for place, says in enumerate(legend):
            x = LEFT + 130 * place
            pale = " pale" if place else ""
            parts.append(f'<rect class="ours{pale}" x="{x}" y="38" width="12" height="12"/>')
            parts.append(f'<text class="small" x="{x + 17}" y="48">{escape(says)}</text>')
    return svg(title, (WIDTH, y + 6), LEFT, parts)


def bar(each: Row, place: int, value: Spread | None, y: float, top: float) -> str:
    if value is None:
        return f'<text class="small" x="{LEFT + 4}" y="{y + BAR - 4}">{escape(each.instead)}</text>'
    width, low, high = (SPACE * part / top for part in value[:3])
    kind = ("ours" if each.ours else "other") + (" pale" if place else "")
    digits = 0 if value.middle >= 100 else 1
    line = y + BAR / 2 - 0.5
    return (
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 1}"/>'
        f'<line class="spread" x1="{LEFT + low:.1f}" x2="{LEFT + high:.1f}" '
        f'y1="{line}" y2="{line}"/>'
        f'<text class="small" x="{LEFT + max(width, high) + 6:.1f}" y="{y + BAR - 4}">'
        f"{value.middle:,.{digits}f}</text>"
    )
