"""What looks like numpy's, pandas' and polars' things, and the things themselves where they are."""

from __future__ import annotations

import types
from importlib import import_module
from typing import Any

import pytest

from compute.arrays import frame, is_array, is_frame, is_number, items
from compute.models.keeping import held
from tests.frames import Array, NAType, Pandas, Polars


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, True),
        (-0.5, True),
        (10**40, True),
        (True, False),
        ("5", False),
        (None, False),
        (types.SimpleNamespace(dtype=types.SimpleNamespace(kind="f")), True),
        (types.SimpleNamespace(dtype=types.SimpleNamespace(kind="M")), False),
    ],
)
def test_what_is_a_number(value: Any, number: bool) -> None:
    assert is_number(value) is number


def test_an_array_is_known_by_its_dimensions() -> None:
    assert is_array(Array([1]), 1)
    assert is_array(Array([[1]]), 2)
    assert not is_array(Array([1]), 2)
    assert not is_array([1], 1)


def test_a_frame_is_known_by_its_columns() -> None:
    assert is_frame(Pandas([], []))
    assert is_frame(Polars([], []))
    assert not is_frame({"columns": 1})
    assert not is_frame(types.SimpleNamespace(columns=[]))


def test_an_index_that_says_something_is_a_column() -> None:
    columns, rows = frame(Pandas(["a"], [(1,), (NAType(),)], ["x", "y"]), None)
    assert (columns, list(rows)) == (["index", "a"], [["x", 1], ["y", None]])
    columns, rows = frame(Pandas(["a"], [(1,)]), ["b"])
    assert (columns, list(rows)) == (["b"], [[1]])


def test_items_of_an_array_are_pythons_own() -> None:
    assert list(items(Array(list(range(2_500))))) == list(range(2_500))
    assert list(items(iter("ab"))) == ["a", "b"]


# --- the things themselves ------------------------------------------------------------------


def rows_of(result: Any) -> tuple[str, list[str], list[list[Any]]]:
    (output,) = held(result)
    return output.kind, output.columns, list(output.read_rows())


@pytest.mark.once
def test_numpy() -> None:
    np = import_module("numpy")
    assert rows_of(np.array([1, 2, 3])) == ("series", ["x", "y"], [[0, 1], [1, 2], [2, 3]])
    assert rows_of(np.array([0.5, np.nan, 3])) == (
        *("series", ["x", "y"]),
        [[0, 0.5], [1, "NaN"], [2, 3.0]],
    )
    assert rows_of(np.eye(2)) == (
        *("table", ["column 1", "column 2"]),
        [[1.0, 0.0], [0.0, 1.0]],
    )
    assert rows_of({"a": np.arange(2), "b": ["x", "y"]})[2] == [[0, "x"], [1, "y"]]
    (output,) = held(np.zeros((2, 2, 2)))
    assert b"".join(output.read()) == b"[[[0.0,0.0],[0.0,0.0]],[[0.0,0.0],[0.0,0.0]]]"


@pytest.mark.once
def test_pandas() -> None:
    pd = import_module("pandas")
    given = pd.DataFrame({"n": [2**62, 5], "t": ["ü", None], "when": pd.Timestamp("2026-11-26")})
    kind, columns, rows = rows_of(given)
    assert (kind, columns) == ("table", ["n", "t", "when"])
    assert [row[0] for row in rows] == [2**62, 5]
    assert rows[0][1:] == ["ü", "2026-11-26T00:00:00"]
    grouped = pd.DataFrame({"k": ["a", "a", "b"], "n": [1, 2, 3]}).groupby("k").sum()
    assert rows_of(grouped) == ("table", ["k", "n"], [["a", 3], ["b", 3]])
    missing = pd.DataFrame({"n": pd.array([1, None], dtype="Int64")})
    assert rows_of(missing)[2] == [[1], [None]]


@pytest.mark.once
def test_polars() -> None:
    pl = import_module("polars")
    given = pl.DataFrame({"n": [2**62, None], "t": ["ü", "v"]})
    assert rows_of(given) == ("table", ["n", "t"], [[2**62, "ü"], [None, "v"]])
