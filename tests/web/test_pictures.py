"""The shapes on a run's page."""

from __future__ import annotations

from typing import Any

import pytest

from compute.queue.overview import Span
from compute.web.pictures import cell, grid, nice_step, plot, timeline


def span(worker: int, start: float, end: float, node: str = "a", **fields: Any) -> Span:
    values: dict[str, Any] = {"state": "done", "jobs": 1, "first": 0, "attempt": 1, **fields}
    return Span(node, worker, start, end, **values)


def test_an_empty_grid_has_no_paths() -> None:
    assert grid("").paths == {}


def test_a_small_grid_is_one_row_with_a_stroke_for_neighbours_of_a_state() -> None:
    small = grid("dddrqq")
    assert (small.width, small.height) == (200, 10)
    assert small.paths == {"d": "M0 5h30", "r": "M30 5h10", "q": "M40 5h20"}


def test_ten_thousand_cells_take_a_stroke_a_row() -> None:
    big = grid("d" * 10_000)
    assert (big.columns, big.rows) == (200, 50)
    assert big.paths["d"].count("M") == 50
    assert len(big.paths["d"]) < 1000


def test_a_cell_lies_where_its_chunk_is_drawn() -> None:
    assert cell(1, 20) == (1, 0, 0)
    assert cell(20, 20) == (20, 190, 0)
    assert cell(42, 20) == (42, 10, 20)


def test_without_spans_there_are_no_lanes() -> None:
    assert timeline([]).lanes == []


def test_a_bar_lies_where_its_chunk_ran() -> None:
    drawn = timeline([span(1, 100, 105), span(2, 100, 110), span(1, 105, 107.5, first=2)])
    assert drawn.seconds == 10
    first, second = drawn.lanes
    assert [(bar.left, bar.width, bar.first) for bar in first.bars] == [(0, 500, 1), (500, 250, 3)]
    assert [(bar.left, bar.width) for bar in second.bars] == [(0, 1000)]
    assert (first.count, second.count) == (2, 1)


def test_a_worker_in_a_dead_ones_place_goes_on_in_its_lane() -> None:
    drawn = timeline([span(1, 0, 10), span(2, 0, 4), span(3, 5, 10), span(4, 6, 9)])
    assert [[bar.left for bar in lane.bars] for lane in drawn.lanes] == [[0], [0, 500], [600]]


def test_nodes_stand_one_after_the_other() -> None:
    drawn = timeline([span(1, 0, 1, node="b"), span(1, 0, 1, node="a"), span(2, 0, 1, node="b")])
    assert [(lane.node, lane.number) for lane in drawn.lanes] == [("a", 1), ("b", 1), ("b", 2)]


def test_a_lane_of_many_bars_is_a_path_for_each_state() -> None:
    drawn = timeline([span(1, 0, 4), span(1, 5, 5, state="failed"), span(1, 6, 10)])
    assert drawn.lanes[0].paths == {"done": "M0 0h400M600 0h400", "failed": "M500 0h1"}
    drawn = timeline([span(1, 0, 4), span(1, 4.01, 6), span(1, 6.1, 10)])
    assert drawn.lanes[0].paths == {"done": "M0 0h600M610 0h390"}


def test_the_plot_has_a_logarithmic_axis_and_one_from_nought() -> None:
    drawn = plot([(10, 8.0, "a"), (1000, 4.0, "b")], 3.9)
    assert [size for _, size in drawn.sizes] == [10, 100, 1000]
    assert [seconds for _, seconds in drawn.times] == [0, 2, 4, 6, 8]
    assert [(dot.x, dot.y) for dot in drawn.dots] == [(60, 20), (700, 160)]
    assert 160 < drawn.ideal < 170


def test_a_plot_of_one_dot_is_one() -> None:
    assert len(plot([(1, 0.0, "a")], 0.0).sizes) == 2


@pytest.mark.parametrize(
    ("least", "step"), [(0.03, 0.05), (0.1, 0.1), (1.1, 2), (3, 5), (6, 10), (400, 500), (0, 0.001)]
)
def test_marks_are_at_round_numbers(least: float, step: float) -> None:
    assert nice_step(least) == pytest.approx(step)


def test_a_bar_is_never_narrower_than_nothing() -> None:
    (lane,) = timeline([span(1, 10, 20), span(1, 15, 14)]).lanes
    assert [(bar.width > 0, bar.seconds) for bar in lane.bars] == [(True, 10), (False, 0)]
