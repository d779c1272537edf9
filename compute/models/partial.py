"""A run so far: what its `combine` makes of the chunks that are done, while others are at work.

Only of a computation whose `combine` makes sense of a part, and only while somebody looks: a page
asks, which queues a task, at most one at a time for a run and one every PAUSE_S. It is no task of
the run's line, at whose end it would come after all chunks: it has a line of its own, which counts
for the same client. Its words stand here, and what is larger is the run's outputs, until the
result takes their place in the write that notes it.

A part counts for nothing. A node that dies over it leaves a row here, and `tidy`, which every node
calls now and then, removes what a run that has ended needs no more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import Error, models, transaction
from django.db.models.functions import Now
from django_q.models import Task
from django_q.tasks import async_task

from ..computation import Computation
from ..computations import all_computations
from ..queue import contents, retention
from ..queue.away import is_away, persistently
from ..queue.broker import DatabaseBroker, sharing
from ..queue.engines import engine
from ..queue.models import UNSETTLED, Content, Flow, Job, JobState
from ..queue.results import in_order
from ..queue.text import one_line, shorten
from .asked import function_of
from .combining import written
from .keeping import Keeper
from .output import Output
from .run import SO_FAR, Run
from .states import Progress, RunState

log = logging.getLogger(__name__)

#: Seconds between two parts of a run at least, and after one that has failed.
PAUSE_S, REST_S = 2, 60
#: For how much of a worker's time parts of a run are made, at most, as of 1.
MOST = 0.2


class PartialQuerySet(models.QuerySet["Partial"]):
    def standing(self) -> PartialQuerySet:
        """With how far their tasks are, for `is_due`."""
        job = Job.objects.filter(pk=models.OuterRef("task_id"))
        columns = ("state", "started_at", "finished_at")
        found = {f"job_{name}": models.Subquery(job.values(name)) for name in columns}
        return self.annotate(**found, now=Now())


class Partial(models.Model):
    """What a run has come to so far; its larger part is `Run.outputs`, while it is in progress."""

    run = models.OneToOneField(
        Run,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="so_far",
        db_constraint=False,  # code of the version before, which lacks this table, may remove runs
    )
    task_id = models.CharField(
        max_length=32, blank=True, default="", help_text="The task that makes the next, or has."
    )
    asked_at = models.DateTimeField(db_default=Now(), help_text="When that was queued.")
    chunks = models.PositiveIntegerField(default=0, help_text="Of how many chunks it is.")
    shown = models.TextField(blank=True, default="", help_text="It, as people read it.")
    trouble = models.CharField(
        max_length=500, blank=True, default="", help_text="Why the last one could not be made."
    )

    objects = PartialQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["task_id"], name="partial_task", condition=~models.Q(task_id=""))
        ]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.chunks:,} chunks"

    def is_due(self) -> bool:
        """Whether another may be asked for by now; of a row that `standing` has read."""
        row: Any = self
        if row.job_state in UNSETTLED:
            return False
        ran = row.job_started_at and row.job_finished_at
        took = row.job_finished_at - row.job_started_at if ran else timedelta()
        fine = row.job_state == JobState.DONE and not self.trouble
        pause = timedelta(seconds=PAUSE_S if fine else REST_S)
        return bool(row.now - self.asked_at >= max(pause, took / MOST))


# --- asked for by a page --------------------------------------------------------------------


def ask(run: Run, progress: Progress, flow: Flow | None) -> Partial | None:
    """What the run has come to so far, if anything; queues a task for a newer one, if it is time.

    The caller has found that its computation makes sense of a part. A database that does not
    write now is no trouble of the page's: it asks again.
    """
    if not progress.done:
        return None
    found = Partial.objects.standing().filter(run=run).first()
    newer = progress.done > (found.chunks if found else 0) and not progress.settled
    if newer and (found is None or found.is_due()):
        try:
            queue(run, found, flow)
        except Error as error:
            if not is_away(error):
                raise
            log.info("%s: no part of it was asked for: %s", run, one_line(error))
    return found if found and found.chunks else None


def queue(run: Run, found: Partial | None, flow: Flow | None) -> None:
    """Queue a task for the next and remove the one before, unless somebody else has done so."""
    with engine().turn(), transaction.atomic():
        before = found.task_id if found else ""
        if found is None:
            _, is_mine = Partial.objects.get_or_create(run=run)
        else:
            is_mine = Partial.objects.filter(run=run, task_id=before).update(asked_at=Now()) > 0
        if is_mine:
            if before:
                Task.objects.filter(pk=before).delete()  # if it has failed
                Job.objects.filter(pk=before).delete()
            task_id = async_task(
                combine_part,
                run.task_id,
                task_name=f"{shorten(run.title, 80)}, so far",
                save=False,  # in django-q2's list of tasks, if it succeeds
                broker=line(run, flow),
            )
            Partial.objects.filter(run=run).update(task_id=task_id)


def line(run: Run, flow: Flow | None) -> DatabaseBroker:
    """Puts a part in a line beside the run's own, that counts for the same client."""
    broker = sharing(flow.client if flow else "", key=key_of(run), kind=flow.kind if flow else "")
    if flow and broker.share:
        broker.share = broker.share._replace(weight=flow.weight)
    return broker


def key_of(run: Run) -> str:
    return f"{SO_FAR}{run.task_id}"


# --- made by a worker -----------------------------------------------------------------------


def combine_part(task_id: str) -> None:
    """Make the part of the run with this id, and note it there.

    What an author's code raises is noted, and no failure: the chunks go on.
    """
    run = persistently(Run.objects.filter(task_id=task_id, state=RunState.IN_PROGRESS).first)
    computation = all_computations().get(run.computation) if run else None
    if run is None or computation is None or not computation.partial or is_other(run, computation):
        return
    results, keeper = Counted(in_order(task_id)), Keeper(run)
    try:
        result = computation.combine(results)
        keeper.restore()
        noted = written(keeper, computation, result)
        keeper.restore()
        persistently(partial(note, run, noted.shown, results.count, keeper.outputs))
    except Exception as error:  # whatever an author's code may raise
        if is_away(error):
            raise
        log.exception("%s: no part of it can be combined", run)
        keeper.restore()
        trouble = shorten(one_line(error), 500)
        persistently(lambda: Partial.objects.filter(run=run).update(trouble=trouble))
    finally:
        keeper.discard()  # what does not count


def is_other(run: Run, computation: Computation) -> bool:
    """Whether this node's code has the computation with another function."""
    return bool(run.function) and run.function != function_of(computation)


class Counted:
    """Results as they come, and how many have."""

    def __init__(self, results: Iterator[Any]) -> None:
        self.results = results
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        result = next(self.results)
        self.count += 1
        return result


def note(run: Run, shown: str, chunks: int, outputs: list[Output]) -> None:
    """Put a part in the place of the one before, unless the run has ended, or has a newer one."""
    replaced: set[str] = set()
    with engine().turn(), transaction.atomic():
        # As long as this is locked no result can be noted.
        going_on = Run.objects.select_for_update().filter(pk=run.pk, state=RunState.IN_PROGRESS)
        mine = Partial.objects.filter(run=run, chunks__lte=chunks)
        if going_on.values_list("pk").first() and mine.update(
            chunks=chunks, shown=shown, trouble=""
        ):
            kept = [output.content_id for output in outputs]
            replaced = {*run.outputs.values_list("content_id", flat=True)}.difference(kept)
            Content.objects.filter(pk__in=replaced).give_up()
            run.outputs.all().delete()
            for output in outputs:
                output.pk = None  # if this is done once more, after an answer that was lost
            Output.objects.bulk_create(outputs)
    contents.remove(replaced)


# --- and after its end ----------------------------------------------------------------------


def tidy() -> None:
    """Remove the tasks of parts of runs that have ended; of one that has a result all."""
    going_on = Run.objects.filter(pk=models.OuterRef("run"), state=RunState.IN_PROGRESS)
    mine = models.Q(pk=models.OuterRef("task_id")) | models.Q(pk=models.OuterRef("run__combine_id"))
    at_work = Job.objects.filter(mine).unsettled()
    over = Partial.objects.exclude(task_id="").exclude(models.Exists(going_on))
    for each in over.exclude(models.Exists(at_work)).select_related("run"):
        with engine().turn(), transaction.atomic():
            retention.remove({each.task_id, key_of(each.run)})
        row = Partial.objects.filter(pk=each.pk, task_id=each.task_id)
        if each.run.state == RunState.DONE:
            shown = Output.objects.filter(run=each.run).values("content_id")
            written = Content.objects.filter(holder=each.run.task_id).exclude(pk__in=shown)
            written.give_up()  # by workers that died over a part
            row.delete()
        else:
            row.update(task_id="")
