"""A page of a table, in the order that its address asks for; no more is read than is shown.

Sorting reads a table whole, in a request, so it is for tables that are read in a moment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

#: Rows of a page, and columns of it at most.
ROWS, COLUMNS = 50, 100
#: Characters of a cell that are shown.
CELL_CHARS = 200
#: Up to how many rows, and bytes of them, a table is sorted.
SORTED_ROWS, SORTED_BYTES = 50_000, 8 * 2**20

#: Reads the rows from one up to another.
Read = Callable[[int, int], Iterable[Sequence[Any]]]


class Asked(NamedTuple):
    """What an address asks of a table; what it must not be counts as not given."""

    #: The first row of the page, from 1.
    first: int = 1
    #: The column it is sorted by, from 1; 0 for the order of the rows.
    sort: int = 0
    down: bool = False
    #: Of a series, whether its numbers are to be shown.
    as_table: bool = False

    def query(self) -> dict[str, str]:
        """It in an address, without what goes without saying."""
        query = {"table": "1"} if self.as_table else {}
        if self.first > 1:
            query["rows"] = str(self.first)
        if self.sort:
            query |= {"sort": str(self.sort), **({"down": "1"} if self.down else {})}
        return query


@dataclass
class Column:
    name: str
    #: Whether all that is shown of it are numbers.
    of_numbers: bool
    #: "ascending" or "descending" if it is the one.
    sorted: str
    #: The value in an address that sorts by it, or the other way round.
    turned: Asked


@dataclass
class TablePage:
    asked: Asked
    columns: list[Column]
    rows: list[list[str]]
    total: int
    sortable: bool
    #: How many columns there are, if not all are shown.
    of_columns: int | None

    @property
    def cells(self) -> list[list[tuple[str, bool]]]:
        """Its cells, each with whether it is of a column of numbers."""
        of_numbers = [column.of_numbers for column in self.columns]
        return [list(zip(row, of_numbers, strict=False)) for row in self.rows]

    @property
    def last(self) -> int:
        return self.asked.first + len(self.rows) - 1

    @property
    def pages(self) -> dict[str, Asked]:
        """The pages beside it, by the names of their links."""
        first = self.asked.first
        found = {}
        if first > 1:
            found = {"first": 1, "prev": max(1, first - ROWS)}
        if self.last < self.total:
            found |= {"next": first + ROWS, "last": last_page(self.total)}
        return {name: self.asked._replace(first=row) for name, row in found.items()}


def asked_of(given: Mapping[str, str]) -> Asked:
    """What an address's parameters ask for."""
    first, sort = (whole(given.get(name, "")) for name in ("rows", "sort"))
    down, as_table = (given.get(name) == "1" for name in ("down", "table"))
    return Asked(max(1, first), sort, down, as_table)


def whole(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,18}", text, re.ASCII) else 0


def table_page(asked: Asked, names: Sequence[str], total: int, size: int, read: Read) -> TablePage:
    """The page that is asked for, or the last one, of a table of so many rows and bytes."""
    sortable = total <= SORTED_ROWS and size <= SORTED_BYTES
    sort = asked.sort if sortable and asked.sort <= len(names) else 0
    first = min(asked.first, last_page(total))
    asked = asked._replace(first=first, sort=sort, down=asked.down and sort > 0)
    places = range(first - 1, min(first - 1 + ROWS, total))
    if sort:
        order = in_order(read(0, total), sort - 1, asked.down)[places.start : places.stop]
        found = picked(read(0, total), order)
    else:
        found = list(read(places.start, places.stop))
    rows = [row[:COLUMNS] for row in found]
    return TablePage(
        asked=asked,
        columns=[
            Column(
                name=name,
                of_numbers=all(map(is_number, present(rows, place))),
                sorted=("descending" if asked.down else "ascending") if place + 1 == sort else "",
                turned=asked._replace(
                    first=1, sort=place + 1, down=place + 1 == sort and not asked.down
                ),
            )
            for place, name in enumerate(names[:COLUMNS])
        ],
        rows=[[text_of(cell) for cell in row] for row in rows],
        total=total,
        sortable=sortable,
        of_columns=len(names) if len(names) > COLUMNS else None,
    )


def last_page(total: int) -> int:
    """The first row of the last page."""
    return max(0, total - 1) // ROWS * ROWS + 1


def present(rows: Iterable[Sequence[Any]], place: int) -> Iterator[Any]:
    """The cells of a column that are not empty."""
    return (row[place] for row in rows if place < len(row) and row[place] is not None)


def is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def text_of(cell: Any) -> str:
    """A cell as it is shown: a text as it is, anything else as JSON has it, nothing as a dash."""
    if cell is None:
        return "–"
    text = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
    return text if len(text) <= CELL_CHARS else f"{text[: CELL_CHARS - 1]}…"


# --- sorting -------------------------------------------------------------------------------


def in_order(rows: Iterable[Sequence[Any]], place: int, down: bool) -> list[int]:
    """The places of the rows, sorted by a column; rows that have nothing there come last."""
    keys, empty = {}, []
    for number, row in enumerate(rows):
        key = key_of(row[place] if place < len(row) else None)
        if key is None:
            empty.append(number)
        else:
            keys[number] = key
    return sorted(keys, key=keys.__getitem__, reverse=down) + empty


def key_of(cell: Any) -> tuple[int, Any] | None:
    """Numbers by their size, then texts, then lists and dicts by their JSON."""
    if cell is None:
        return None
    if isinstance(cell, int | float):
        return 0, cell
    return (1, cell.casefold()) if isinstance(cell, str) else (2, json.dumps(cell))


def picked(rows: Iterable[Sequence[Any]], places: Sequence[int]) -> list[Sequence[Any]]:
    """These rows, in the order of their places."""
    wanted = set(places)
    found = {number: row for number, row in enumerate(rows) if number in wanted}
    return [found[number] for number in places]
