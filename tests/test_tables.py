"""Results in rows, of whatever an author has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from compute.tables import Series, Table
from compute.values import NotKeptError
from tests.frames import Array, NAType, Pandas, Polars


def cells(shape: Any) -> tuple[list[str], list[list[Any]]]:
    columns, rows = shape.cells()
    return columns, list(rows)


# --- tables -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "columns", "rows", "form"),
    [
        (Table([{"a": 1, "b": 2}, {"b": 4, "a": 3}]), ["a", "b"], [[1, 2], [3, 4]], "records"),
        (Table([{"a": 1}, {}]), ["a"], [[1], [None]], "records"),
        (Table([{"b": 2}], ["a", "b"]), ["a", "b"], [[None, 2]], "records"),
        (Table([[1, 2], (3, 4)]), ["column 1", "column 2"], [[1, 2], [3, 4]], "rows"),
        (Table([[1, 2]], ["a", 5]), ["a", "5"], [[1, 2]], "records"),
        (Table(([n] for n in range(2)), ["n"]), ["n"], [[0], [1]], "records"),
        (Table([]), [], [], "rows"),
        (Table([], ["a"]), ["a"], [], "records"),
        (Table({"a": [1, 2], "b": (3, 4)}), ["a", "b"], [[1, 3], [2, 4]], "columns"),
        (Table({"a": [1], "b": [3]}, ["b"]), ["b"], [[3]], "columns"),
        (Table({"a": Array([1, 2]), "b": [3, 4]}), ["a", "b"], [[1, 3], [2, 4]], "columns"),
        (Table(Array([[1, 2], [3, 4]])), ["column 1", "column 2"], [[1, 2], [3, 4]], "rows"),
        (Table([Array([1, 2])], ["a", "b"]), ["a", "b"], [[1, 2]], "records"),
        (Table(Pandas(["a", 1], [(5, "x")])), ["a", "1"], [[5, "x"]], "records"),
        (Table(Pandas(["a"], [(5,)], ["row"])), ["index", "a"], [["row", 5]], "records"),
        (Table(Pandas(["a"], [(NAType(),)]), ["b"]), ["b"], [[None]], "records"),
        (Table(Polars(["a"], [(5,)])), ["a"], [[5]], "records"),
        (Table(Polars(["a"], [(5,)]), ["b"]), ["b"], [[5]], "records"),
    ],
)
def test_a_table_is_made_of(
    table: Table, columns: list[str], rows: list[list[Any]], form: str
) -> None:
    assert cells(table) == (columns, rows)
    assert table.form == form


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (Table([[1, 2], [3]]), "row 2 of the table has 1 cell for 2 columns; give as many"),
        (Table([[1], [1, 2]]), "row 2 of the table has 2 cells for 1 column; give as many"),
        (Table([{"a": 1}, {"b": 2}]), "row 2 of the table has 'b', and there is no such column"),
        (Table([1, 2]), "row 1 of the table is an int; give lists, tuples or dicts"),
        (Table([[1], "a"]), "row 2 of the table is a str; give lists, tuples or dicts"),
        (Table({"a": [1], "b": [1, 2]}), "the columns of the result have different lengths"),
    ],
)
def test_what_is_no_row_is_refused_by_its_number(table: Table, error: str) -> None:
    with pytest.raises(NotKeptError) as refused:
        cells(table)
    assert error in str(refused.value)


def test_rows_are_asked_for_one_by_one() -> None:
    asked = []

    def rows() -> Iterator[list[int]]:
        for number in range(3):
            asked.append(number)
            yield [number]

    _, found = Table(rows()).cells()
    assert asked == [0]  # for the names of the columns
    assert next(found) == [0]
    assert next(found) == [1]
    assert asked == [0, 1]


def test_an_error_of_the_rows_own_code_comes_through() -> None:
    def rows() -> Iterator[int]:
        yield 1
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        cells(Table({"a": rows()}))


# --- series -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "columns", "rows"),
    [
        (Series([5, 2.5]), ["x", "y"], [[0, 5], [1, 2.5]]),
        (Series([5, None], [10, 20]), ["x", "y"], [[10, 5], [20, None]]),
        (Series([5], name="speed"), ["x", "speed"], [[0, 5]]),
        (Series({"a": [1], "b": [2]}, [9]), ["x", "a", "b"], [[9, 1, 2]]),
        (Series((n for n in range(2)), Array([7, 8])), ["x", "y"], [[7, 0], [8, 1]]),
    ],
)
def test_a_series_is_made_of(series: Series, columns: list[str], rows: list[list[Any]]) -> None:
    assert cells(series) == (columns, rows)


@pytest.mark.parametrize(
    ("series", "error"),
    [
        (Series([1, "a"]), "the series has 'a' at 'y', number 2; give numbers, or None"),
        (Series([1, True]), "the series has True at 'y', number 2"),
        (Series([1], ["a"]), "the series has 'a' at 'x', number 1"),
        (Series([1, 2], [1]), "different lengths"),
    ],
)
def test_what_is_no_number_is_refused_by_its_place(series: Series, error: str) -> None:
    with pytest.raises(NotKeptError) as refused:
        cells(series)
    assert error in str(refused.value)
