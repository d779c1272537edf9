"""A worker writes what a run came to: each shape to a content of its own, as its rows or bytes
come.

Nothing of it counts until `combining.note` says so, in the transaction that ends the run. Whoever
does not get so far discards what it has written.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from itertools import islice
from typing import Any, Protocol

from django.conf import settings
from django.db import Error

from .. import values
from ..queue.contents import PART_BYTES, Writer, remove
from ..queue.leftovers import Before
from ..queue.room import TooLargeError, most_bytes
from ..queue.text import one_line, shorten
from ..shapes import File, Picture, Series, Shape, Shapes, Table, Value, shape_of
from ..values import NotKeptError
from ..writing import json_lines, pieces
from .output import MARKED_ROWS, NAME_CHARS, Kind, Output
from .run import Run

log = logging.getLogger(__name__)

#: A media type looks like this; another becomes FILE_TYPE.
MEDIA_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}", re.ASCII)
FILE_TYPE = "application/octet-stream"
#: No file's name has these: characters that some system refuses, or reads as a path.
UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u200e\u200f\u202a-\u202e\u2066-\u2069]+')


class Sink(Protocol):
    """Where a shape is written to."""

    def write(self, data: bytes, /) -> int: ...


class Keeper:
    """Writes outputs of a run, MAX_RESULT_MB in all, and discards them if they do not count.

    Made before an author's code is called, it writes nothing in a transaction that this has left
    open, which would be lost with that.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.before = Before()
        self.outputs: list[Output] = []
        self.limit = self.left = most_bytes()

    def keep(self, shapes: Shapes) -> None:
        """Write these beside what there is. NotKeptError or TooLargeError, which name the thing;
        what its rows' or bytes' own code raises comes through."""
        for name, shape in shapes.items():
            self.write(self.free(name), shape)

    def write(self, name: str, shape: Shape | Value) -> None:
        output = Output(run=self.run, position=len(self.outputs), name=name)
        self.restore()
        try:
            with Writer(self.run.task_id, self.left) as writer:
                try:
                    fill(output, writer, shape)
                finally:
                    is_lost = self.restore()
                if is_lost and writer.parts:
                    raise LookupError(f"what makes {thing(output)} left a transaction open")
                content = writer.done()
        except TooLargeError:
            beside = " with what stands beside it" if self.outputs else ""
            raise TooLargeError(
                f"{thing(output)} has over {self.limit:,} bytes{beside}, and MAX_RESULT_MB "
                f"({settings.MAX_RESULT_MB:g}) allows no more; return less"
            ) from None
        except NotKeptError as error:
            raise NotKeptError(f"{thing(output)}: {error}" if name else str(error)) from error
        output.content_id, output.size = content.pk, content.size
        self.left -= content.size
        self.outputs.append(output)

    def free(self, name: str) -> str:
        """The name in one line, or one like it that no other output has."""
        taken = {output.name for output in self.outputs}
        plain = "".join(each if each.isprintable() else " " for each in name)
        name = shorten(" ".join(plain.split()), NAME_CHARS - 4)
        names = (f"{name} {number}" for number in range(2, len(taken) + 3))
        return next(each for each in (name, *names) if each not in taken)

    def restore(self) -> bool:
        """Have the connections as they were before an author's code was called; whether it has
        left one otherwise."""
        return self.before.restore(f"the code of {self.run}")

    def discard(self) -> None:
        """Remove what was written, but for what counts by now; where that fails, it goes with the
        run. (A commit whose answer was lost may have made it count.)"""
        self.restore()
        ids = {output.content_id for output in self.outputs}
        self.outputs, self.left = [], self.limit
        if not ids:
            return
        try:
            counting = Output.objects.filter(run=self.run, content_id__in=ids)
            remove(list(ids.difference(counting.values_list("content_id", flat=True))))
        except Error as error:
            log.warning("%s: outputs that do not count stay: %s", self.run.task_id, one_line(error))


def thing(output: Output) -> str:
    """An output in a sentence: the table 'prices'."""
    return f"the {output.kind}{f' {output.name!r}' if output.name else ''}"


# --- each shape -------------------------------------------------------------------------


def fill(output: Output, sink: Sink, shape: Shape | Value) -> None:
    """Write a shape, and say of the output what it is."""
    if isinstance(shape, Table | Series):
        output.kind = Kind.TABLE if isinstance(shape, Table) else Kind.SERIES
        write_rows(output, sink, shape)
    elif isinstance(shape, Picture):
        output.kind, output.media_type = Kind.PICTURE, shape.media_type
        output.alt, output.filename = shorten(shape.alt, 1_000), shape.name
        write_bytes(sink, shape.pieces())
    elif isinstance(shape, File):
        output.kind = Kind.FILE
        known = MEDIA_TYPE.fullmatch(str(shape.media_type))
        output.media_type = known[0] if known else FILE_TYPE
        output.filename = safe_filename(str(shape.name))
        write_bytes(sink, shape.pieces())
    elif type(shape.value) is str:
        output.kind, output.media_type = Kind.TEXT, "text/plain"
        write_bytes(sink, [values.text_of(shape.value, []).encode()])
    else:
        output.kind, output.media_type = Kind.VALUE, "application/json"
        write_bytes(sink, (piece.encode() for piece in pieces(shape.value)))


def write_bytes(sink: Sink, pieces: Iterable[bytes]) -> None:
    """Large pieces a part at a time: a sink may copy what it is given."""
    for piece in pieces:
        for start in range(0, len(piece), PART_BYTES):
            sink.write(piece[start : start + PART_BYTES])


def write_rows(output: Output, sink: Sink, shape: Table | Series) -> None:
    columns, rows = shape.cells()
    output.columns = [shorten(name, NAME_CHARS) for name in columns]
    output.rows, output.marks = 0, []
    size = 0
    while block := list(islice(rows, MARKED_ROWS)):
        written = json_lines(block, output.rows).encode()
        sink.write(written)
        output.marks.append(size)
        output.rows += len(block)
        size += len(written)
    distinct = len(set(output.columns)) == len(columns)
    output.form = shape.form if distinct or shape.form == "numbers" else "rows"


def safe_filename(name: str, otherwise: str = "result.bin") -> str:
    """A file's name without what some system refuses or takes for a path; another one if nothing
    is left."""
    safe = UNSAFE.sub("_", shorten(name, NAME_CHARS)).strip(". ")
    return safe or otherwise


# --- in memory --------------------------------------------------------------------------


class Memory:
    """A sink in memory, for what is small."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def held(result: Any) -> list[Output]:
    """The outputs of a small plain result, in memory; NotKeptError for what can't be kept."""
    found = shape_of(result)
    outputs: list[Output] = []
    for name, shape in (found if isinstance(found, dict) else {"": found}).items():
        memory = Memory()
        output = Output(position=len(outputs), name=name)
        fill(output, memory, shape)
        output.held = bytes(memory.data)
        output.size = len(output.held)
        outputs.append(output)
    return outputs


# --- a value: in the run's row if it is small ---------------------------------------------


def small(value: Any) -> tuple[Any] | None:
    """A value as plain data, in a tuple, if its JSON is small; None if it is not.

    NotKeptError if it can't be kept, where that is seen within what is read.
    """
    texts: list[str] = []
    size = 0
    for piece in pieces(value):
        texts.append(piece)
        size += len(piece.encode())
        if size > values.SMALL_BYTES:
            return None
    return (json.loads("".join(texts)),)


def beginning(value: Any, chars: int) -> str:
    """How a text begins, or the JSON of another value."""
    if isinstance(value, str):
        return shorten(value[: chars + 1], chars)
    text = ""
    for piece in pieces(value):
        text += piece[: chars + 1]
        if len(text) > chars:
            break
    return shorten(text, chars)


def in_short(outputs: list[Output]) -> str:
    """What these are, for a list of runs."""
    told = "; ".join(map(str, outputs))
    return told if len(outputs) == 1 else f"{len(outputs)} results: {told}"
