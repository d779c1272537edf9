"""The pictures of a run's page: shapes as numbers and SVG path data. Pure: no Django in here.

One path per state, however many chunks: a path's dashes make its cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import ceil, floor, log10, sqrt
from typing import Any, NamedTuple

#: Side of a grid's cell, and of the dash in it that one sees.
CELL = 10
#: Width of a lane of the timeline, in its own units, which stretch.
WIDTH = 1000
#: How far apart bars of a crowded lane may lie and still be drawn as one.
NEAR = 2


@dataclass
class Grid:
    """A cell for each letter, in rows from left to right."""

    columns: int
    rows: int
    #: For each letter that occurs, the path that its cells lie on.
    paths: dict[str, str]

    @property
    def width(self) -> int:
        return self.columns * CELL

    @property
    def height(self) -> int:
        return self.rows * CELL


class Cell(NamedTuple):
    """The place of one in a grid, by its number from 1."""

    number: int
    left: int
    top: int


def cell(number: int, columns: int) -> Cell:
    top, left = divmod(number - 1, columns)
    return Cell(number, left * CELL, top * CELL)


def grid(letters: str) -> Grid:
    """Four times as wide as high, but at least twenty cells wide."""
    columns = max(20, ceil(sqrt(4 * len(letters))))
    paths: dict[str, str] = {}
    for top in range(0, len(letters), columns):
        left = 0
        for letter, same in groupby(letters[top : top + columns]):
            length = len(list(same))
            middle = top // columns * CELL + CELL // 2
            stroke = f"M{left * CELL} {middle}h{length * CELL}"
            paths[letter] = paths.get(letter, "") + stroke
            left += length
    return Grid(columns, max(1, ceil(len(letters) / columns)), paths)


@dataclass
class Bar:
    """One chunk in a lane, or several that are too short to be told apart."""

    left: float
    width: float
    state: str
    count: int
    seconds: float
    first: int
    attempt: int


@dataclass
class Lane:
    """One worker's bars; a worker that took a dead one's place goes on in its lane."""

    node: str
    number: int
    until: float
    bars: list[Bar] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(bar.count for bar in self.bars)

    @property
    def paths(self) -> dict[str, str]:
        """A path for each state, for a lane of many bars; bars that nearly touch are one."""
        strokes: list[tuple[str, float, float]] = []
        for bar in self.bars:
            state, left, right = bar.state, bar.left, bar.left + max(1, bar.width)
            if strokes and strokes[-1][0] == state and left - strokes[-1][2] <= NEAR:
                left = strokes.pop()[1]
            strokes.append((state, left, right))
        found: dict[str, str] = {}
        for state, left, right in strokes:
            found[state] = found.get(state, "") + f"M{left:g} 0h{right - left:g}"
        return found


@dataclass
class Timeline:
    """The lanes of all nodes' workers, from the first start to the last end."""

    lanes: list[Lane]
    seconds: float


def timeline(spans: Sequence[Any]) -> Timeline:
    """Lanes of spans (`compute.queue.overview.Span`) that are sorted by their start."""
    if not spans:
        return Timeline([], 0.0)
    start = spans[0].start
    seconds = max(max(span.end for span in spans) - start, 0.001)
    lanes = lanes_of(spans)
    for span in spans:
        took = max(0.0, span.end - span.start)
        lanes[span.node, span.worker].bars.append(
            Bar(
                left=round((span.start - start) / seconds * WIDTH, 1),
                width=round(took / seconds * WIDTH, 1),
                state=span.state,
                count=span.jobs,
                seconds=took,
                first=span.first + 1,
                attempt=span.attempt,
            )
        )
    shown = {id(lane): lane for lane in lanes.values()}.values()
    return Timeline(sorted(shown, key=lambda lane: (lane.node, lane.number)), seconds)


def lanes_of(spans: Sequence[Any]) -> dict[tuple[str, int], Lane]:
    """A lane for each worker of each node: that of a worker that had ended, or a new one."""
    ends: dict[tuple[str, int], float] = {}
    for span in spans:
        worker = span.node, span.worker
        ends[worker] = max(span.end, ends.get(worker, 0.0))
    lanes: dict[tuple[str, int], Lane] = {}
    nodes: dict[str, list[Lane]] = {}
    for span in spans:
        worker = span.node, span.worker
        if worker in lanes:
            continue
        mine = nodes.setdefault(span.node, [])
        lane = next((lane for lane in mine if lane.until <= span.start), None)
        if lane is None:
            lane = Lane(span.node, len(mine) + 1, 0.0)
            mine.append(lane)
        lane.until = ends[worker]
        lanes[worker] = lane
    return lanes


@dataclass
class Dot:
    """A run in the plot."""

    x: float
    y: float
    what: Any


@dataclass
class Plot:
    """Time against chunk size: the size on a logarithmic axis, the time from nought."""

    dots: list[Dot]
    #: Where the axes have their marks, each with its number.
    sizes: list[tuple[float, int]]
    times: list[tuple[float, float]]
    ideal: float  # height of the ideal line


#: The plot's drawing area: left, top, right and bottom edge.
LEFT, TOP, RIGHT, BOTTOM = 60.0, 20.0, 700.0, 300.0


def plot(points: Sequence[tuple[int, float, Any]], ideal: float) -> Plot:
    """A dot for each (chunk size, seconds, what it stands for); at least one."""
    low = floor(min(log10(size) for size, _, _ in points))
    high = max(ceil(max(log10(size) for size, _, _ in points)), low + 1)
    longest = max(ideal, *(seconds for _, seconds, _ in points))
    step = nice_step(longest / 5)
    top = max(1, ceil(longest / step)) * step

    def x(size: float) -> float:
        return round(LEFT + (log10(size) - low) / (high - low) * (RIGHT - LEFT), 1)

    def y(seconds: float) -> float:
        return round(BOTTOM - seconds / top * (BOTTOM - TOP), 1)

    return Plot(
        dots=[Dot(x(size), y(seconds), what) for size, seconds, what in points],
        sizes=[(x(10**power), 10**power) for power in range(low, high + 1)],
        times=[(y(mark * step), mark * step) for mark in range(round(top / step) + 1)],
        ideal=y(ideal),
    )


def nice_step(least: float, smallest: float = 1e-3) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50 … (or 0.5, 0.2 …) that is at least that."""
    power = 10.0 ** floor(log10(max(least, smallest)))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * 0.999)
