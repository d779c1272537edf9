"""What the pages show, gathered from the rows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest
from django_q.models import Failure

from . import pictures
from .computations import all_computations
from .models import Progress, Run
from .owners import may_manage
from .queue import overview
from .queue.call import shorten, shown
from .queue.models import Job, Node

RUNS_PER_PAGE = 20
#: How many failed chunks a run's page describes.
FAILURES_SHOWN = 10
#: Up to how many chunks the timeline tells each, while it is asked for every few seconds.
TOLD_LIVE, TOLD_ENDED = 60, 400
#: About how many bars there are in a timeline of more chunks than that.
BARS = 500


def site_context(request: HttpRequest) -> dict[str, Any]:
    """What every page with a form needs."""
    return {
        "queue_server": Node.objects.alive().exists(),
        "has_session": settings.SESSION_COOKIE_NAME in request.COOKIES,
    }


def runs_context(request: HttpRequest) -> dict[str, Any]:
    """What a page with a form and the list of runs shows."""
    return {
        **site_context(request),
        "page": Paginator(Run.objects.all(), RUNS_PER_PAGE).get_page(request.GET.get("page")),
        "computations": all_computations().values(),
    }


def run_context(request: HttpRequest, run: Run, progress: Progress) -> dict[str, Any]:
    """What the page of a run shows, and what of it is asked for again every second."""
    pace = overview.pace(run.task_id)
    computation = all_computations().get(run.computation)
    length = computation.length(**run.parameters) if computation and computation.length else 0
    running = run.state == Run.State.IN_PROGRESS
    fraction = pace.fraction if running else progress.fraction
    return {
        **site_context(request),
        "run": run,
        "running": running,
        "progress": progress,
        "pace": pace,
        "fraction": fraction,
        "rate": length * fraction / pace.elapsed if pace.elapsed else 0,
        "unit": computation.unit if computation else "",
        "declared": computation is not None,
        "chunked": bool(length),
        "grid": pictures.grid(overview.states(run.task_id)) if run.chunks > 1 else None,
        "announce": f"{run}: {fraction_in_words(fraction) if running else run.get_state_display()}",
        "may_manage": may_manage(request, run),
    }


def fraction_in_words(fraction: float) -> str:
    """Quarters only: a screen reader is not to be told every second."""
    return f"{int(fraction * 4) * 25} % done"


def timeline_context(run: Run) -> dict[str, Any]:
    """What the workers did for a run; one bar a chunk unless there are very many."""
    running = run.state == Run.State.IN_PROGRESS
    grain = 0.0
    told = run.chunks <= (TOLD_LIVE if running else TOLD_ENDED)
    if not told:
        workers = sum(Node.objects.alive().values_list("workers", flat=True))
        grain = (overview.pace(run.task_id).elapsed or 0) * max(workers, 2) / BARS
    timeline = pictures.timeline(overview.spans(run.task_id, grain))
    nodes = Node.objects.in_bulk({lane.node for lane in timeline.lanes})
    return {
        "run": run,
        "running": running,
        "timeline": timeline,
        "told": told,
        "nodes": [
            (nodes.get(name), [lane for lane in timeline.lanes if lane.node == name])
            for name in dict.fromkeys(lane.node for lane in timeline.lanes)
        ],
    }


def failures_context(run: Run) -> dict[str, Any]:
    """The first failed chunks of a run, with what django-q2 keeps of them."""
    jobs = list(run.failures()[:FAILURES_SHOWN]) if run.state == Run.State.ERROR else []
    records = Failure.objects.in_bulk([job.pk for job in jobs])
    return {"failures": [described(job, records.get(job.pk)) for job in jobs]}


def described(job: Job, record: Failure | None) -> dict[str, Any]:
    arguments = ""
    if record is not None:
        named = [f"{key}={shown(value)}" for key, value in (record.kwargs or {}).items()]
        arguments = shorten(", ".join([*map(shown, record.args or ()), *named]), 1000)
    return {"job": job, "record": record, "arguments": arguments}
