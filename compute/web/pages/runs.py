"""The list of runs: all, or those of one computation, narrowed down as the address says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db import models
from django.db.models.functions import Cast, Left
from django.http import HttpRequest, QueryDict
from django.urls import reverse

from ...computation import Computation
from ...computations import all_computations
from ...models import Run
from ...models.notes import refresh_if_possible
from ...queue.models import UNSETTLED, Job
from ..owners import listed, sees_all
from .base import site_context

RUNS_PER_PAGE = 20
#: Characters of a result in a list, at most.
BEGINNING = 60


def runs_context(request: HttpRequest, computation: Computation | None = None) -> dict[str, Any]:
    """What a page with the list of runs shows: all, or those of one computation.

    The address may narrow it down: `state`, and `q`, an id, a parameter or part of a title.
    """
    asked = request.GET if request.method == "GET" else QueryDict()
    runs, search = listed(request), asked.get("q", "").replace("\0", "").strip()[:200]
    if computation:
        runs = runs.filter(computation=computation.name)
    if search:
        runs = runs.filter(matching(search))
    counts = dict(runs.order_by().values_list("state").annotate(models.Count("pk")))
    state = asked.get("state", "")
    tabs = [("", "all", sum(counts.values()))]
    tabs += [(value, label, counts.get(value, 0)) for value, label in Run.State.choices]
    if state in Run.State.values:
        runs = runs.filter(state=state)
    # Large, and of no use in a list; of results that older code has noted the beginning.
    runs = runs.defer("result", "parameters", "given")
    runs = runs.annotate(began=Left(Cast("result", models.TextField()), BEGINNING))
    page = Paginator(runs, RUNS_PER_PAGE).get_page(asked.get("page"))
    return {
        **site_context(request),
        "page": page,
        "tabs": tabs,
        "state": state,
        "search": search,
        "narrowed": urlencode([(name, asked[name]) for name in ("state", "q") if name in asked]),
        "rows": rows_of(page.object_list),
        "unfinished": counts.get(Run.State.IN_PROGRESS, 0),
        "theirs_alone": not sees_all(request),
        "runs_at": reverse("computation", args=[computation.name]) if computation else "/",
        "computations": all_computations().values(),
    }


def matching(search: str) -> models.Q:
    found = models.Q(task_id=search) | models.Q(title__icontains=search)
    if re.fullmatch("[0-9]{1,18}", search, re.ASCII):
        found |= models.Q(parameters__n=int(search))
    return found


def rows_of(runs: Iterable[Run]) -> list[tuple[Run, float]]:
    """Each run and how much of it is done, from 0 to 1; one query for all that are unfinished."""
    runs = list(runs)
    unfinished = [run.task_id for run in runs if run.state == Run.State.IN_PROGRESS]
    of_group = Job.objects.filter(group__in=unfinished).order_by().values_list("group")
    found = {
        group: (settled, done + (reported or 0.0))
        for group, settled, done, reported in of_group.annotate(
            settled=models.Count("pk", filter=~models.Q(state__in=UNSETTLED)),
            done=models.Count("pk", filter=models.Q(state=Job.State.DONE)),
            reported=models.Sum("progress", filter=models.Q(state=Job.State.RUNNING)),
        )
    }
    rows = []
    for run in runs:
        settled, done = found.get(run.task_id, (0, 0.0))
        if run.task_id in unfinished and settled == run.chunks and not run.combine_id:
            refresh_if_possible(run)  # the note is out of date
        rows.append((run, done / run.chunks if run.chunks else 1.0))
    return rows
