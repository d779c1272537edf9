"""The page of a run: how far it is, what its workers did, what failed."""

from __future__ import annotations

from math import inf
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from ...computations import all_computations
from ...given import Given
from ...models import Progress, Run, retries
from ...models.outlook import outlook
from ...models.run import NAME_CHARS, NOTE_CHARS
from ...models.upload import ids_of
from ...queue import overview
from ...queue.models import Job, JobState, Node
from ...queue.sharing import Priority
from .. import pictures
from ..masking import shown_to
from ..owners import may_manage, sees_all
from .base import seconds_between, site_context
from .chunk import address_of, named
from .clicks import clicks_context
from .failures import failures_context, mended_by, only_combining_is_left
from .outputs import outputs_context
from .parameters import parameters_context
from .partial import partial_context

#: Pairs of an age and a pause: while a run is younger, its page asks after each such pause.
PAUSES_S = ((60, 1), (600, 2), (inf, 5))
#: Characters behind the "?" of an address; a web server takes about twice as many.
QUERY_CHARS = 2_000
#: Up to how many chunks the timeline tells each: while it is asked for every few seconds, and
#: after the run's end.
TOLD_LIVE, TOLD_ENDED = 60, 400
#: About how many bars there are in a timeline of more chunks than that.
BARS = 500


def pause(seconds: float | None) -> int:
    """Seconds between two looks at a run that has been at work for so long. A hundred pages
    that are open for hours shall not take what the run needs."""
    return next(every for below, every in PAUSES_S if (seconds or 0) < below)


def run_context(request: HttpRequest, run: Run, progress: Progress) -> dict[str, Any]:
    """The context of a run's page, and of the part of it that is asked for again."""
    pace = overview.pace(run.task_id)
    computation = all_computations().get(run.computation)
    length = run.length() or 0
    running = run.state == Run.State.IN_PROGRESS
    fraction = pace.fraction if running else progress.fraction
    combining = combining_context(run, progress)
    steered = steering_context(request, run)
    queued = running and not pace.begun and not steered["paused"]
    word = "paused" if steered["paused"] else "queued" if queued else run.get_state_display()
    moves = running and not (queued or steered["paused"])
    may_repeat = sees_all(request) or may_manage(request, run)
    return {
        **site_context(request),
        "run": run,
        "running": running,
        "every": pause(pace.elapsed),
        "progress": progress,
        **combining,
        "queued": queued,
        "word": word,
        "outlook": outlook(run, pace),
        "pace": pace,
        "fraction": fraction,
        "rate": rate(run, pace, length * fraction),
        "unit": computation.unit if computation else "",
        "error": shown_to(request, run.error()),
        "declared": computation is not None,
        "chunked": bool(length),
        "query": query_of(run.filled_in(), run) if length else "",
        **grid_context(run),
        **outputs_context(request, run),
        **partial_context(request, run, computation, progress, steered["flow"]),
        **clicks_context(run, computation, may_repeat),
        "announce": f"{run}: {fraction_in_words(fraction) if moves else word}",
        **steered,
        "may_combine": may_manage(request, run) and only_combining_is_left(run, progress),
        "again_by": "" if may_manage(request, run) else mended_by(run, progress),
        "tells_mistakes": settings.DEBUG or request.user.is_staff,
        "may_repeat": may_repeat,
        "can_go_on": retries.can_go_on(run),
        "private": settings.RUNS_PRIVATE,
        "address": request.build_absolute_uri(run.get_absolute_url()),
    }


def rate(run: Run, pace: overview.Pace, done: float) -> float:
    """How much of its length was done in each second in which a worker was at it."""
    if not (done and pace.elapsed):
        return 0.0
    return done / (overview.busy(overview.spans(run.task_id, pace.elapsed / BARS)) or pace.elapsed)


def tells_each(run: Run) -> bool:
    """Whether each chunk has a bar and a link of its own on the run's page."""
    return run.chunks <= (TOLD_LIVE if run.state == Run.State.IN_PROGRESS else TOLD_ENDED)


def grid_context(run: Run) -> dict[str, Any]:
    """A cell for each chunk, if there are several."""
    if run.chunks < 2:
        return {}
    letters = overview.states(run.task_id)
    grid = pictures.grid(letters)
    linked = letters if tells_each(run) else ""
    return {
        "grid": grid,
        "cells": [
            (pictures.cell(number, grid.columns), overview.LETTERS[letter])
            for number, letter in enumerate(linked, 1)
        ],
        "chunk_at": address_of(run),
    }


def steering_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    """The line in which an unfinished run waits, whether that is paused, and who may do what."""
    flow = run.flow.first() if run.state == Run.State.IN_PROGRESS else None
    return {
        "flow": flow,
        "paused": flow is not None and (flow.paused or flow.kind_paused),
        "priorities": Priority.values if flow and request.user.is_staff else [],
        "may_manage": may_manage(request, run),
    }


def cancel_context(run: Run) -> dict[str, Any]:
    """What the end of a run would cost."""
    return {"action": "cancel", "run": run, "pace": overview.pace(run.task_id), "spent": run.spent}


def combining_context(run: Run, progress: Progress) -> dict[str, Any]:
    """The task that combines the chunks, while it waits or runs, and for how many seconds."""
    job = run.combine_job if run.is_combining(progress) else None
    since = job.started_at if job and job.state == Job.State.RUNNING else None
    seconds = seconds_between(since, timezone.now()) if since else None
    return {"combining": job, "combining_for": seconds}


def fraction_in_words(fraction: float) -> str:
    """Quarters only: a screen reader is not to be told every second."""
    return f"{int(fraction * 4) * 25} % done"


def timeline_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    """The timeline of a run's workers: one bar a chunk unless there are very many.

    With RUNS_PRIVATE the names of nodes are for the run's owner and staff.
    """
    running = run.state == Run.State.IN_PROGRESS
    grain = 0.0
    told = tells_each(run)
    if not told:
        length = seconds_between(run.created_at, run.finished_at or timezone.now())
        grain = length * max(2, Node.objects.workers()) / BARS
    timeline = pictures.timeline(overview.spans(run.task_id, grain))
    nodes = Node.objects.in_bulk({lane.node for lane in timeline.lanes})
    return {
        "run": run,
        "running": running,
        "timeline_every": 2 * pause(timeline.seconds),
        "timeline": timeline,
        "told": told,
        "chunk_at": address_of(run),
        **legend(timeline),
        "named": named(request, run),
        "nodes": [
            (nodes.get(name), [lane for lane in timeline.lanes if lane.node == name])
            for name in dict.fromkeys(lane.node for lane in timeline.lanes)
        ],
    }


def rest_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    """The context of what is below a run's progress, and stays as it is while that is asked for."""
    return {
        "name_chars": NAME_CHARS,
        "note_chars": NOTE_CHARS,
        "files": run.uploads.all() if ids_of(run) else (),
        **parameters_context(run),
        **failures_context(request, run),
        **timeline_context(request, run),
    }


def legend(timeline: pictures.Timeline) -> dict[str, Any]:
    """What the marks of a timeline mean, of those that it has."""
    bars = [bar for lane in timeline.lanes for bar in lane.bars]
    return {
        "states": [state for state in JobState.values if any(bar.state == state for bar in bars)],
        "again": any(bar.attempt > 1 for bar in bars),
    }


def query_of(given: Given, run: Run | None) -> str:
    """A form's texts as the query of an address; if they are too long for one, the id of a run
    that has the same."""
    query = urlencode({name: texts or [""] for name, texts in given.items()}, doseq=True)
    if run is None or len(query) <= QUERY_CHARS:
        return query
    return urlencode({"task_id": run.task_id})
