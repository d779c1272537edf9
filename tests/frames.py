"""What stands for numpy, pandas and polars, which are no requirement."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any


class Array:
    """As numpy's arrays are: of numbers, or of such arrays."""

    def __init__(self, plain: list[Any], kind: str = "f") -> None:
        self.plain = plain
        self.dtype = types.SimpleNamespace(kind=kind)
        self.ndim = 2 if plain and isinstance(plain[0], list) else 1

    def __len__(self) -> int:
        return len(self.plain)

    def __getitem__(self, place: slice) -> Array:
        return Array(self.plain[place], self.dtype.kind)

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("it is read a block at a time")

    def tolist(self) -> list[Any]:
        assert len(self.plain) <= 1_000, "it is read a block at a time"
        return self.plain


class RangeIndex:
    pass


class NAType:
    pass


class Pandas:
    """As a frame of pandas is; its index is a column if it says something."""

    def __init__(self, columns: list[Any], rows: list[Any], index: Any = None) -> None:
        self.columns, self.rows = columns, rows
        self.index: Any = index or RangeIndex()

    def to_dict(self) -> Any:
        raise AssertionError("it holds all of it once more")

    def reset_index(self) -> Pandas:
        rows = [(each, *row) for each, row in zip(self.index, self.rows, strict=True)]
        return Pandas(["index", *self.columns], rows)

    def itertuples(self, index: bool, name: None) -> Iterator[Any]:
        assert not index
        return iter(self.rows)


class Polars:
    def __init__(self, columns: list[str], rows: list[Any]) -> None:
        self.columns, self.rows = columns, rows

    def iter_rows(self) -> Iterator[Any]:
        return iter(self.rows)

    def to_dict(self) -> Any:
        raise AssertionError("it holds all of it once more")
