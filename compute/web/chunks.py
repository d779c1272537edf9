"""A run's chunks: the page of each, and the list of all."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from ..models import Run
from ..queue import chunks
from ..queue.models import JobState
from ..values import as_json
from .base import ReplyView, find_run, parameters
from .formats import FORMATS, batches, cell_of
from .listing import Listing, taken
from .pages.chunk import chunk_context, chunk_data, named, result_data
from .pages.chunks import chunks_context, chunks_data, page_with, part_of
from .replies import page_or_json, refuse, wants_page
from .sending import NotThere


class ChunkView(ReplyView):
    """Which piece a chunk is, where and when it ran, and what it came to."""

    def get(self, request: HttpRequest, name: str = "") -> HttpResponse:
        run = find_run(request)
        if isinstance(run, HttpResponse):
            return run
        number = parameters(request).get("number", "").replace(",", "")
        if not re.fullmatch("[0-9]{1,9}", number, re.ASCII):
            return refuse(request, 400, "Give number, that of a chunk, as digits.")
        chunk = chunks.chunk(run.task_id, int(number)) if int(number) else None
        if chunk is None:
            return refuse(request, 404, there_are(run))
        if wants_page(request):
            context = {**chunk_context(request, run, chunk), "all_at": page_with(run, chunk.number)}
            return page_or_json(request, "compute/chunk.html", context, {})
        data = {**chunk_data(request, run, chunk), **result_data(request, run, chunk)}
        return page_or_json(request, "", {}, data)


def there_are(run: Run) -> str:
    if run.chunks == 0:
        return "This run has no chunks, for there was nothing to do."
    return f"There is no such chunk (any more); give a number from 1 to {run.chunks:,}."


class ChunksView(ReplyView):
    """All chunks, or those in a `state`, with arguments, times and errors: a page at a time, or,
    with `as`, all of them to take away."""

    def get(self, request: HttpRequest, name: str = "") -> HttpResponseBase:
        run = find_run(request)
        if isinstance(run, HttpResponse):
            return run
        given = parameters(request)
        state, page = given.get("state", ""), given.get("page", "1")
        if state and state not in JobState.values:
            return refuse(request, 400, f"Give as state one of {', '.join(JobState.values)}.")
        if "as" in given:
            return self.take(request, run, given.get("as", ""), state)
        if not re.fullmatch("[0-9]{1,9}", page, re.ASCII) or not int(page):
            return refuse(request, 400, "Give page as a whole number, from 1.")
        part = part_of(run, state, int(page))
        if wants_page(request):
            context = chunks_context(request, run, part)
            return page_or_json(request, "compute/chunks.html", context, {})
        return page_or_json(request, "", {}, chunks_data(request, run, part))

    def take(self, request: HttpRequest, run: Run, wanted: str, state: str) -> HttpResponseBase:
        if wanted not in WRITERS:
            return refuse(request, 400, f"Give as={' or as='.join(WRITERS)}.")

        def make() -> Iterator[bytes]:
            found = chunks.in_order(run.task_id, state)
            return WRITERS[wanted](chunk_data(request, run, each) for each in found)

        filename = f"{run.title}, list of chunks.{FORMATS[wanted].ending}"
        # The one who asks may read more of it than others.
        key = ("chunks", wanted, state, str(request.user.is_staff), str(named(request, run)))
        listing = Listing(make, FORMATS[wanted].media_type, filename, True, key)
        try:
            return taken(request, run, listing)
        except NotThere as no:
            return refuse(request, no.status, str(no), headers=no.headers)


#: The columns of the list, in this order.
COLUMNS = (
    *("number", "arguments", "state", "tries", "node", "worker", "progress"),
    *("queued_at", "started_at", "finished_at", "seconds", "error"),
)


def jsonl_of(found: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for some in batches(found):
        yield "".join(f"{as_json(each)}\n" for each in some).encode()


def csv_of(found: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """As a table's; see `formats`."""
    writer = csv.writer(Echo())
    yield f"\ufeff{writer.writerow(COLUMNS)}".encode()
    for some in batches(found):
        rows = [[cell_of(each[name]) for name in COLUMNS] for each in some]
        yield "".join(map(writer.writerow, rows)).encode()


class Echo:
    """A file that hands back what is written to it."""

    def write(self, line: str) -> str:
        return line


#: How the list is written, by its name in an address.
WRITERS: dict[str, Callable[[Iterable[dict[str, Any]]], Iterator[bytes]]] = {
    "csv": csv_of,
    "jsonl": jsonl_of,
}
