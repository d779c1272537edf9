"""The list of runs: all, or those of one computation, narrowed down as the address says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.db import models
from django.db.models.functions import Cast, Left
from django.http import HttpRequest, QueryDict
from django.urls import reverse

from ...computation import Computation
from ...models import Run
from ...models.notes import refresh_if_possible
from ...models.outlook import Outlook, lately
from ...queue.models import UNSETTLED, Flow, Job
from ..owners import listed, sees_all
from .base import site_context
from .part import STATES, Counts, in_words, part_of

#: Characters of a result in a list, at most.
BEGINNING_CHARS = 60


def runs_context(request: HttpRequest, computation: Computation | None = None) -> dict[str, Any]:
    """The context of a page with the list of runs: all, or those of one computation.

    The address may narrow it down: `state`, and `q`, an id, a parameter or part of a title. Its
    `page` is where a page begins.
    """
    asked = request.GET if request.method == "GET" else QueryDict()
    runs, search = listed(request), asked.get("q", "").replace("\0", "").strip()[:200]
    if computation:
        runs = runs.filter(computation=computation.name)
    state, page = asked.get("state", ""), asked.get("page", "")
    # Large, and of no use in a list, but for the beginning of a result that older code noted.
    runs = runs.defer("result", "parameters", "given")
    began = Left(Cast("result", models.TextField()), BEGINNING_CHARS)
    runs = runs.annotate(began=models.Case(models.When(shown="", then=began)))
    wanted = (runs, state if state in STATES else "", search, page)
    part = part_of(*wanted)
    unfinished = [run for run in part.runs if run.state == Run.State.IN_PROGRESS]
    rows = rows_of(part.runs)
    if any(run.state != Run.State.IN_PROGRESS for run in unfinished):
        # Noted just now: they count, and are found, as what they have become.
        part = part_of(*wanted)
        rows = rows_of(part.runs)
    runs_at = reverse("computation", args=[computation.name]) if computation else "/"
    narrowed = {name: asked[name] for name in ("state", "q") if name in asked}

    def address(page: str) -> str:
        told = urlencode({**narrowed, "page": page} if page else narrowed)
        return f"{runs_at}?{told}" if told else runs_at

    return {
        **site_context(request),
        "tabs": tabs_of(part.counts),
        "state": state,
        "search": search,
        "rows": rows,
        "here": address("" if part.is_first else page),
        "newest": None if part.is_first else address(""),
        "newer": address(part.newer) if part.newer else None,
        "older": address(part.older) if part.older else None,
        "searched": part.searched,
        "further": address(part.searched.further) if part.searched else None,
        "every": every(part.counts),
        "theirs_alone": not sees_all(request),
        "runs_at": runs_at,
        "runs_of": computation.name if computation else "",
    }


def every(counts: Counts | None) -> int | None:
    """Seconds after which a page asks for its list again; None for what was searched on request."""
    if counts is None:
        return None
    return 2 if counts[Run.State.IN_PROGRESS] else 10


def tabs_of(counts: Counts | None) -> list[tuple[str, str, str]]:
    """Each state, a word for it and how many runs it has, if that was counted; all before. Of what
    is unfinished a row says whether it runs, waits or is paused."""
    tabs = [("", "all", in_words(counts.values()) if counts else "")]
    for state, label in Run.State.choices:
        name = "unfinished" if state == Run.State.IN_PROGRESS else label
        tabs.append((state, name, in_words([counts[state]]) if counts else ""))
    return tabs


#: A run, how much of it is done, from 0 to 1, a word for one that is not just running, and when
#: it will start and end, if it is known.
Row = tuple[Run, float, str, Outlook | None]


def rows_of(runs: Iterable[Run]) -> list[Row]:
    """A row for each run; few queries for all of these."""
    runs = list(runs)
    unfinished = [run.task_id for run in runs if run.state == Run.State.IN_PROGRESS]
    of_group = Job.objects.filter(group__in=unfinished).order_by().values_list("group")
    found = {
        group: (settled, done + (reported or 0.0), not (settled or running))
        for group, settled, done, reported, running in of_group.annotate(
            settled=models.Count("pk", filter=~models.Q(state__in=UNSETTLED)),
            done=models.Count("pk", filter=models.Q(state=Job.State.DONE)),
            reported=models.Sum("progress", filter=models.Q(state=Job.State.RUNNING)),
            running=models.Count("pk", filter=models.Q(state=Job.State.RUNNING)),
        )
    }
    stopped = models.Q(paused=True) | models.Q(kind_paused=True)
    flows = Flow.objects.filter(stopped, key__in=unfinished)
    paused = set(flows.values_list("key", flat=True)) if unfinished else set()
    ahead = lately().outlooks() if unfinished else {}
    rows = []
    for run in runs:
        settled, done, waits = found.get(run.task_id, (0, 0.0, False))
        if run.task_id in unfinished and settled == run.chunks and not run.combine_id:
            refresh_if_possible(run)  # the note is out of date
        fraction = done / run.chunks if run.chunks else 1.0
        word = "paused" if run.task_id in paused else "queued" if waits else ""
        rows.append((run, fraction, word, ahead.get(run.task_id)))
    return rows
