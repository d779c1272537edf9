"""The page of all chunks of a run, or of those in a state: a hundred at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from ...models import Run
from ...queue import chunks
from ...queue.chunks import Chunk
from ...queue.models import UNSETTLED, JobState
from .chunk import address_of, chunk_data, seconds
from .run import pause

#: Chunks on a page.
PER_PAGE = 100


class Part(NamedTuple):
    """A page of them, from 1."""

    chunks: list[Chunk]
    #: Of which state they are; any if it is empty.
    state: str
    page: int
    #: How many chunks there are in each state.
    counts: dict[str, int]

    @property
    def total(self) -> int:
        return self.counts[self.state] if self.state else sum(self.counts.values())

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // PER_PAGE))

    @property
    def first(self) -> int:
        """The place of its first chunk among these, from 1."""
        return (self.page - 1) * PER_PAGE + 1


def part_of(run: Run, state: str, page: int) -> Part:
    """A page; a number that is too high gives one without chunks."""
    part = Part([], state, page, run.jobs.counts())
    if page > part.pages:
        return part
    return part._replace(chunks=chunks.part(run.task_id, state, part.first - 1, PER_PAGE))


def list_address(run: Run, **more: Any) -> str:
    """Where the list is; what is empty is left out."""
    query = {name: value for name, value in more.items() if value}
    asked = urlencode({"task_id": run.task_id, **query})
    return f"{reverse('chunks', args=[run.computation])}?{asked}"


def page_with(run: Run, number: int) -> str:
    """The page of the list that has this chunk."""
    page = (number - 1) // PER_PAGE + 1
    return list_address(run, page=page if page > 1 else None)


def chunks_data(request: HttpRequest, run: Run, part: Part) -> dict[str, Any]:
    data: dict[str, Any] = {
        "chunks": [chunk_data(request, run, each) for each in part.chunks],
        "count": part.total,
        "page": part.page,
        "pages": part.pages,
    }
    if part.page < part.pages:
        following = list_address(run, state=part.state, page=part.page + 1)
        data["next"] = request.build_absolute_uri(following)
    return data


def chunks_context(request: HttpRequest, run: Run, part: Part) -> dict[str, Any]:
    now = timezone.now()
    at_work = any(part.counts[state] for state in UNSETTLED)
    return {
        "run": run,
        "part": part,
        "last": part.first - 1 + len(part.chunks),
        "tabs": tabs_of(run, part),
        "rows": [row_of(request, run, each, now) for each in part.chunks],
        "pages": pages_of(run, part),
        "here": list_address(run, state=part.state, page=part.page),
        "every": 2 * pause((now - run.created_at).total_seconds()) if at_work else None,
        "downloads": [
            (word, list_address(run, state=part.state, **{"as": form}))
            for word, form in (("CSV", "csv"), ("JSON lines", "jsonl"))
        ],
    }


def tabs_of(run: Run, part: Part) -> list[tuple[str, str, int, str]]:
    """Of all, of each state that occurs, and of that which is shown: the state, a word for it,
    how many chunks it has, and where they are."""
    tabs = [("", "all", sum(part.counts.values()), list_address(run))]
    for state, count in part.counts.items():
        if count or state == part.state:
            tabs.append((state, state, count, list_address(run, state=state)))
    return tabs


def row_of(request: HttpRequest, run: Run, chunk: Chunk, now: datetime) -> dict[str, Any]:
    """A chunk as this client may know it. How long it took, up to now if it is at work."""
    begun = chunk.started_at if chunk.state != JobState.QUEUED else None
    end = now if chunk.state == JobState.RUNNING else chunk.finished_at
    return {
        **chunk_data(request, run, chunk),
        "at": address_of(run, chunk.number),
        "begun": begun,
        "took": seconds(begun, end),
    }


def pages_of(run: Run, part: Part) -> list[tuple[str, str, str]]:
    """Links to other pages: the word, the relation to this one, and the address."""
    pages = []
    if part.page > 1:
        back = min(part.page - 1, part.pages)
        pages += [("First", "", 1), ("Previous", "prev", back)]
    if part.page < part.pages:
        pages += [("Next", "next", part.page + 1), ("Last", "", part.pages)]
    return [
        (word, relation, list_address(run, state=part.state, page=page if page > 1 else None))
        for word, relation, page in pages
    ]
