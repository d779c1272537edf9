"""A table as a Parquet file, where pyarrow is installed; nothing here requires it.

A column is what all its cells are: booleans, integers of 64 bits, decimals for longer ones,
floating-point numbers, texts. Anything else is the text that CSV would have, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

import msgspec

from ..models import Output
from ..values import WORDS, as_json
from .made import Body, whole_lines
from .spooled import spooled

#: Exact, as Python's own; several times as quick.
DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
#: Bytes of a row group as they are kept; it is in memory while it is written, without objects.
GROUP_BYTES = 2_000_000
#: The digits that decimals of 128 and 256 bits have.
DIGITS_128, DIGITS_256 = 38, 76
#: Up to here a floating-point number is every integer.
EXACT = 2**53
NOT_FINITE = {"NaN": float("nan"), **{word: value for value, word in WORDS.items()}}


def is_there() -> bool:
    return find_spec("pyarrow") is not None


class Sink:
    """Takes what is written, to be given on."""

    closed = False

    def __init__(self) -> None:
        self.waiting: list[bytes] = []

    def write(self, data: Any) -> int:
        self.waiting.append(bytes(data))
        return len(self.waiting[-1])

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        data = b"".join(self.waiting)
        self.waiting.clear()
        return data


class Column:
    """What the cells of a column are; told of them some at a time."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.longest = 0

    def look(self, cells: Sequence[Any]) -> None:
        kinds = {kind.__name__ for kind in set(map(type, cells))} - {"NoneType"}
        if kinds == {"int"} and None not in cells:  # of millions, without a step for each
            self.longest = max(self.longest, max(cells), -min(cells))
        elif "int" in kinds:
            self.longest = max(self.longest, *(abs(cell) for cell in cells if type(cell) is int))
        if "str" in kinds and all(cell in NOT_FINITE for cell in cells if type(cell) is str):
            kinds = kinds - {"str"} | {"word"}
        self.kinds |= kinds

    @property
    def kind(self) -> str:
        """int64, decimal128, decimal256, double, bool or string."""
        if self.kinds == {"bool"}:
            return "bool"
        if self.kinds == {"int"}:
            digits = len(str(self.longest))
            if self.longest < 2**63:
                return "int64"
            if digits <= DIGITS_128:
                return "decimal128"
            return "decimal256" if digits <= DIGITS_256 else "string"
        numbers = self.kinds & {"int", "float"}
        if numbers and self.kinds <= {"int", "float", "word"} and self.longest <= EXACT:
            return "double"
        return "string"


CELLS: dict[str, Callable[[Any], Any]] = {
    "bool": bool,
    "int64": int,
    "decimal128": Decimal,
    "decimal256": Decimal,
    "double": lambda cell: NOT_FINITE[cell] if isinstance(cell, str) else float(cell),
    "string": lambda cell: cell if isinstance(cell, str) else as_json(cell),
}
NOTHING = type(None)
#: The types of cells that a column takes as they are, without a step for each of millions.
AS_THEY_ARE: dict[str, frozenset[type]] = {
    "bool": frozenset({bool, NOTHING}),
    "int64": frozenset({int, NOTHING}),
    "double": frozenset({float, NOTHING}),
    "string": frozenset({str, NOTHING}),
}


def version() -> str:
    """Of what is written: another pyarrow may write it otherwise."""
    return f"2-{metadata.version('pyarrow')}"


def parquet_of(output: Output) -> Body:
    """Made whole before any of it is sent, for its end says where its parts are."""
    return spooled(output, "parquet", pieces_of)


def pieces_of(output: Output) -> Iterator[bytes]:
    """The file, a row group at a time. Rows are read twice: first for what each column is."""
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    types = {
        "bool": arrow.bool_(),
        "int64": arrow.int64(),
        "decimal128": arrow.decimal128(DIGITS_128, 0),
        "decimal256": arrow.decimal256(DIGITS_256, 0),
        "double": arrow.float64(),
        "string": arrow.string(),
    }
    columns = [Column() for _ in output.columns]
    for lines in whole_lines(output.read()):
        look(columns, lines)
        yield b""  # nothing comes yet, in pieces, so that its time can end
    kinds = [column.kind for column in columns]
    named = zip(distinct(output.columns), kinds, strict=True)
    schema = arrow.schema([(name, types[kind]) for name, kind in named])
    sink, tables, size = Sink(), [], 0
    with parquet.ParquetWriter(sink, schema) as writer:
        for lines in whole_lines(output.read()):
            tables.append(arrow.table(cells_of(lines, kinds), schema=schema))
            size += len(lines)
            if size >= GROUP_BYTES:
                writer.write_table(arrow.concat_tables(tables))
                tables, size = [], 0
            yield sink.taken()
        if tables:
            writer.write_table(arrow.concat_tables(tables))
    yield sink.taken()


def cells_of(lines: bytes, kinds: list[str]) -> list[list[Any]]:
    """The cells of each column, as its kind has them."""
    return [made_cells(kind, cells) for kind, cells in zip(kinds, columns_of(lines), strict=True)]


def made_cells(kind: str, cells: Sequence[Any]) -> list[Any]:
    if AS_THEY_ARE.get(kind, frozenset()).issuperset(map(type, cells)):
        return list(cells)
    return [cell if cell is None else CELLS[kind](cell) for cell in cells]


def columns_of(lines: bytes) -> Iterable[tuple[Any, ...]]:
    return zip(*DECODER.decode_lines(lines), strict=True)


def look(columns: list[Column], lines: bytes) -> None:
    for column, cells in zip(columns, columns_of(lines), strict=True):
        column.look(cells)


def distinct(names: list[str]) -> list[str]:
    """The names, where two are the same with their place: readers look a column up by its name."""
    return [
        name if names.count(name) == 1 else f"{name} ({place})"
        for place, name in enumerate(names, 1)
    ]
