"""A run's chunks: the page of each, and the list of all to take away."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from ..models import Run
from ..queue import chunks
from ..queue.models import JobState
from ..values import as_json
from .base import ReplyView, find_run, parameters
from .formats import FORMATS, batches, cell_of
from .pacing import in_time
from .pages.chunk import chunk_context, chunk_data, result_data
from .replies import of_two_shapes, page_or_json, refuse, wants_page
from .sending import disposition


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
            context = chunk_context(request, run, chunk)
            return page_or_json(request, "compute/chunk.html", context, {})
        data = {**chunk_data(request, run, chunk), **result_data(request, run, chunk)}
        return page_or_json(request, "", {}, data)


def there_are(run: Run) -> str:
    if run.chunks == 0:
        return "This run has no chunks, for there was nothing to do."
    return f"There is no such chunk (any more); give a number from 1 to {run.chunks:,}."


class ChunksView(ReplyView):
    """All chunks with arguments, times and states, one a line: streamed, however many."""

    def get(self, request: HttpRequest, name: str = "") -> HttpResponseBase:
        run = find_run(request)
        if isinstance(run, HttpResponse):
            return run
        given = parameters(request)
        wanted, state = given.get("as", "jsonl"), given.get("state", "")
        if wanted not in WRITERS:
            return refuse(request, 400, f"Give as={' or as='.join(WRITERS)}.")
        if state and state not in JobState.values:
            return refuse(request, 400, f"Give as state one of {', '.join(JobState.values)}.")
        filename = f"{run.title}, list of chunks.{FORMATS[wanted].ending}"
        headers = {
            "Content-Type": FORMATS[wanted].media_type,
            "Content-Disposition": disposition(filename, attached=True),
        }
        if request.method == "HEAD":
            return of_two_shapes(HttpResponse(headers=headers))
        found = (chunk_data(request, run, each) for each in chunks.in_order(run.task_id, state))
        response = StreamingHttpResponse(in_time(WRITERS[wanted](found)), headers=headers)
        response["Cache-Control"] = "no-store"
        return response


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
