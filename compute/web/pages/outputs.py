"""What a run, or a chunk, has come to, shown as what it is, with its downloads beside it.

Of what is large only the part is read that is shown: a page of a table, the beginning of a text,
the points of a line.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest

from ...models import Run
from ...models.keeping import in_short
from ...models.output import MARKED_ROWS, Kind, Output, bytes_in_words
from ...queue.contents import Content
from ...words import plain
from .. import lines, parquet, tables
from ..outputs import address_of
from .clicks import buttons

log = logging.getLogger(__name__)

#: Characters of a result in large type, and of one that a button copies, at most.
LARGE_CHARS, COPIED_CHARS = 120, 5_000
#: Bytes of a large text that are shown.
BEGINNING = 4_000
#: Rows of all series of a page that are read to draw them, and of one at a time.
DRAWN_ROWS, STRETCH = 100_000, 5 * MARKED_ROWS
#: To so many points a small picture is enlarged, without a blur.
ENLARGED = 320
#: The words for a picture whose author has none.
WITHOUT_ALT = "The result, a picture that nobody has described"
#: How a PNG begins, and where in it its width and height stand.
PNG, PNG_SIZE = b"\x89PNG\r\n\x1a\n", slice(16, 24)

#: The forms in which a table is taken away, by the words of their links.
OF_ROWS = {"csv": "CSV", "json": "JSON", "jsonl": "JSON lines", "parquet": "Parquet"}


class Link(NamedTuple):
    text: str
    address: str


class Place(NamedTuple):
    """Where outputs are looked at, and where they are taken away; each an address with a query."""

    page: str
    results: str

    def result(self, output: Output, form: str) -> str:
        """An output in a form: csv, json, jsonl, parquet or file."""
        name = {"name": output.name} if output.name else {}
        return f"{self.results}&{urlencode({**name, 'as': form})}"

    def rows(self, output: Output, asked: tables.Asked) -> str:
        """The page with other rows of an output."""
        name = {"output": output.name} if output.name else {}
        query = urlencode({**name, **asked.query()})
        return f"{self.page}{'&' if query else ''}{query}#{anchor(output)}"


def anchor(output: Output) -> str:
    return f"output-{output.position + 1}"


def outputs_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    """What a run that is done has come to: outputs, words, or both."""
    if run.state != Run.State.DONE:
        return {}
    outputs = list(run.outputs.all())
    found = all_shown(request, outputs, Place(run.get_absolute_url(), address_of(run)))
    if says_no_more(run, outputs, found):
        return {"outputs": found}
    return {"outputs": found, "in_words": in_words(run.result, run.readable)}


def says_no_more(run: Run, outputs: list[Output], found: list[dict[str, Any]]) -> bool:
    """Whether a run's words are not its author's, but say in short what its outputs are."""
    if not outputs:
        return False
    words = run.readable
    drawn = any(output.kind == Kind.SERIES for output in outputs)
    return (
        words == in_short(outputs)
        or (words == plain(run.result) and not drawn)
        or any(words[:100] == each.get("beginning", "")[:100] for each in found)
    )


def in_words(result: Any, text: str) -> dict[str, Any]:
    """A result that is there, by its text: large if it is short, and to be copied if it is not
    long."""
    number = isinstance(result, int | float) and text == plain(result)
    return {
        "text": text,
        "large": len(text) <= LARGE_CHARS and "\n" not in text,
        # A number is copied as programs write it, without the commas.
        "copied": None if len(text) > COPIED_CHARS else str(result) if number else text,
    }


def all_shown(request: HttpRequest, outputs: list[Output], place: Place) -> list[dict[str, Any]]:
    """Outputs as `_output.html` takes them."""
    drawn = sum(output.kind == Kind.SERIES for output in outputs)
    asked, name = tables.asked_of(request.GET), request.GET.get("output", "")
    return [
        shown(
            output,
            place,
            asked if output.name == name else tables.Asked(),
            DRAWN_ROWS // max(1, drawn),
        )
        for output in outputs
    ]


def shown(output: Output, place: Place, asked: tables.Asked, drawn: int) -> dict[str, Any]:
    """An output; one that has just been removed is said to be."""
    here = {
        "output": output,
        "id": anchor(output),
        "downloads": list(downloads(output, place)),
        "size": bytes_in_words(output.size),
    }
    try:
        if output.kind == Kind.SERIES:
            here["series"] = series(output, drawn)
            here["as_table"] = place.rows(output, tables.Asked(as_table=True))
        if output.kind == Kind.TABLE or (output.kind == Kind.SERIES and asked.as_table):
            here["table"] = table(output, place, asked)
        elif output.kind == Kind.PICTURE:
            here["picture"] = picture(output, place)
        elif output.kind in (Kind.VALUE, Kind.TEXT):
            here["beginning"] = beginning(output)
            here["cut"] = output.size > BEGINNING
    except (Content.DoesNotExist, LookupError) as error:  # a run is pruned while it is looked at
        log.info("%s, of a run that is looked at, can't be read: %r", output, error)
        here["gone"] = True
    return here


def downloads(output: Output, place: Place) -> Iterator[Link]:
    """The forms in which it can be taken away; as Parquet where this site can write that."""
    size = bytes_in_words(output.size)
    if output.kind in (Kind.TABLE, Kind.SERIES):
        for form, word in OF_ROWS.items():
            if form != "parquet" or parquet.is_there():
                yield Link(word, place.result(output, form))
    elif output.kind == Kind.VALUE:
        yield Link(f"JSON, {size}", place.result(output, "json"))
    else:
        yield Link(f"{word_of(output)}, {size}", place.result(output, "file"))


def word_of(output: Output) -> str:
    """A picture by its format, as people call it; else what it is."""
    if output.kind != Kind.PICTURE:
        return str(output.get_kind_display())
    kind = output.media_type.partition("/")[2].partition("+")[0]
    return {"webp": "WebP"}.get(kind, kind.upper())


# --- each as what it is ----------------------------------------------------------------------


def table(output: Output, place: Place, asked: tables.Asked) -> dict[str, Any]:
    """A page of it, and the addresses of others."""
    total = output.rows or 0
    page = tables.table_page(asked, output.columns, total, output.size, output.read_rows)
    unsorted = page.asked._replace(first=1, sort=0)
    return {
        "page": page,
        "columns": [
            (column, place.rows(output, column.turned) if page.sortable and total > 1 else None)
            for column in page.columns
        ],
        "pages": {name: place.rows(output, other) for name, other in page.pages.items()},
        "unsorted": place.rows(output, unsorted) if page.asked.sort else None,
        "most_rows": tables.SORTED_ROWS,
        "most_bytes": bytes_in_words(tables.SORTED_BYTES),
    }


def series(output: Output, most: int) -> dict[str, Any]:
    """Its drawing, of so many rows at most."""
    rows, count = read_in_part(output.read_rows, output.rows or 0, most)
    names = output.columns[1:]
    return {
        "drawing": lines.draw(rows, names, count),
        "names": names if names != ["y"] else [],
        "more_lines": max(0, len(names) - lines.MOST_LINES),
        "read": count,
    }


def read_in_part(
    read: Callable[[int, int], Iterable[Sequence[Any]]], total: int, most: int
) -> tuple[Iterable[Sequence[Any]], int]:
    """Rows to draw, and how many those are: all, or stretches from the first to the last."""
    if total <= most:
        return read(0, total), total
    count = max(2, most // STRETCH)
    starts = [number * (total - STRETCH) // (count - 1) for number in range(count)]
    parts = (read(start, start + STRETCH) for start in starts)
    return chain.from_iterable(parts), count * STRETCH


def picture(output: Output, place: Place) -> dict[str, Any]:
    """Its address, and its size if its first bytes say that in a simple way."""
    told = output.alt or output.name or WITHOUT_ALT
    found = {"address": place.result(output, "file"), "alt": told}
    begin = b"".join(output.read(0, PNG_SIZE.stop))
    if not begin.startswith(PNG) or len(begin) < PNG_SIZE.stop:
        return found
    width, height = struct.unpack(">II", begin[PNG_SIZE])
    times = max(1, ENLARGED // max(1, width, height))
    size = {"width": width * times, "height": height * times, "pixels": times > 1}
    return {**found, **size, "buttons": buttons(width, height)}


def beginning(output: Output) -> str:
    """The first characters of a text, or of a value's JSON."""
    return b"".join(output.read(0, BEGINNING)).decode("utf-8", "ignore")
