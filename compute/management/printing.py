"""What a run came to, in the terminal: the beginning of a table, and where the whole is."""

from __future__ import annotations

import io
import json
from codecs import iterdecode
from collections.abc import Iterator
from shutil import get_terminal_size

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..models import Output, Run
from ..models.output import Kind
from ..queue.text import shorten
from ..values import as_json
from ..web.formats import FORMATS, cell_of, json_of
from ..web.outputs import address_of

#: Rows of a table that are printed, and characters of a cell.
ROWS, CELL_CHARS = 10, 40


def print_result(run: Run, out: OutputWrapper, err: OutputWrapper, in_json: bool) -> None:
    """Its result to `out`, and where more of it is to `err`.

    A value is JSON, as long as it may be; of a table these are the first rows, unless `in_json`.
    """
    outputs = list(run.outputs.all())
    if run.result is not None or not outputs:
        out.write(json.dumps(run.result))
    elif in_json or all(output.kind in (Kind.VALUE, Kind.TEXT) for output in outputs):
        for text in document(outputs):
            out.write(text, ending="")
        out.write()
    else:
        for output in outputs:
            if len(outputs) > 1:
                out.write(f"{output.name}:")
            out.write(beginning(output))
            more = {"name": output.name} if output.name else {}
            err.write(f"{output}; the whole is in the site at {address_of(run, **more)}")


def document(outputs: list[Output]) -> Iterator[str]:
    """One JSON document: of one output its own, of several an object by name."""
    if len(outputs) == 1:
        yield from whole(outputs[0])
        return
    for number, output in enumerate(outputs):
        yield f"{',' if number else '{'}{as_json(output.name)}:"
        yield from whole(output)
    yield "}"


def whole(output: Output) -> Iterator[str]:
    """What it is in JSON; of a picture or a file, what that is."""
    if output.kind in FORMATS["json"].kinds:
        yield from iterdecode(json_of(output).read(), "utf-8")
    else:
        said = {"filename": output.filename, "media_type": output.media_type, "bytes": output.size}
        yield as_json(said)


def beginning(output: Output) -> str:
    """The first rows; the beginning of a text or of JSON; what else it is."""
    if output.kind in (Kind.VALUE, Kind.TEXT):
        first = b"".join(output.read(0, 4_000)).decode(errors="ignore")
        return shorten(first, 1_000)
    if output.rows is None:
        return str(output)
    table = Table(box=None, pad_edge=False)
    for name in output.columns:
        table.add_column(Text(readable(name)))
    for row in output.read_rows(0, ROWS):
        table.add_row(*(Text(readable(cell_of(cell))) for cell in row))
    printed = io.StringIO()
    Console(file=printed, width=get_terminal_size().columns).print(table)
    more = output.rows - ROWS
    return printed.getvalue() + (f"… and {more:,} rows more" if more > 0 else "")


def readable(text: str) -> str:
    """A cell for a terminal, which obeys some characters."""
    return "".join(each if each.isprintable() else " " for each in shorten(text, CELL_CHARS))
