"""What numpy, pandas and polars have, known by how it looks: nothing here requires them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

#: Rows that are taken of an array at a time.
ROWS = 1_000


def is_number(value: Any) -> bool:
    if hasattr(value, "dtype"):  # numpy's
        return getattr(value.dtype, "kind", "") in "iuf"
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_array(value: Any, dimensions: int) -> bool:
    """Whether it is numpy's, or like it."""
    return getattr(value, "ndim", None) == dimensions and hasattr(value, "dtype")


def is_frame(value: Any) -> bool:
    """Whether it is a frame of pandas or polars."""
    ways = ("iter_rows", "to_dict")
    return hasattr(value, "columns") and any(callable(getattr(value, way, None)) for way in ways)


def frame(given: Any, columns: list[str] | None) -> tuple[list[str], Iterable[Any]]:
    """The names of a frame's columns, and its rows; an index that says something is a column."""
    if hasattr(given, "iter_rows"):
        return columns or [str(name) for name in given.columns], given.iter_rows()
    if hasattr(given, "index") and type(given.index).__name__ != "RangeIndex":
        given = given.reset_index()
    rows = given.itertuples(index=False, name=None)
    return columns or [str(name) for name in given.columns], map(without_na, rows)


def without_na(row: Iterable[Any]) -> list[Any]:
    """pandas' marks of what is missing, which are of classes of their own, are None."""
    return [None if type(cell).__name__ in ("NAType", "NaTType") else cell for cell in row]


def items(values: Any) -> Iterator[Any]:
    """What is in a list, an array or a generator; of an array as Python's own, some at a time."""
    if not (hasattr(values, "tolist") and hasattr(values, "dtype")):
        yield from values
        return
    for start in range(0, len(values), ROWS):
        yield from values[start : start + ROWS].tolist()
