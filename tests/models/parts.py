"""Runs of a computation `odd`, whose `combine` makes sense of a part, amid their work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models.functions import Now

from compute.models import Partial, Run
from compute.queue.models import Flow, Job, JobQuerySet
from tests.conftest import run_queued, started
from tests.models.uncombined import START, Declare


def begun(declare: Declare, done: int = 3, **fields: Any) -> Run:
    """A run of ten chunks, of which so many are done: 4, 4, 2, 2, 3, 2, 2, 3, 2 and 1, together
    25. What is queued for it besides is claimed before the others."""
    declare(**{"name": "odd", "partial": True, **fields})
    run = started(START, n=100, chunk_size=10)
    run_queued(done)
    Flow.objects.filter(key=run.task_id).update(served=1)
    return run


def parts(run: Run) -> JobQuerySet:
    """The tasks that make, or have made, a part of it."""
    return Job.objects.filter(name=f"{run}, so far")


def let_pass(seconds: float, took: float = 0) -> None:
    """Have so much time gone by since parts were asked for, each of which took so long."""
    ended = Job.objects.filter(name__endswith=", so far").exclude(finished_at=None)
    ended.update(started_at=models.F("finished_at") - timedelta(seconds=took))
    Partial.objects.update(asked_at=Now() - timedelta(seconds=seconds))
