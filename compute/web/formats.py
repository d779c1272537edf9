"""An output in the formats that people take it away in, made while it is sent.

Each is exact: integers of any size, None, and the words for what is no number of JSON's. A format
that a kind has not is refused by the view; `FORMATS` says which has which.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from ..models import Output
from ..models.output import BATCH_ROWS, Kind
from ..values import as_json
from . import parquet, recast
from .columns import json_of_columns
from .made import Body, Made, digits, whole_lines
from .spooled import spooled

NUMBER = re.compile(recast.NUMBER, re.ASCII)


class Format(NamedTuple):
    media_type: str
    #: The end of a file's name.
    ending: str
    kinds: tuple[str, ...]
    make: Callable[[Output], Body]
    #: Another one for other bytes: half of them would not go with the other half of those.
    version: Callable[[], str]


# --- JSON -------------------------------------------------------------------------------


def json_of(output: Output) -> Body:
    """One JSON document: what the computation returned, whatever its shape."""
    if output.kind == Kind.VALUE:
        return output
    if output.kind == Kind.TEXT:
        return spooled(output, "json", json_of_text)
    if output.form == "columns":
        return spooled(output, "json", json_of_columns)
    make = maker(output)
    return Made(output, lambda lines: recast.listed(make(lines)), growth(output), as_list=True)


def json_of_text(output: Output) -> Iterator[bytes]:
    yield b'"'
    yield from map(recast.in_json, output.read())
    yield b'"'


def jsonl_of(output: Output) -> Body:
    """A line for each row: an object by column, a list of cells if the columns have no names, a
    number if it is a list of numbers."""
    return Made(output, maker(output), growth(output))


def maker(output: Output) -> Callable[[bytes], bytes]:
    """A function that makes of lines as they are kept what each row is in JSON."""
    if output.form == "numbers":
        return recast.numbers
    return bytes if output.form == "rows" else recast.records(output.columns)


def growth(output: Output) -> Callable[[int], int]:
    """By how many bytes so many rows are longer in JSON than as they are kept."""
    if output.form == "numbers":  # the place, the comma behind it, and two brackets
        return lambda rows: -digits(rows) - 3 * rows
    if output.form == "rows":
        return lambda rows: 0
    names = sum(len(as_json(name).encode()) + 1 for name in output.columns)
    return lambda rows: names * rows


# --- CSV --------------------------------------------------------------------------------


def csv_of(output: Output) -> Body:
    return spooled(output, "csv", csv_pieces)


def csv_pieces(output: Output) -> Iterator[bytes]:
    """With the names of the columns first. It begins with a byte order mark, without which Excel
    takes UTF-8 for something else; pandas, polars, R and DuckDB skip it."""
    head = io.StringIO("\ufeff")
    head.seek(0, io.SEEK_END)
    csv.writer(head).writerow(map(cell_of, output.columns))
    yield head.getvalue().encode()
    for lines in whole_lines(output.read()):
        yield recast.csv(lines, len(output.columns))


def cell_of(cell: Any) -> str:
    """A cell as its text. An apostrophe goes before what a spreadsheet would compute."""
    if cell is None:
        return ""
    if not isinstance(cell, str):
        return as_json(cell)
    if cell[:1] in recast.FORMULA and cell and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Items, as many at a time as are written at once."""
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH_ROWS)):
        yield batch


ROWED = (Kind.TABLE.value, Kind.SERIES.value)

FORMATS = {
    "json": Format(
        *("application/json", "json", (*ROWED, Kind.VALUE.value, Kind.TEXT.value)),
        *(json_of, lambda: "2"),
    ),
    "jsonl": Format("application/x-ndjson", "jsonl", ROWED, jsonl_of, lambda: "2"),
    "csv": Format("text/csv; charset=utf-8", "csv", ROWED, csv_of, lambda: "2"),
    "parquet": Format(
        *("application/vnd.apache.parquet", "parquet", ROWED),
        *(parquet.parquet_of, parquet.version),
    ),
}
#: Media type and ending of an output's own bytes, by its kind. A picture and a file say that
#: themselves.
OWN = {
    Kind.VALUE: ("application/json", "json"),
    Kind.TEXT: ("text/plain; charset=utf-8", "txt"),
    Kind.TABLE: ("application/x-ndjson", "jsonl"),
    Kind.SERIES: ("application/x-ndjson", "jsonl"),
}
