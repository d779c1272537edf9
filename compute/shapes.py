"""Shapes that a result can have: a table, a series, a picture, a file, or several of these by name.

A computation's `show` or `combine` returns them; the site keeps them, shows them, and lets people
take them away. Where an author says nothing, `shape_of` finds the shape. Rows and bytes may come
from a generator: they are written as they come, and never all in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from .arrays import is_array, is_frame, is_number
from .tables import Series, Table
from .values import NotKeptError, named

__all__ = ["File", "Picture", "Series", "Shape", "Shapes", "Table", "Value", "shape_of"]

#: The media types of pictures, by the bytes that they begin with (WebP has its name further on).
BEGINNINGS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
SVG = "image/svg+xml"
#: Results by name at most.
MOST_NAMES = 20
#: Bytes of a file that are read at a time.
BYTES = 64 * 1024


class Picture:
    """A PNG, JPEG, WebP or SVG; `alt` says in words what it shows.

    An SVG is kept as it is, and never runs a script on the site: a page shows it as a picture, and
    by its own address it comes in a sandbox.
    """

    def __init__(self, data: bytes, media_type: str = "image/png", alt: str = "") -> None:
        self.data = bytes(data)
        self.alt = alt
        found = media_type_of(self.data)
        if found is None and media_type == SVG and is_svg(self.data):
            found = SVG
        if found is None:
            raise NotKeptError(
                "the picture is no PNG, JPEG or WebP, and no SVG with "
                f'media_type="{SVG}"; return a File of it'
            )
        #: As its bytes say, whatever was given.
        self.media_type = found

    @property
    def name(self) -> str:
        kind = self.media_type.partition("/")[2].partition("+")[0]
        return f"picture.{'jpg' if kind == 'jpeg' else kind}"

    def pieces(self) -> Iterator[bytes]:
        yield self.data


class File:
    """Bytes under a name, to be taken away as they are.

    `data`: bytes, an iterable of bytes, an open binary file, which is closed, or the path of one on
    the worker's machine. A reduce of any size writes as it goes: `File(lines(results))`.
    """

    def __init__(
        self,
        data: bytes | Iterable[bytes] | BinaryIO | str | PathLike[str],
        name: str = "result.bin",
        media_type: str = "application/octet-stream",
    ) -> None:
        self.data = data
        self.name = name
        self.media_type = media_type

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, in pieces; once, if they come once. NotKeptError for what is none."""
        if isinstance(self.data, bytes | bytearray | memoryview):
            yield bytes(self.data)
        elif isinstance(self.data, str | PathLike):
            with Path(self.data).open("rb") as file:
                yield from read(file)
        elif hasattr(self.data, "read"):
            yield from read(self.data)
        else:
            for piece in self.data:
                if not isinstance(piece, bytes | bytearray | memoryview):
                    raise NotKeptError(f"the file is given {named(piece)}; give bytes (.encode())")
                yield bytes(piece)


def read(file: Any) -> Iterator[bytes]:
    """A file's bytes; it is closed at their end."""
    try:
        yield from iter(lambda: file.read(BYTES), b"")
    finally:
        getattr(file, "close", list)()


Shape = Table | Series | Picture | File


@dataclass(frozen=True)
class Value:
    """Anything else: a number, a text, plain data in lists and dicts."""

    value: Any


#: Several by name; "" is the name of one that is alone.
Shapes = dict[str, Shape | Value]


def shape_of(result: Any) -> Shape | Value | Shapes:
    """The shape of a result whose author says nothing; a dict of several by name.

    Looks at all items of a list. An iterator is a value, which can't be kept.
    """
    if (
        isinstance(result, Mapping)
        and len(result) <= MOST_NAMES
        and any(isinstance(part, Shape | bytes) for part in result.values())
    ):
        return {str(name): the_only_shape(part) for name, part in result.items()}
    return the_only_shape(result)


def the_only_shape(result: Any) -> Shape | Value:
    """The same of what is not several: each of these is one."""
    if isinstance(result, Table | Series | Picture | File):
        return result
    if isinstance(result, bytes | bytearray):
        data = bytes(result)
        return Picture(data) if media_type_of(data) else File(data)
    if is_frame(result) or is_grid(result):
        return Table(result)
    if isinstance(result, Mapping):
        return Table(result) if are_columns(result) else Value(result)
    if are_numbers(result):
        series = Series(result)
        series.form = "numbers"
        return series
    if isinstance(result, list | tuple) and (are_records(result) or are_rows(result)):
        return Table(result)
    return Value(result)


def are_records(rows: Sequence[Any]) -> bool:
    """Dicts with the same texts as keys."""
    first = rows[0] if rows else None
    if not isinstance(first, dict) or not first or not all(isinstance(key, str) for key in first):
        return False
    return all(isinstance(row, dict) and row.keys() == first.keys() for row in rows)


def are_rows(rows: Sequence[Any]) -> bool:
    """Two lists or tuples at least, all of the same length."""
    if len(rows) < 2 or not all(isinstance(row, list | tuple) for row in rows):
        return False
    return len(rows[0]) > 0 and all(len(row) == len(rows[0]) for row in rows)


def are_columns(columns: Mapping[Any, Any]) -> bool:
    """Lists by name, all of the same length, of two items at least."""
    lists = list(columns.values())
    if not lists or not all(isinstance(name, str) for name in columns):
        return False
    if not all(isinstance(each, list | tuple) or is_array(each, 1) for each in lists):
        return False
    return len(lists[0]) > 1 and all(len(each) == len(lists[0]) for each in lists)


def are_numbers(numbers: Any) -> bool:
    """Three numbers at least, all finite; an array may have others."""
    if is_array(numbers, 1):
        return numbers.dtype.kind in "iuf" and len(numbers) > 2
    if not isinstance(numbers, list | tuple) or len(numbers) < 3:
        return False
    return all(type(each) is int or is_finite(each) for each in numbers)


def is_finite(value: Any) -> bool:
    return is_number(value) and (isinstance(value, int) or math.isfinite(value))


def is_grid(value: Any) -> bool:
    return is_array(value, 2) and not is_frame(value) and len(value) > 0


def media_type_of(data: bytes) -> str | None:
    """The media type of a picture by its first bytes; None for what is none."""
    for beginning, media_type in BEGINNINGS.items():
        if data.startswith(beginning):
            return media_type
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def is_svg(data: bytes) -> bool:
    return b"<svg" in data[:4_096]
