"""The page of a run: how far it is, what its workers did, what failed."""

from __future__ import annotations

from math import inf
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django_q.models import Failure

from ...computations import all_computations
from ...given import Given
from ...models import Progress, Run
from ...queue import overview
from ...queue.call import shown_arguments
from ...queue.models import Job, Node
from ...queue.text import shorten
from .. import pictures
from ..masking import shown_to
from ..owners import may_manage, sees_all
from .base import site_context

#: Up to how many seconds of a run its page asks how often, in seconds.
PAUSES = ((60, 1), (600, 2), (inf, 5))
#: Characters of a result that a button copies, at most.
COPIED = 5_000
#: Characters behind the "?" of an address; a web server takes about twice as many.
LONG = 2_000
#: How many failed chunks a run's page describes.
FAILURES_SHOWN = 10
#: Up to how many chunks the timeline tells each, while it is asked for every few seconds.
TOLD_LIVE, TOLD_ENDED = 60, 400
#: About how many bars there are in a timeline of more chunks than that.
BARS = 500


def pause(seconds: float | None) -> int:
    """Seconds between two looks at a run that has been at work for so long: a hundred pages
    that are open for hours shall not cost what the run needs."""
    return next(every for below, every in PAUSES if (seconds or 0) < below)


def run_context(request: HttpRequest, run: Run, progress: Progress) -> dict[str, Any]:
    """What the page of a run shows, and what of it is asked for again every second."""
    pace = overview.pace(run.task_id)
    computation = all_computations().get(run.computation)
    length = run.length() or 0
    running = run.state == Run.State.IN_PROGRESS
    fraction = pace.fraction if running else progress.fraction
    return {
        **site_context(request),
        "run": run,
        "running": running,
        "every": pause(pace.elapsed),
        "progress": progress,
        **combining_context(run, progress),
        "pace": pace,
        "fraction": fraction,
        "rate": length * fraction / pace.elapsed if pace.elapsed else 0,
        "unit": computation.unit if computation else "",
        "error": shown_to(request, run.error()),
        "declared": computation is not None,
        "chunked": bool(length),
        "query": query_of(run.filled_in(), run) if length else "",
        "grid": pictures.grid(overview.states(run.task_id)) if run.chunks > 1 else None,
        "announce": f"{run}: {fraction_in_words(fraction) if running else run.get_state_display()}",
        "may_manage": may_manage(request, run),
        # All chunks are done, and their results lack what makes one of them.
        "may_combine": may_manage(request, run)
        and run.state in (Run.State.ERROR, Run.State.CANCELLED)
        and progress.done == progress.total,
        "copyable": len(run.readable) < COPIED,
        "tells_mistakes": settings.DEBUG or request.user.is_staff,
        "may_repeat": sees_all(request) or may_manage(request, run),
        "private": settings.RUNS_PRIVATE,
        "address": request.build_absolute_uri(run.get_absolute_url()),
    }


def combining_context(run: Run, progress: Progress) -> dict[str, Any]:
    """The task that combines the chunks, while it waits or runs, and for how many seconds."""
    job = run.combine_job if run.is_combining(progress) else None
    since = job.started_at if job and job.state == Job.State.RUNNING else None
    seconds = (timezone.now() - since).total_seconds() if since else None
    return {"combining": job, "combining_for": seconds}


def fraction_in_words(fraction: float) -> str:
    """Quarters only: a screen reader is not to be told every second."""
    return f"{int(fraction * 4) * 25} % done"


def timeline_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    """What the workers did for a run; one bar a chunk unless there are very many.

    With RUNS_PRIVATE the names of nodes are for the run's owner and staff.
    """
    running = run.state == Run.State.IN_PROGRESS
    grain = 0.0
    told = run.chunks <= (TOLD_LIVE if running else TOLD_ENDED)
    if not told:
        length = (run.finished_at or timezone.now()) - run.created_at
        grain = length.total_seconds() * max(2, Node.objects.workers()) / BARS
    timeline = pictures.timeline(overview.spans(run.task_id, grain))
    nodes = Node.objects.in_bulk({lane.node for lane in timeline.lanes})
    return {
        "run": run,
        "running": running,
        "timeline_every": 2 * pause(timeline.seconds),
        "timeline": timeline,
        "told": told,
        "named": sees_all(request) or may_manage(request, run),
        "nodes": [
            (nodes.get(name), [lane for lane in timeline.lanes if lane.node == name])
            for name in dict.fromkeys(lane.node for lane in timeline.lanes)
        ],
    }


def failures_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    """The first failed chunks of a run, with what django-q2 keeps of them."""
    jobs = []
    if run.state == Run.State.ERROR:
        jobs = list(run.everything().filter(state=Job.State.FAILED)[:FAILURES_SHOWN])
    records = Failure.objects.in_bulk([job.pk for job in jobs])
    return {"failures": [described(request, job, records.get(job.pk)) for job in jobs]}


def described(request: HttpRequest, job: Job, record: Failure | None) -> dict[str, Any]:
    arguments = ""
    if record is not None:
        given = shown_arguments(record.args or (), record.kwargs or {})
        arguments = shorten(", ".join(given), 1000)
    return {
        "job": job,
        "name": shown_to(request, job.name),
        "error": shown_to(request, job.error),
        "record": record,
        "arguments": shown_to(request, arguments),
    }


def query_of(given: Given, run: Run | None) -> str:
    """What a form was filled in with, behind the "?" of an address; or what is too long for
    one, as the id of a run that has the same."""
    query = urlencode(given, doseq=True)
    return query if run is None or len(query) <= LONG else urlencode({"task_id": run.task_id})
