"""A page of a table: which rows it has, in which order, and how its cells are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from compute.web import tables
from compute.web.tables import Asked, TablePage, asked_of, in_order, table_page, text_of

NAMES = ["name", "size"]


class Rows:
    """Rows that count how many of them were read."""

    def __init__(self, rows: list[list[Any]]) -> None:
        self.rows = rows
        self.read = 0

    def __call__(self, start: int, stop: int) -> Iterator[list[Any]]:
        for row in self.rows[start:stop]:
            self.read += 1
            yield row

    def page(self, asked: Asked = Asked(), names: list[str] = NAMES, size: int = 0) -> TablePage:  # noqa: B008
        return table_page(asked, names, len(self.rows), size, self)


def numbers(count: int) -> Rows:
    return Rows([[f"row {n}", n] for n in range(1, count + 1)])


# --- pages ---------------------------------------------------------------------------------


def test_a_page_has_fifty_rows_and_reads_no_other() -> None:
    rows = numbers(40_000)
    page = rows.page(Asked(first=51))
    assert rows.read == 50
    assert (page.asked.first, page.last, page.total) == (51, 100, 40_000)
    assert page.rows[0] == ["row 51", "51"]
    assert {name: asked.first for name, asked in page.pages.items()} == {
        "first": 1,
        "prev": 1,
        "next": 101,
        "last": 39_951,
    }


def test_the_first_page_has_none_before_it_and_the_last_none_behind() -> None:
    rows = numbers(120)
    assert list(rows.page().pages) == ["next", "last"]
    last = rows.page(Asked(first=101))
    assert list(last.pages) == ["first", "prev"]
    assert len(last.rows) == 20
    assert numbers(50).page().pages == {}


def test_behind_the_last_page_is_the_last_page() -> None:
    assert numbers(120).page(Asked(first=10**17)).asked.first == 101
    assert numbers(100).page(Asked(first=101)).asked.first == 51


def test_a_table_without_rows_is_a_page() -> None:
    page = numbers(0).page(Asked(first=7, sort=1))
    assert (page.asked.first, page.last, page.rows, page.pages) == (1, 0, [], {})


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, Asked()),
        ({"rows": "51", "sort": "2", "down": "1"}, Asked(51, 2, True)),
        ({"rows": "0", "sort": "-1", "down": "yes"}, Asked()),
        ({"rows": "1e9", "sort": "٣"}, Asked()),
        ({"rows": "9" * 1000, "sort": "\0"}, Asked()),
        ({"table": "1"}, Asked(as_table=True)),
    ],
)
def test_what_an_address_asks_for(given: dict[str, str], asked: Asked) -> None:
    assert asked_of(given) == asked


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        (Asked(), {}),
        (Asked(down=True), {}),
        (Asked(51, 2, True), {"rows": "51", "sort": "2", "down": "1"}),
        (Asked(1, 2, as_table=True), {"table": "1", "sort": "2"}),
    ],
)
def test_an_address_asks_for_no_more_than_it_has_to(asked: Asked, query: dict[str, str]) -> None:
    assert asked.query() == query
    if asked.sort or not asked.down:
        assert asked_of(query) == asked


# --- columns and cells ---------------------------------------------------------------------


def test_a_column_of_numbers_is_known_by_what_is_shown_of_it() -> None:
    page = Rows([["a", 1, None], ["b", 2.5, True]]).page(names=["text", "number", "flag"])
    assert [column.of_numbers for column in page.columns] == [False, True, False]
    assert page.cells[1] == [("b", False), ("2.5", True), ("true", False)]


def test_of_ten_thousand_columns_a_hundred_are_shown() -> None:
    page = Rows([list(range(10_000))]).page(names=[str(n) for n in range(10_000)])
    assert len(page.columns) == len(page.rows[0]) == 100
    assert page.of_columns == 10_000
    assert numbers(1).page().of_columns is None


def test_ragged_rows_are_shown_as_they_are() -> None:
    page = Rows([["a"], ["b", 1, 2], []]).page(Asked(sort=2))
    assert page.rows == [["b", "1", "2"], ["a"], []]
    assert page.cells[0] == [("b", False), ("1", True)]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "–"),
        ("", ""),
        ("<b>", "<b>"),
        (True, "true"),
        (10**30, "1" + "0" * 30),
        (0.1, "0.1"),
        ([1, "ü"], '[1, "ü"]'),
        ("x" * 200, "x" * 200),
        ("x" * 1_000_000, "x" * 199 + "…"),
    ],
)
def test_a_cell_is_shown_as_json_has_it_and_shortened(cell: Any, text: str) -> None:
    assert text_of(cell) == text


# --- sorting -------------------------------------------------------------------------------


def test_a_table_is_sorted_as_a_whole() -> None:
    rows = numbers(120)
    rows.rows = [rows.rows[n * 37 % 120] for n in range(120)]
    page = rows.page(Asked(first=51, sort=2, down=True))
    assert [int(size) for _, size in page.rows] == list(range(70, 20, -1))
    assert [column.sorted for column in page.columns] == ["", "descending"]
    assert page.columns[1].turned == Asked(1, 2, False)
    assert page.columns[0].turned == Asked(1, 1, False)
    ascending = rows.page(Asked(sort=2))
    assert ascending.rows[0] == ["row 1", "1"]
    assert ascending.columns[1].turned == Asked(1, 2, True)
    assert [asked.sort for asked in page.pages.values()] == [2, 2, 2, 2]


def test_a_column_that_is_not_there_sorts_nothing() -> None:
    rows = numbers(60)
    page = rows.page(Asked(sort=3, down=True))
    assert page.asked == Asked()
    assert rows.read == 50


@pytest.mark.parametrize(("count", "size"), [(50_001, 0), (60, 8 * 2**20 + 1)])
def test_a_large_table_is_not_sorted(count: int, size: int) -> None:
    rows = numbers(count)
    page = rows.page(Asked(sort=2, down=True), size=size)
    assert (page.sortable, page.asked.sort, rows.read) == (False, 0, 50)


def test_numbers_come_before_texts_and_nothing_comes_last() -> None:
    cells = ["b", None, 10**30, [2], "A", 1.5, -3, None, [1], True]
    rows = [[cell] for cell in cells]

    def sorted_by(down: bool) -> list[Any]:
        return [cells[place] for place in in_order(rows, 0, down)]

    assert sorted_by(False) == [-3, True, 1.5, 10**30, "A", "b", [1], [2], None, None]
    assert sorted_by(True) == [[2], [1], "b", "A", 10**30, 1.5, True, -3, None, None]


def test_rows_that_are_the_same_stay_in_their_order() -> None:
    rows = Rows([["same", n] for n in range(10)])
    for down in (False, True):
        assert [size for _, size in rows.page(Asked(sort=1, down=down)).rows] == list("0123456789")


def test_bounds_are_what_a_request_can_read() -> None:
    assert (tables.SORTED_ROWS, tables.SORTED_BYTES) == (50_000, 8 * 2**20)
