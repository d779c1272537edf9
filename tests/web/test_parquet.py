"""Parquet: each column of the type that all its cells are, or as text; exact."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest

from compute.models import Output
from compute.shapes import Series, Table
from compute.web import parquet
from compute.web.parquet import Column, distinct, is_there, parquet_of, pieces_of, version
from tests.web import arrow
from tests.web.test_formats import output_of

TABLES: list[tuple[list[Any], str, list[Any]]] = [
    ([1, -(2**62), None], "int64", [1, -(2**62), None]),
    ([2**63 - 1, 0], "int64", [2**63 - 1, 0]),
    ([2**63, 1], "decimal128 38 0", [Decimal(2**63), Decimal(1)]),
    ([10**38 - 1], "decimal128 38 0", [Decimal(10**38 - 1)]),
    ([10**38], "decimal256 76 0", [Decimal(10**38)]),
    ([10**76, None], "string", [str(10**76), None]),
    ([1.5, 2], "float64", [1.5, 2.0]),
    ([1.5, 2**53 + 1], "string", ["1.5", str(2**53 + 1)]),
    ([1.5, "NaN", "-Infinity"], "float64", [1.5, "nan", "-inf"]),
    (["NaN", "x"], "string", ["NaN", "x"]),
    (["NaN"], "string", ["NaN"]),
    ([True, None], "bool_", [True, None]),
    ([True, 1], "string", ["true", "1"]),
    (["=ü", None], "string", ["=ü", None]),
    ([[1, "ü"], {"a": None}], "string", ['[1,"ü"]', '{"a":null}']),
    ([None], "string", [None]),
    ([1, 2, -(2**63) + 1], "int64", [1, 2, -(2**63) + 1]),
    ([-(2**63), 2], "decimal128 38 0", [Decimal(-(2**63)), Decimal(2)]),
    ([0.5, -1e308], "float64", [0.5, -1e308]),
]


@pytest.fixture
def with_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in arrow.modules().items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize(("cells", "kind", "written"), TABLES)
def test_a_column_is_what_its_cells_are(
    with_arrow: None, cells: list[Any], kind: str, written: list[Any]
) -> None:
    output = output_of(Table([[cell] for cell in cells], ["a"]))
    schema, table, end = b"".join(pieces_of(output)).split(b"\n")
    assert json.loads(schema) == [["a", kind]]
    told = [repr(each) if isinstance(each, Decimal) else each for each in written]
    found = [str(each) if each != each else each for [each] in zip(*json.loads(table), strict=True)]
    assert [str(each) if isinstance(each, float) else each for each in found] == [
        str(each) if isinstance(each, float) else each for each in told
    ]
    assert end == b"end"


def test_rows_are_written_in_groups(with_arrow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as have so many bytes; they are read in pieces of two lines."""
    monkeypatch.setattr(parquet, "GROUP_BYTES", 13)
    monkeypatch.setattr(Output, "read", two_lines)
    pieces = list(pieces_of(output_of(Series([1, 2, 3, 4, 5]))))
    groups = b"".join(pieces).split(b"\n")[1:-1]
    assert [json.loads(group)[0] for group in groups] == [[0, 1, 2, 3], [4]]


def test_its_time_can_end_while_it_is_first_read(
    with_arrow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written by then, and a piece comes all the same for each that was read."""
    monkeypatch.setattr(Output, "read", two_lines)
    pieces = pieces_of(output_of(Series([1, 2, 3, 4, 5])))
    assert [next(pieces) for _ in range(3)] == [b"", b"", b""]
    assert next(pieces)


def two_lines(self: Output) -> Iterator[bytes]:
    lines = (self.held or b"").splitlines(keepends=True)
    for at in range(0, len(lines), 2):
        yield b"".join(lines[at : at + 2])


def test_any_range_of_it_is_read(with_arrow: None) -> None:
    body = parquet_of(output_of([{"a": 1}, {"a": 2}]))
    whole = b"".join(body.read())
    assert whole == b"".join(pieces_of(output_of([{"a": 1}, {"a": 2}])))
    assert (body.size, b"".join(body.read(3, 9))) == (len(whole), whole[3:9])


def test_another_pyarrow_has_another_etag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9")
    assert version() == "2-9.9"


def test_no_rows_are_a_file_all_the_same(with_arrow: None) -> None:
    schema, end = b"".join(pieces_of(output_of(Table([], ["a", "b"])))).split(b"\n")
    assert json.loads(schema) == [["a", "string"], ["b", "string"]]
    assert end == b"end"


def test_columns_of_one_name_get_their_places() -> None:
    assert distinct(["a", "b", "a"]) == ["a (1)", "b", "a (3)"]


def test_whether_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "find_spec", lambda name: None)
    assert not is_there()
    monkeypatch.setattr(parquet, "find_spec", lambda name: name)
    assert is_there()


def test_a_column_of_nothing_is_text() -> None:
    assert Column().kind == "string"


@pytest.mark.once
@pytest.mark.parametrize(("cells", "kind", "written"), TABLES)
def test_pyarrow_reads_the_same(cells: list[Any], kind: str, written: list[Any]) -> None:
    read_table = import_module("pyarrow.parquet").read_table
    output = output_of(Table([[cell] for cell in cells] * 3, ["a"]))
    table = read_table(io.BytesIO(b"".join(pieces_of(output))))
    found = table.column("a").to_pylist()
    assert list(map(repr, found)) == list(map(repr_of, written * 3))


def repr_of(cell: Any) -> str:
    return cell if cell in ("nan", "-inf") else repr(cell)
