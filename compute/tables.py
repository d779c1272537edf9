"""Results in rows, asked for one by one: tables, and series of numbers to be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from .arrays import frame, is_frame, is_number, items
from .values import NotKeptError, named


class Table:
    """Rows of cells under names of columns; a cell is plain data, as `values.kept` keeps it.

    `rows`: an iterable of lists or tuples, or of dicts by column; a dict of columns, each a list;
    a frame of pandas or polars. `columns`: their names, in order; by default the keys of the first
    dict, or "column 1", "column 2". A dict that lacks a column has None there.
    """

    def __init__(self, rows: Any, columns: Iterable[Any] | None = None) -> None:
        self.rows = rows
        self.columns = None if columns is None else [str(name) for name in columns]
        #: How its JSON is written: "records", objects by column; "rows", lists of cells;
        #: "columns", an object of lists.
        self.form = "records"

    def cells(self) -> tuple[list[str], Iterator[list[Any]]]:
        """The names of the columns, and the rows, each a list as long; once, if they come once.

        NotKeptError, which names the row, for one of another length or with an unknown column.
        """
        rows = iter(self.found_rows())
        first = next(rows, None)
        columns = self.columns
        if columns is None:
            columns = self.names_from(first)
        return columns, self.checked(columns, rows if first is None else chain([first], rows))

    def found_rows(self) -> Iterable[Any]:
        """The rows of whatever was given; sets the columns and the form that this tells."""
        if is_frame(self.rows):
            self.columns, rows = frame(self.rows, self.columns)
            return rows
        if isinstance(self.rows, Mapping):
            names = list(self.rows) if self.columns is None else self.columns
            self.columns, self.form = [str(name) for name in names], "columns"
            return of_columns([self.rows[name] for name in names])
        return items(self.rows)

    def names_from(self, first: Any) -> list[str]:
        if isinstance(first, Mapping):
            return [str(name) for name in first]
        self.form = "rows"
        width = len(first) if isinstance(first, Sequence) else 0
        return [f"column {number}" for number in range(1, width + 1)]

    def checked(self, columns: list[str], rows: Iterable[Any]) -> Iterator[list[Any]]:
        known = set(columns)
        for number, row in enumerate(rows, 1):
            if isinstance(row, Mapping):
                strange = [name for name in row if name not in known]
                if strange:
                    raise NotKeptError(
                        f"row {number:,} of the table has {strange[0]!r}, and there is no such "
                        "column; name them all: Table(rows, columns=[…])"
                    )
                yield [row.get(name) for name in columns]
                continue
            cells = row.tolist() if hasattr(row, "tolist") else row
            if not isinstance(cells, list | tuple):
                raise NotKeptError(
                    f"row {number:,} of the table is {named(row)}; give lists, tuples or dicts"
                )
            if len(cells) != len(columns):
                raise NotKeptError(
                    f"row {number:,} of the table has {counted(cells, 'cell')} for "
                    f"{counted(columns, 'column')}; give as many"
                )
            yield list(cells)


class Series:
    """Numbers to be drawn as a line, or several lines over the same `x`.

    `y`: numbers, or a dict of such by the name of a line. `x`: as many numbers, by default 0, 1, 2.
    Numbers may come from a generator, an array too. `name` is written at the axis.
    """

    def __init__(self, y: Any, x: Any = None, name: str = "") -> None:
        self.y = y
        self.x = x
        self.name = name
        #: How its JSON is written: "numbers", a list of those of the only line; "records", as a
        #: table's.
        self.form = "records"

    def cells(self) -> tuple[list[str], Iterator[list[Any]]]:
        """As a table's: ["x", "y"], or ["x", the name of each line], and a row for each x."""
        lines = dict(self.y) if isinstance(self.y, Mapping) else {self.name or "y": self.y}
        columns = ["x", *map(str, lines)]
        return columns, self.points(list(lines), list(lines.values()))

    def points(self, names: list[Any], lines: list[Any]) -> Iterator[list[Any]]:
        if self.form == "numbers":  # they are known to be
            yield from ([number, value] for number, value in enumerate(items(self.y)))
            return
        x = None if self.x is None else items(self.x)
        for number, values in enumerate(of_columns([*([] if x is None else [x]), *lines])):
            row = [number, *values] if x is None else values
            for name, value in zip(["x", *names], row, strict=True):
                if not (value is None or is_number(value)):
                    raise NotKeptError(
                        f"the series has {value!r:.40} at {name!r}, number {number + 1:,}; give "
                        "numbers, or None for a gap"
                    )
            yield row


def of_columns(columns: Sequence[Any]) -> Iterator[list[Any]]:
    """The rows of columns; NotKeptError once one of them is longer than another."""
    try:
        for row in zip(*map(items, columns), strict=True):
            yield list(row)
    except ValueError as error:
        if "zip()" not in str(error):
            raise
        raise NotKeptError("the columns of the result have different lengths; fill them") from error


def counted(items: Sequence[Any], word: str) -> str:
    return f"{len(items):,} {word}{'' if len(items) == 1 else 's'}"
