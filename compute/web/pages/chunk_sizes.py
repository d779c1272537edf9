"""The page of chunk sizes: time against chunk size, of the last runs of some parameters."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.forms import Form
from django.http import HttpRequest

from ... import chunking
from ...computation import Computation
from ...forms import given_in, parameters_of
from ...models import Run, Sweep, as_kept
from ...queue.models import Node
from .. import pictures
from ..owners import mine, sees_all
from .part import LOOK, newest
from .run import query_of

#: How many runs the plot has at most.
RUNS_PLOTTED = 100


def sweep_context(request: HttpRequest, computation: Computation, form: Form) -> dict[str, Any]:
    """Time against chunk size, of runs of these parameters; without any, an empty one. No index
    has the parameters, so the newest of the computation's runs are looked at."""
    if not (form.is_bound and form.is_valid()):
        return {"plot": None}
    given = parameters_of(form)
    length = computation.length_of(given) or 0
    theirs = models.Q() if sees_all(request) else mine(request)
    of_it = models.Q(computation=computation.name)
    alike = models.Q(parameters=as_kept(given))
    lately, searched = newest(Run.objects.filter(of_it, theirs), LOOK)
    runs, sweep = lately.filter(alike), Sweep.objects.filter(of_it, alike, theirs).first()
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
        "sweep_done": sweep.run_set.filter(state=Run.State.DONE).count() if sweep else 0,
        "searched": searched,
        "query": query_of(given_in(form), runs.first()),
    }
