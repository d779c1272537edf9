"""Rows as lines of another format: whatever is in them, and wherever the lines are cut."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest

from compute.values import as_json
from compute.web import recast
from compute.web.formats import cell_of
from compute.writing import json_lines

#: All that is odd in one format or the other, as plain data.
CELLS: list[Any] = [
    *(None, True, False, 0, -5, 10**40, 0.1, 1e16, -1e-7, "", " ", "a", "NaN", "Infinity"),
    *("-Infinity", "null", "Größe €😀", "a,b", ",", '"', '","', '\\"', "\\", "\\\\", "\\n", "\n"),
    *(
        "a\r\nb",
        "\t",
        "\b\f\x01\x1f\x7f",
        "[1]",
        "]\n[",
        "{}",
        "=1+1",
        "-5",
        "+",
        "＝1",
        "'",
        "x" * 99,
    ),
    *([], [1], [1, 2], ["a,b", '"'], {}, {"a": 1}, {"a": [None, "]\n["], "ü": '\\"'}),
]
WIDTHS = [1, 2, 3, 7]


def tables(width: int) -> list[list[list[Any]]]:
    """Each cell beside others, and tables that have no list, no text, or nothing odd."""
    chance = Random(width)  # noqa: S311
    of = [CELLS, CELLS[:30], [each for each in CELLS if not isinstance(each, str)], [1, 2.5, None]]
    found = [
        [chance.choices(cells, k=width) for _ in range(rows)] for cells in of for rows in (1, 2, 50)
    ]
    return [*found, [[cell] * width for cell in CELLS], *([[cell] * width] for cell in CELLS)]


def lines_of(rows: list[list[Any]]) -> bytes:
    return json_lines(rows).encode()


def recast_in_parts(make: Callable[[bytes], bytes], rows: list[list[Any]]) -> bytes:
    """Made of all lines, and the same made of a line at a time."""
    whole = make(lines_of(rows))
    assert b"".join(make(lines_of([row])) for row in rows) == whole
    return whole


@pytest.mark.parametrize(
    "given", [["a", "ü", "c d", "", "=", "\x7f", "g"], ['b "quoted", \\', *"\n\x1fcdef"]]
)
@pytest.mark.parametrize("width", WIDTHS)
def test_records(width: int, given: list[str]) -> None:
    names = given[:width]
    make = recast.records(names)
    for rows in tables(width):
        expected = [as_json(dict(zip(names, row, strict=True))) for row in rows]
        assert recast_in_parts(make, rows).decode() == "".join(f"{line}\n" for line in expected)
    listed = recast.listed(make(lines_of(rows)))
    assert json.loads(b"[%b]" % listed[:-1]) == [dict(zip(names, row, strict=True)) for row in rows]


@pytest.mark.parametrize("width", WIDTHS)
def test_lists(width: int) -> None:
    for rows in tables(width):
        listed = recast_in_parts(recast.listed, rows)
        assert json.loads(b"[%b]" % listed[:-1]) == rows


def test_numbers() -> None:
    rows = [[number, cell] for number, cell in enumerate(CELLS)]
    assert recast_in_parts(recast.numbers, rows).decode() == "".join(
        f"{as_json(cell)}\n" for cell in CELLS
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_columns(width: int) -> None:
    for rows in tables(width):
        found = [json.loads(b"[%b]" % cells) for cells in recast.columns(lines_of(rows), width)]
        assert found == [list(cells) for cells in zip(*rows, strict=True)]


# --- CSV ----------------------------------------------------------------------------------


def field_of(cell: Any, width: int) -> str:
    """A cell as CSV has it."""
    if cell is None and width > 1:
        return ""
    if not isinstance(cell, str | list | dict | None) or cell in ("NaN", "Infinity", "-Infinity"):
        return as_json(cell).strip('"')
    quoted = cell_of(cell).replace('"', '""')
    return f'"{quoted}"'


@pytest.mark.parametrize("width", WIDTHS)
def test_csv(width: int) -> None:
    for rows in tables(width):
        made = recast_in_parts(partial(recast.csv, width=width), rows).decode()
        fields = [",".join(field_of(cell, width) for cell in row) for row in rows]
        assert made == "".join(f"{line}\r\n" for line in fields)
        read = list(csv.reader(io.StringIO(made, newline="")))
        assert read == [list(map(cell_of, row)) for row in rows]


def test_an_empty_text_is_not_nothing() -> None:
    assert recast.csv(lines_of([["", None, "5", 5]]), 4) == b'"",,"5",5\r\n'


def test_a_line_of_nothing_is_a_row() -> None:
    assert recast.csv(lines_of([[None], [None]]), 1) == b'""\r\n""\r\n'
    assert recast.csv(b"[]\n[]\n", 0) == b"\r\n\r\n"


# --- a text -------------------------------------------------------------------------------


def test_a_text_is_json_wherever_it_is_cut() -> None:
    text = "".join(cell for cell in CELLS if isinstance(cell, str))
    data = text.encode()
    assert json.loads(b'"%b"' % recast.in_json(data)) == text
    assert recast.in_json(data) == as_json(text)[1:-1].encode()
    cut = [recast.in_json(data[at : at + 1]) for at in range(len(data))]
    assert b"".join(cut) == recast.in_json(data)
