"""The picture of a series: what is drawn of its points, and where its axes have marks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from compute.web.lines import BOTTOM, LEFT, RIGHT, TOP, Drawing, axis, draw, rounded

PLACE = re.compile(r"(-?[\d.]+) (-?[\d.]+)")


def drawn(rows: list[list[Any]], names: list[str] | None = None) -> Drawing:
    found = draw(rows, names or ["y"], len(rows))
    assert found is not None
    return found


def places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in PLACE.findall(path)]


def test_a_line_goes_from_edge_to_edge() -> None:
    drawing = drawn([[0, 0], [5, 10], [10, 20]])
    (line,) = drawing.lines
    assert (line.number, line.name) == (1, "y")
    middle = (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2
    assert places(line.path) == [(LEFT, BOTTOM), middle, (RIGHT, TOP)]
    assert [text for _, text in drawing.x] == ["0", "2", "4", "6", "8", "10"]
    assert [text for _, text in drawing.y] == ["0", "5", "10", "15", "20"]
    assert drawing.y[0].at == BOTTOM
    assert (drawing.x_range, drawing.y_range) == ("0 to 10", "0 to 20")


def test_of_many_points_a_thousand_are_drawn_and_no_peak_is_lost() -> None:
    def rows() -> Iterator[list[float]]:
        for n in range(200_000):
            yield [n, 1000 if n == 123_456 else math.sin(n / 1000)]

    drawing = draw(rows(), ["y"], 200_000)
    assert drawing is not None
    (line,) = drawing.lines
    points = places(line.path)
    assert 900 < len(points) <= 1000
    assert drawing.y_range == "-1 to 1,000"
    assert min(y for _, y in points) == TOP
    assert points == sorted(points, key=lambda place: place[0])
    assert len(line.path) < 15_000


def test_several_lines_share_the_points_and_the_axes() -> None:
    rows = [[n, n, -n, None] for n in range(10_000)]
    drawing = drawn(rows, ["up", "down", "none"])
    assert [line.name for line in drawing.lines] == ["up", "down", "none"]
    assert sum(len(places(line.path)) for line in drawing.lines) <= 1000
    assert drawing.lines[2].path == ""
    assert drawing.y_range == "-9,999 to 9,999"


def test_of_many_lines_eight_are_drawn() -> None:
    drawing = drawn([[n, *range(20)] for n in range(3)], [str(n) for n in range(20)])
    assert [line.number for line in drawing.lines] == list(range(1, 9))


def test_a_gap_stays_one_and_a_point_alone_is_a_dot() -> None:
    path = drawn([[0, 1], [1, 2], [2, None], [3, "NaN"], [4, 1], [5, None]]).lines[0].path
    first, second = path.split("M")[1:]
    assert len(places(first)) == 2
    assert second.endswith("h0")


@pytest.mark.parametrize(
    "cell", [None, "NaN", "Infinity", True, [1], 10**400, -(10**400), 1e301, float("nan")]
)
def test_what_is_no_number_or_too_large_is_not_drawn(cell: Any) -> None:
    assert draw([[0, cell], [1, cell]], ["y"], 2) is None
    assert draw([[cell, 1], [cell, 2]], ["y"], 2) is None
    assert len(places(drawn([[0, 1], [1, cell], [2, 3]]).lines[0].path)) == 2


def test_there_may_be_nothing_at_all() -> None:
    assert draw([], ["y"], 0) is None
    assert draw([[0]], [], 1) is None
    assert draw([[], [0]], ["y"], 2) is None


@pytest.mark.parametrize("value", [0, 7, -7, 1e16, 10**290, 5e-324, 1e300])
def test_what_is_always_the_same_is_a_line_in_the_middle(value: float) -> None:
    drawing = drawn([[0, value], [1, value]])
    (first, second) = places(drawing.lines[0].path)
    assert first[1] == second[1]
    assert TOP < first[1] < BOTTOM
    assert 2 <= len(drawing.y) <= 8


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 1, ["0", "0.5", "1.0"]),
        (0, 0.02, ["0", "0.01", "0.02"]),
        (-1, 1, ["-1", "0", "1"]),
        (0, 20_000, ["0", "10,000", "20,000"]),
        (0, 4_000_000, ["0", "2 M", "4 M"]),
        (1_000_000, 2_000_000, ["1.0 M", "1.5 M", "2.0 M"]),
        (0, 2e9, ["0", "1 G", "2 G"]),
        (0, 2e12, ["0", "1 T", "2 T"]),
        (0, 2e20, ["0", "1e+20", "2e+20"]),
        (0, 2e-9, ["0", "1e-09", "2e-09"]),
    ],
)
def test_marks_are_round_numbers_and_few(low: float, high: float, texts: list[str]) -> None:
    assert [mark.text for mark in axis(low, high, 2).marks(0, 100)] == texts


@pytest.mark.parametrize("span", [(-1e300, 1e300), (1e-300, 3e-300), (-5e-324, 5e-324)])
def test_any_span_has_marks(span: tuple[float, float]) -> None:
    found = rounded(axis(*span, 4))
    assert math.isfinite(found.low)
    assert math.isfinite(found.high)
    assert 2 <= len(found.marks(0, 100)) <= 21


def test_points_need_not_be_in_order() -> None:
    points = places(drawn([[3, 1], [1, 2], [2, 3]]).lines[0].path)
    assert [x for x, _ in points] == [RIGHT, LEFT, (LEFT + RIGHT) / 2]
