"""What the pages show, gathered from the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from math import inf
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.paginator import Paginator
from django.db import models
from django.db.models.functions import Cast, Left
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ

from . import chunking, pictures, room
from .computation import Computation
from .computations import all_computations, problems
from .forms import ChunkSizeForm
from .given import Given
from .masking import shown_to
from .models import Progress, Run, Sweep, as_kept
from .owners import listed, may_manage, mine, sees_all
from .queue import overview
from .queue.call import shown_arguments
from .queue.models import UNSETTLED, Job, Node
from .queue.text import shorten

RUNS_PER_PAGE = 20
#: How long a queue server that is gone stays on the page of nodes.
LATELY = timedelta(hours=1)
#: How many runs the plot of chunk sizes has at most.
RUNS_PLOTTED = 100
#: Up to how many seconds of a run its page asks how often, in seconds.
PAUSES = ((60, 1), (600, 2), (inf, 5))
#: Characters of a result in a list, at most.
BEGINNING = 60
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


def site_context(request: HttpRequest) -> dict[str, Any]:
    """What every page with a form needs."""
    return {
        "queue_server": Node.objects.alive().exists(),
        "has_session": settings.SESSION_COOKIE_NAME in request.COOKIES,
        "full": room.told_to(request),
    }


def problems_context(request: HttpRequest) -> dict[str, Any]:
    """What was left out of the computations, and why, for those who can mend it."""
    told = settings.DEBUG or request.user.is_staff
    return {"problems": problems() if told else []}


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
            run.refresh_if_possible()  # the note is out of date
        rows.append((run, done / run.chunks if run.chunks else 1.0))
    return rows


def estimate_context(computation: Computation, given: object) -> dict[str, Any]:
    """How long it will take, in seconds, by the speed that was measured: for a length given
    as it was typed, and what a browser needs to tell it for another."""
    speed = Run.objects.speed(computation) or 0.0
    workers = Node.objects.workers() or settings.Q_WORKERS
    typed = str(given)
    length = int(typed) if re.fullmatch("[0-9]{1,18}", typed, re.ASCII) else 0
    return {
        "speed": round(speed),
        "workers": workers,
        "alone": length / speed if speed else 0.0,
        "split": length / speed / workers if speed else 0.0,
    }


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


def nodes_context(request: HttpRequest) -> dict[str, Any]:
    """The queue servers that are alive or were lately, what their workers run, what waits.

    With RUNS_PRIVATE names of nodes and hosts are for staff, and the others are told only of
    their own tasks what they are.
    """
    now = timezone.now()
    alive = set(Node.objects.alive().values_list("pk", flat=True))
    nodes = list(Node.objects.filter(seen_at__gt=now - LATELY))
    running: dict[str, list[Job]] = {}
    for job in Job.objects.filter(node__in=nodes, state=Job.State.RUNNING).order_by("worker"):
        running.setdefault(job.node_id or "", []).append(job)
    everything = sees_all(request)
    groups = {job.group for jobs in running.values() for job in jobs}
    theirs = listed(request).filter(task_id__in=groups).values_list("task_id", flat=True)
    known = groups if everything else set(theirs)
    waiting = OrmQ.objects.filter(lock__lte=now)
    oldest = Job.objects.filter(queue_id=waiting.order_by("pk").values("pk")[:1]).first()
    return {
        "now": now,
        "nodes": [
            {
                "node": node,
                "name": node.name if everything else f"Queue server {number}",
                "host": node.host if everything else None,
                "alive": node.pk in alive,
                "state": node_state(node, node.pk in alive),
                "seen": (now - node.seen_at).total_seconds(),
                "up": (now - node.started_at).total_seconds(),
                "running": [
                    {
                        "worker": job.worker if everything else None,
                        "task": shown_to(request, job.name) if job.group in known else None,
                        "seconds": (now - job.started_at).total_seconds(),
                    }
                    for job in running.get(node.pk, [])
                    if job.started_at
                ],
            }
            for number, node in enumerate(nodes, 1)
        ],
        "waiting": waiting.count(),
        "oldest": (now - oldest.queued_at).total_seconds() if oldest else None,
        "queue_server": bool(alive),
    }


def node_state(node: Node, alive: bool) -> str:
    if alive:
        return "alive"
    return "stopped" if node.stopped_at else "silent"


def sweep_context(
    request: HttpRequest, computation: Computation, form: ChunkSizeForm
) -> dict[str, Any]:
    """Time against chunk size, of every run of these parameters; without any, an empty one."""
    if not (form.is_bound and form.is_valid()):
        return {"plot": None}
    given = form.parameters
    length = computation.length_of(given) or 0
    theirs = models.Q() if sees_all(request) else mine(request)
    alike = models.Q(computation=computation.name, parameters=as_kept(given))
    runs, sweep = Run.objects.filter(alike, theirs), Sweep.objects.filter(alike, theirs).first()
    done = runs.filter(state=Run.State.DONE, chunk_size__gt=0, chunks__gt=0)
    done = done.defer("result", "shown", "given")[:RUNS_PLOTTED]
    points = [(run.chunk_size or 1, run.took or 0.0, run) for run in done]
    workers = Node.objects.workers() or settings.Q_WORKERS
    work = [run.work_seconds for run in done if run.work_seconds]
    ideal = min(work) / workers if work else 0.0
    return {
        "given": True,
        "title": computation.titled(given),
        "length": length,
        "sizes": chunking.sizes_to_try(length, workers),
        "plot": pictures.plot(points, ideal) if points else None,
        "points": sorted(points, key=lambda point: point[0]),
        "ideal": ideal,
        "workers": workers,
        "sweep": sweep,
        "sweeping": bool(sweep and not sweep.ended),
        "sweep_done": runs.filter(sweep=sweep, state=Run.State.DONE).count() if sweep else 0,
        "query": query_of(form.given, runs.first()),
    }


def query_of(given: Given, run: Run | None) -> str:
    """What a form was filled in with, behind the "?" of an address; or what is too long for
    one, as the id of a run that has the same."""
    query = urlencode(given, doseq=True)
    return query if run is None or len(query) <= LONG else urlencode({"task_id": run.task_id})
