"""The picture of a series: its lines and their axes, as numbers and SVG path data. Pure: no Django.

Rows come one by one, and however many there are, few points of each line are drawn: the least and
the greatest of each stretch of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from math import ceil, floor, log10
from typing import Any, NamedTuple

from .pictures import nice_step

#: Stretches of a line, of which two points each are drawn at most; several lines share them.
STRETCHES, FEWEST = 500, 100
#: Lines that are drawn; one can't tell more apart.
MOST_LINES = 8
#: The edges of the area in which they lie, in a picture of WIDTH and HEIGHT.
LEFT, TOP, RIGHT, BOTTOM = 76.0, 14.0, 704.0, 276.0
WIDTH, HEIGHT = 720, 312
#: Numbers beyond it are not drawn: no span of two of them is infinite.
GREATEST = 1e300
#: Large numbers at the marks: from how much on, and their letter.
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


class Point(NamedTuple):
    place: int  # among the points of its stretch
    x: float
    y: float


#: The points of a line in their order; None where it is interrupted.
Points = list[Point | None]


class Mark(NamedTuple):
    at: float
    text: str


@dataclass
class Axis:
    """One from `low` to `high`, with marks at round numbers."""

    low: float
    high: float
    step: float

    def at(self, value: float, begin: float, end: float) -> float:
        """Where a value lies, if the axis goes from `begin` to `end`."""
        return round(begin + (value - self.low) / (self.high - self.low) * (end - begin), 1)

    def marks(self, begin: float, end: float) -> list[Mark]:
        slack = self.step * 1e-6
        first = ceil((self.low - slack) / self.step)
        last = min(floor((self.high + slack) / self.step), first + 20)
        values = [number * self.step for number in range(first, last + 1)]
        return [Mark(self.at(value, begin, end), self.text(value)) for value in values]

    def text(self, value: float) -> str:
        """A number as its marks need it: 0.25, 1,500 or 2.5 M."""
        if abs(value) < self.step / 2:
            return "0"
        size = max(abs(self.low), abs(self.high))
        if size >= 1e15 or self.step < 1e-6:
            return f"{value:.4g}"
        whole, letter = next((unit for unit in UNITS if size >= unit[0]), (1.0, ""))
        decimals = max(0, -floor(log10(self.step / whole) + 1e-9))
        return f"{value / whole:,.{decimals}f} {letter}".rstrip()


class Line(NamedTuple):
    number: int  # from 1, by which it has its colour
    name: str
    path: str


@dataclass
class Drawing:
    lines: list[Line]
    x: list[Mark]
    y: list[Mark]
    #: In words, for those who don't see it: from where to where.
    x_range: str
    y_range: str


def draw(rows: Iterable[Sequence[Any]], names: Sequence[str], count: int) -> Drawing | None:
    """The lines of rows, each an x and a y for each name; None if nothing of them can be drawn.

    `count`: how many rows come, about. What is no number, or too large for a float, is a gap.
    """
    names = names[:MOST_LINES]
    each = max(1, ceil(count / max(FEWEST, STRETCHES // max(1, len(names)))))
    found = thinned(rows, len(names), each)
    points = [point for line in found for point in line if point]
    if not points:
        return None
    xs, ys = [point.x for point in points], [point.y for point in points]
    across, up = axis(min(xs), max(xs), 6), rounded(axis(min(ys), max(ys), 4))
    return Drawing(
        lines=[
            Line(number, name, path_of(line, across, up))
            for number, (name, line) in enumerate(zip(names, found, strict=True), 1)
        ],
        x=across.marks(LEFT, RIGHT),
        y=up.marks(BOTTOM, TOP),
        x_range=f"{min(xs):,.6g} to {max(xs):,.6g}",
        y_range=f"{min(ys):,.6g} to {max(ys):,.6g}",
    )


def thinned(rows: Iterable[Sequence[Any]], lines: int, each: int) -> list[Points]:
    """Of so many rows at a time two points of each line, or one gap."""
    found: list[Points] = [[] for _ in range(lines)]
    ahead = iter(rows)
    while stretch := list(islice(ahead, each)):
        xs = numbers(stretch, 0)
        for column, line in enumerate(found, 1):
            line += extremes(zip(xs, numbers(stretch, column), strict=True)) or [None]
    return found


def numbers(rows: Sequence[Sequence[Any]], column: int) -> list[float | None]:
    return [drawable(row[column]) if column < len(row) else None for row in rows]


def extremes(pairs: Iterable[tuple[float | None, float | None]]) -> list[Point]:
    """The least and the greatest, in their order; one point if they are the same."""
    points = [
        Point(place, x, y) for place, (x, y) in enumerate(pairs) if x is not None and y is not None
    ]
    if not points:
        return []
    return sorted({min(points, key=height), max(points, key=height)})


def height(point: Point) -> float:
    return point.y


def drawable(cell: Any) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    return float(cell) if abs(cell) <= GREATEST else None  # not so for NaN, either


def axis(low: float, high: float, marks: int) -> Axis:
    """An axis with about so many marks; what is all the same has some room around it."""
    size = max(abs(low), abs(high))
    if high - low <= max(size * 1e-9, 1e-290):
        room = size / 10 if size > 1e-280 else 1.0
        low, high = low - room, high + room
    return Axis(low, high, nice_step((high - low) / marks, 0.0))


def rounded(given: Axis) -> Axis:
    """The same from mark to mark."""
    step = given.step
    return Axis(floor(given.low / step) * step, ceil(given.high / step) * step, step)


def path_of(line: Points, across: Axis, up: Axis) -> str:
    """A stroke for each part of it without a gap; a point that stands alone is a dot."""
    return "".join(map("".join, strokes(line, across, up)))


def strokes(line: Points, across: Axis, up: Axis) -> Iterator[list[str]]:
    for there, part in groupby(line, key=bool):
        if there:
            places = [
                f"{across.at(point.x, LEFT, RIGHT):g} {up.at(point.y, BOTTOM, TOP):g}"
                for point in part
                if point
            ]
            yield ["M", "L".join(places), "" if len(places) > 1 else "h0"]
