"""The JSON of a table that came as columns: another order than the one in which it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import Any

from ..models import Output
from ..values import as_json
from . import recast
from .made import whole_lines


def json_of_columns(output: Output) -> Iterator[bytes]:
    """An object of lists. They are written to a temporary file in one go, in stretches of each
    column, and read from there column by column. While it is written nothing comes, in pieces."""
    keys = [as_json(name).encode() for name in output.columns]
    with TemporaryFile() as file:
        stretches: list[list[tuple[int, int]]] = [[] for _ in keys]
        for lines in whole_lines(output.read()) if keys else ():
            for found, cells in zip(stretches, recast.columns(lines, len(keys)), strict=True):
                found.append((file.tell(), len(cells)))
                file.write(cells)
            yield b""
        yield b"{"
        for place, (key, found) in enumerate(zip(keys, stretches, strict=True)):
            yield b"%b%b:[" % (b"," if place else b"", key)
            yield from column(file, found)
            yield b"]"
        yield b"}"


def column(file: Any, stretches: list[tuple[int, int]]) -> Iterator[bytes]:
    for number, (begin, length) in enumerate(stretches):
        file.seek(begin)
        yield (b"," if number else b"") + file.read(length)
