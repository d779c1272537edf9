"""The work that the workers have still to do for visitors' unfinished runs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from ..models import Run, Sweep, estimates
from ..queue.overview import uses


def unfinished_work() -> list[tuple[dict[str, Any], float]]:
    """Each unfinished run of a visitor's, and the worker seconds that are left of it.

    A run that tries a chunk size has those of the runs that will follow it, too.
    """
    runs = list(
        Run.objects.filter(state=Run.State.IN_PROGRESS)
        .exclude(address="")
        .values(
            *("task_id", "combine_id", "chunks", "expected_seconds", "sweep"),
            *("address", "client", "account"),
        )
    )
    used = uses([run[name] for run in runs for name in ("task_id", "combine_id") if run[name]])
    follow = followers({run["sweep"] for run in runs if run["sweep"]})
    works = []
    for run in runs:
        use, combining = used.get(run["task_id"]), used.get(run["combine_id"])
        expected, unknown = run["expected_seconds"], settings.UNKNOWN_CHUNK_SECONDS
        work = 0.0
        if use:
            whole = unknown * run["chunks"] if expected is None else expected
            work += estimates.left(whole, use, known=expected is not None)
            work += whole * follow.get(run["sweep"], 0)
        if combining:
            work += estimates.left(unknown, combining, known=False)
        works.append((run, work))
    return works


def followers(sweeps: set[int]) -> dict[int, int]:
    """How many runs these sweeps have still to start."""
    if not sweeps:
        return {}
    found = Sweep.objects.filter(pk__in=sweeps).annotate(started=models.Count("run"))
    return {sweep.pk: max(0, len(sweep.sizes) - sweep.started) for sweep in found}
