"""The removal of one run at its owner's wish, by the steps that remove what is old."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import Schedule

from .models import Partial, Run
from .models.partial import key_of
from .queue import retention as queue
from .queue.engines import engine
from .queue.logs import ids
from .queue.models import Job, JobState
from .queue.text import shorten
from .retention import SCHEDULED, remove

log = logging.getLogger(__name__)

#: Within so much time each node ends a worker whose task was cancelled. It finds it by the job's
#: row, so that has to stay as long.
STOPPING = timedelta(seconds=10)


class NotYetError(Exception):
    """The run can't be removed now. The text says why, and what to do."""


def remove_run(run: Run, by: str) -> None:
    """Remove a run that has ended, with its chunks, results, outputs and records, and log by whom.

    Its rows go at once, in one transaction; the parts of what is large go afterwards, by the
    pruning that this calls for. NotYetError for one that is at work, or part of what is.
    """
    sweep = run.sweep
    if sweep and not sweep.ended:
        raise NotYetError(
            "This run is one of several that compare chunk sizes; delete it when all have ended."
        )
    part = Partial.objects.filter(run=run).exclude(task_id="").first()
    part_id = part.task_id if part else ""
    Job.objects.filter(pk=part_id).unsettled().cancel("its run is deleted")
    stopping = Job.objects.filter(Q(group=run.task_id) | Q(pk__in=[part_id, run.combine_id]))
    stopping = stopping.filter(state=JobState.CANCELLED, started_at__isnull=False)
    if stopping.filter(finished_at__gt=Now() - STOPPING).exists():
        raise NotYetError("Its workers are being stopped; delete it in a few seconds.")
    with engine().turn(), transaction.atomic():
        removed = remove([run.task_id], timezone.now() + timedelta(days=1), dry=False)
        if not removed["runs"]:
            raise NotYetError("Somebody has just gone on with this run; look at it again.")
        if part_id:
            removed += queue.remove({part_id, key_of(run)})
        if sweep and not sweep.run_set.exists():
            sweep.delete()
        if removed["contents"] or removed["uploads"]:
            waits = Schedule.objects.filter(func=SCHEDULED, next_run__gt=timezone.now())
            waits.update(next_run=timezone.now())
    log.info("deleted: %s, by %s", shorten(str(run), 100), by, extra=ids({"id": run.task_id}))
