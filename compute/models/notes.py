"""A run's notes of its jobs: its state, its result, and when it ended.

The jobs decide: `refresh` reads them under a lock on the run's row, so that a note is never older
than a retry. When all chunks are done it queues, once, the task that makes one result of theirs
(`combining`), which is a job of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime

from django.db import models, transaction
from django_q.tasks import async_task

from ..computations import all_computations
from ..queue import overview
from ..queue.away import is_away
from ..queue.broker import sharing
from ..queue.models import Job, JobQuerySet, JobState
from ..queue.results import plain_result
from ..queue.text import shorten
from ..shapes import Value, shape_of
from ..values import NotKeptError
from ..words import SHOWN_CHARS, plain
from .combining import combine
from .keeping import small
from .run import Run, RunQuerySet
from .states import Progress, RunState

log = logging.getLogger(__name__)

#: How often the chunks of a run are combined without an error and without a result that is kept.
MOST_COMBINED = 5

#: The columns of a run that are a note of its jobs.
NOTED = ("state", "result", "shown", "combine_id", "trouble", "finished_at", "work_seconds")


def refresh(run: Run) -> Progress:
    """Note what the jobs say by now; returns how many chunks are where.

    Calls nothing of an author's. DoesNotExist if the run has been removed.
    """
    with transaction.atomic():
        locked = Run.objects.select_for_update().get(pk=run.pk)
        progress = locked.progress()
        if locked.state != RunState.DONE:
            judge(locked, progress)
            locked.save(update_fields=NOTED)
    for name in NOTED:  # they go with this progress, even if they are out of date by now
        setattr(run, name, getattr(locked, name))
    return progress


def refresh_if_possible(run: Run) -> None:
    """The same where other runs wait for their turn: an error with this one is logged.

    A run that has been removed meanwhile needs nothing.
    """
    try:
        refresh(run)
    except Run.DoesNotExist:
        pass
    except Exception as error:
        if is_away(error):
            raise
        log.exception("%s: it can't be noted", run.task_id)


def is_out_of_date(run: Run, progress: Progress) -> bool:
    """Whether `refresh` would say something else, as far as one can tell without."""
    if not progress.settled:
        return run.state != RunState.IN_PROGRESS
    if run.state != RunState.IN_PROGRESS:
        return False
    return progress.failed > 0 or not run.everything().unsettled().exists()


def cancel(runs: RunQuerySet, by: str) -> int:
    """Withdraw what waits of these, and stop what runs; how many jobs that were.

    Of a run whose last task has just ended the next one is queued, and withdrawn, at once.
    """
    count = runs.cancel(by)
    for run in runs.unfinished().defer("result", "parameters", "given"):
        with transaction.atomic():
            refresh_if_possible(run)
            count += run.cancel(by)
    return count


# --- of many runs ----------------------------------------------------------------------


def unfinished() -> int:
    """How many runs are unfinished; those found settled are noted as such on the way."""
    settle()
    return Run.objects.filter(state=RunState.IN_PROGRESS).count()


def settle() -> None:
    """Note the end of runs whose jobs have settled, and start what combines their chunks.

    A node does so when it has settled a run's last chunk; this finds the runs of a node that
    was killed at that moment. A run that can't be noted does not keep others from it.
    """
    unsettled = Job.objects.unsettled()
    marked = Run.objects.filter(state=RunState.IN_PROGRESS).defer("result", "parameters", "given")
    marked = marked.exclude(models.Exists(unsettled.filter(group=models.OuterRef("task_id"))))
    marked = marked.exclude(models.Exists(unsettled.filter(pk=models.OuterRef("combine_id"))))
    for run in marked:
        refresh_if_possible(run)


def at_work(groups: Collection[str]) -> None:
    """Note that these groups have something to do again, whatever they had come to.

    In few statements for any number of runs, inside the transaction that queues the work: a
    `refresh` that reads older rows has noted them before this one, or waits for its commit.
    """
    runs = Run.objects.exclude(state=RunState.DONE).order_by("pk")  # no two wait in a ring
    again = {"state": RunState.IN_PROGRESS, "finished_at": None, "trouble": ""}
    for column, values_ in (("task_id", {**again, "combine_id": ""}), ("combine_id", again)):
        found = runs.filter(**{f"{column}__among": groups}).select_for_update()
        pks = list(found.values_list("pk", flat=True))
        Run.objects.filter(pk__among=pks).update(**values_)


# --- what the jobs say -----------------------------------------------------------------


def judge(run: Run, progress: Progress) -> None:
    """Set state and outcome to what the jobs say; queues the combine task if it is time."""
    run.state, run.finished_at, run.trouble = RunState.IN_PROGRESS, None, ""
    if not progress.settled:
        run.combine_id = ""
    elif progress.failed:
        end(run, run.jobs)
    elif run.chunk_size is None and take_plain_result(run):
        run.finished_at = ended_at(run, run.jobs)
    else:
        look_at_combining(run)
    if run.finished_at:
        run.work_seconds = overview.pace(run.task_id).work


def end(run: Run, jobs: JobQuerySet, prefix: str = "") -> None:
    """End it without a result, as one of these jobs ended."""
    cancelled = jobs.filter(state=JobState.CANCELLED).first()
    run.state = RunState.CANCELLED if cancelled else RunState.ERROR
    run.trouble = (f"{prefix}{cancelled.error}" if cancelled else prefix)[:500]
    run.finished_at = ended_at(run, jobs)


def ended_at(run: Run, jobs: JobQuerySet) -> datetime:
    last: datetime | None = jobs.aggregate(last=models.Max("finished_at"))["last"]
    return last or run.created_at


def take_plain_result(run: Run) -> bool:
    """Take a single task's result as it is, if that needs no code of an author's: a small value,
    and none that has a shape to be shown as, which a worker writes."""
    computation = all_computations().get(run.computation)
    if computation and computation.show is not plain:
        return False
    found = plain_result(run.task_id)
    if found is None or not isinstance(shape_of(found[0]), Value):
        return False
    try:
        kept = small(found[0])
        if kept is None:
            return False
        (run.result,) = kept
    except NotKeptError as error:
        run.state, run.trouble = RunState.ERROR, str(error)[:500]
    else:
        run.state, run.shown = RunState.DONE, shorten(plain(found[0]), SHOWN_CHARS)
    return True


def look_at_combining(run: Run) -> None:
    """See how far the combine task is; queue it if there is none."""
    job = run.combine_job
    if job is None:
        queue_combining(run)
    elif job.state == JobState.DONE:  # done, and yet dropped its result
        combine_once_more(run, job)
    elif job.state == JobState.FAILED:
        one = run.chunk_size is None
        what = "its result can't be kept" if one else "the chunks' results can't be combined"
        end(run, Job.objects.filter(pk=job.pk), f"{what}: {job.error}")
    elif job.state == JobState.CANCELLED:
        end(run, Job.objects.filter(pk=job.pk))


def combine_once_more(run: Run, last: Job) -> None:
    """Queue another combine task, unless as many have ended for nothing since the chunks were done:
    the next would do no better."""
    mine = Job.objects.filter(flow=last.flow_id, name=last.name, state=JobState.DONE)
    count = mine.filter(finished_at__gte=ended_at(run, run.jobs)).count()
    if count < MOST_COMBINED:
        queue_combining(run)
    else:
        what = f"its results were combined {count} times, and each time nothing of it was kept"
        end(run, Job.objects.filter(pk=last.pk), what)


def queue_combining(run: Run) -> None:
    """Queue the combine task in the run's flow, at whose end it is alone."""
    name = f"{shorten(run.title, 80)}, combined"
    # The function and not its path: a node of the version before leaves it to others.
    run.combine_id = async_task(
        combine, run.task_id, task_name=name, broker=sharing(key=run.task_id)
    )
