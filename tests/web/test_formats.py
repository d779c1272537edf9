"""An output in each format, exact: big integers, quotes, formulas, umlauts, nothing, no numbers."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from compute.models import Output
from compute.models.keeping import held
from compute.models.output import BATCH_ROWS as ROWS
from compute.models.output import Kind
from compute.shapes import Series, Table
from compute.web.formats import FORMATS, OWN, batches, cell_of
from compute.web.made import Body

BIG = 10**40 + 7
ROW: dict[str, Any] = {
    "int": BIG,
    "quote": 'say "no", twice',
    "formula": "=1+1",
    "umlaut": "Größe €😀",
    "none": None,
    "nan": math.nan,
    "inf": -math.inf,
    "true": True,
    "float": 0.1,
    "list": [1, {"a": "ü"}],
    "line": "a\r\nb",
}
KEPT = {**ROW, "nan": "NaN", "inf": "-Infinity"}


def output_of(result: Any) -> Output:
    (output,) = held(result)
    return output


def taken(result: Any, name: str) -> bytes:
    return whole(FORMATS[name].make(output_of(result)))


def whole(body: Body) -> bytes:
    """All of it; it is as long as it says, and any part of it is the same."""
    data = b"".join(body.read())
    assert len(data) == body.size
    for start in range(0, len(data), len(data) // 7 + 1):
        assert b"".join(body.read(start, start + 9)) == data[start : start + 9]
        assert b"".join(body.read(start)) == data[start:]
    return data


def read_csv(data: bytes) -> list[list[str]]:
    text = data.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


# --- JSON ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "same"),
    [
        ([ROW, ROW], [KEPT, KEPT]),
        ([[1, "ü"], [2, None]], [[1, "ü"], [2, None]]),
        ({"a": [1, 2], "b": ["x", "y"]}, {"a": [1, 2], "b": ["x", "y"]}),
        ([BIG, 2, 0.5], [BIG, 2, 0.5]),
        (Series([1, 2], [5, 6]), [{"x": 5, "y": 1}, {"x": 6, "y": 2}]),
        (Table([[1, 2]], ["a", "a"]), [[1, 2]]),
        (Table([], ["a"]), []),
        (Table([{}, {}]), [{}, {}]),
        (list(range(1_234)), list(range(1_234))),
        (Table({"a": [], "b": []}), {"a": [], "b": []}),
        ('text " with ü and\n', 'text " with ü and\n'),
        ({"n": BIG, "a": {"b": [None]}}, {"n": BIG, "a": {"b": [None]}}),
        (None, None),
    ],
)
def test_json_is_what_was_returned(result: Any, same: Any) -> None:
    assert json.loads(taken(result, "json")) == same


def test_a_text_is_json_wherever_its_bytes_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Output, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        held = self.held or b""
        return (held[at : at + 1] for at in range(start, len(held)))

    monkeypatch.setattr(Output, "read", read)
    assert json.loads(taken("aü€😀", "json")) == "aü€😀"


@pytest.mark.parametrize("count", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_many_rows_are_one_document(count: int) -> None:
    rows = [{"n": number} for number in range(count)]
    assert json.loads(taken(rows, "json")) == rows
    columns = {"n": list(range(count + 2)), "m": list(range(count + 2))}
    assert json.loads(taken(columns, "json")) == columns
    assert len(taken(rows, "jsonl").splitlines()) == count
    assert len(read_csv(taken(rows, "csv"))) == count + 1


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        ([ROW], [KEPT]),
        ([[1, "ü"], [2, None]], [[1, "ü"], [2, None]]),
        ({"a": [1, 2], "b": [3, 4]}, [{"a": 1, "b": 3}, {"a": 2, "b": 4}]),
        ([BIG, 2, 3], [BIG, 2, 3]),
        (Series({"p": [1], "q": [2]}), [{"x": 0, "p": 1, "q": 2}]),
    ],
)
def test_jsonl_has_a_line_for_each_row(result: Any, lines: list[Any]) -> None:
    data = taken(result, "jsonl")
    assert [json.loads(line) for line in data.decode().split("\n")[:-1]] == lines


# --- CSV ----------------------------------------------------------------------------------


def test_csv_is_exact() -> None:
    data = taken([ROW], "csv")
    assert data.startswith(b"\xef\xbb\xbfint,quote,")
    assert data.count(b"\r\n") == 3  # of which one is in a cell
    names, cells = read_csv(data)
    assert names == list(ROW)
    assert dict(zip(names, cells, strict=True)) == {
        "int": str(BIG),
        "quote": 'say "no", twice',
        "formula": "'=1+1",
        "umlaut": "Größe €😀",
        "none": "",
        "nan": "NaN",
        "inf": "-Infinity",
        "true": "true",
        "float": "0.1",
        "list": '[1,{"a":"ü"}]',
        "line": "a\r\nb",
    }


@pytest.mark.parametrize(
    "text",
    ["=1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-cmd", "＝1", "--1", "-1e", "-"],
)
def test_what_a_spreadsheet_would_compute_is_text(text: str) -> None:
    assert cell_of(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-5", "+1.5", "-1.5e-7", "-Infinity", "1+1", "a=b", "", "'=1"])
def test_what_is_a_number_or_a_text_stays_as_it_is(text: str) -> None:
    assert cell_of(text) == text


@pytest.mark.parametrize("cell", [-5, -0.5, -BIG])
def test_negative_numbers_stay_numbers(cell: Any) -> None:
    assert json.loads(cell_of(cell)) == cell


def test_names_of_columns_are_no_formulas_either() -> None:
    assert read_csv(taken(Table([[1]], ["=a"]), "csv")) == [["'=a"], ["1"]]


def test_no_rows_leave_the_names() -> None:
    assert read_csv(taken(Table([], ["a", "b"]), "csv")) == [["a", "b"]]


# --- all of them ----------------------------------------------------------------------------


def test_every_kind_has_bytes_of_its_own() -> None:
    assert {*OWN, Kind.PICTURE, Kind.FILE} == set(Kind)
    for each in FORMATS.values():
        assert set(each.kinds) <= set(Kind)


def test_batches_are_as_long_as_what_is_written_at_once() -> None:
    assert [len(batch) for batch in batches(range(2 * ROWS + 1))] == [ROWS, ROWS, 1]
    assert list(batches([])) == []


def test_nothing_is_an_empty_cell() -> None:
    assert cell_of(None) == ""


@pytest.mark.parametrize("name", ["csv", "json"])
def test_the_same_cells_under_other_names_are_another_table(name: str) -> None:
    first, second = ({column: [1, 2], "z": [3, 4]} for column in "ab")
    assert taken(first, name) != taken(second, name)
