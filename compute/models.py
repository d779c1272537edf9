"""What a person asked for, and what its jobs make of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from statistics import median
from typing import Any, NamedTuple

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.db.models.functions import Now
from django.urls import reverse
from django_q.tasks import async_task

from . import chunking
from .computation import Computation, sampled_speed
from .computations import all_computations
from .queue import overview
from .queue.among import among
from .queue.call import one_line, shorten
from .queue.fanout import async_iter
from .queue.models import Job, JobQuerySet, JobState, Node

log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """How many of a run's chunks are where."""

    done: int
    failed: int  # cancelled ones too: they will not become done by themselves
    total: int
    #: What the chunks at work say of themselves, each from 0 to 1, added up.
    under_way: float = 0.0

    @property
    def settled(self) -> bool:
        return self.done + self.failed == self.total

    @property
    def fraction(self) -> float:
        """How much of it all is done, from 0 to 1."""
        return (self.done + self.under_way) / self.total if self.total else 1.0


class RunState(models.TextChoices):
    IN_PROGRESS = "in-progress", "running"
    DONE = "done", "done"
    ERROR = "error", "failed"
    CANCELLED = "cancelled", "cancelled"


#: Seconds that the chunks of a run take on average if they say how fast a worker is, and
#: how many such runs are asked.
TELLING, TOLD = 0.05, 5
#: What a run notes of its jobs.
NOTED = ("state", "result", "trouble", "finished_at", "work_seconds")


class RunQuerySet(models.QuerySet["Run"]):
    def unfinished(self) -> int:
        """How many runs are unfinished; those found settled are noted as such on the way.

        A run is noted by the node that settles its last chunk; this finds what a node
        that was killed at that moment left behind.
        """
        marked = self.filter(state=RunState.IN_PROGRESS)
        unsettled = Job.objects.filter(group=models.OuterRef("task_id")).unsettled()
        for run in marked.exclude(models.Exists(unsettled)):
            run.refresh()
        return marked.count()

    def at_work(self, groups: Collection[str]) -> None:
        """Note that these groups have something to do again, whatever they had come to.

        One statement for however many runs, inside the transaction that queues it: a `refresh`
        that reads older rows has noted them before this one, or waits for its commit.
        """
        runs = self.filter(task_id__in=among(groups)).order_by("pk")  # no two in a ring
        pks = list(runs.select_for_update().values_list("pk", flat=True))
        self.filter(pk__in=among(pks, int)).update(
            state=RunState.IN_PROGRESS, finished_at=None, trouble=""
        )

    def retry(self) -> int:
        """Queue every failed chunk of these runs again; how many there were."""
        return self.jobs().filter(state=JobState.FAILED).retry()

    def cancel(self, by: str) -> int:
        """Withdraw what waits and stop what runs; how many chunks that were."""
        return self.jobs().cancel(f"cancelled by {by}")

    def jobs(self) -> JobQuerySet:
        return Job.objects.filter(group__in=self.order_by().values("task_id"))

    def speed(self, computation: Computation) -> float | None:
        """How much of its length one worker does in a second; None if nobody knows.

        The median of the last runs whose chunks were no trifles; without any, a sample.
        """
        if computation.length is None:
            return None
        told = self.filter(
            computation=computation.name,
            state=RunState.DONE,
            work_seconds__gt=TELLING * models.F("chunks"),
        )
        speeds = [
            computation.length(**run.parameters) / run.work_seconds
            for run in told.order_by("-id")[:TOLD]
            if run.work_seconds
        ]
        return median(speeds) if speeds else sampled_speed(computation)

    def best_chunk_size(
        self, computation: Computation, parameters: dict[str, Any]
    ) -> tuple[int, str]:
        """What the site chooses for something that can be cut, and why."""
        length = computation.length(**parameters) if computation.length else 1
        return chunking.best_chunk_size(
            length, self.speed(computation), Node.objects.workers() or settings.Q_WORKERS
        )

    def start(
        self, computation: Computation, parameters: dict[str, Any], chunk_size: int | None = None
    ) -> Run:
        """Queue a computation, cut into chunks if it can be; run and tasks, or nothing."""
        if computation.cut is None:
            return self.start_one(computation, computation.function, parameters)
        why = ""
        if chunk_size is None:
            chunk_size, why = self.best_chunk_size(computation, parameters)
        chunks = computation.cut(chunk_size, **parameters)
        title = computation.title(**parameters)
        with transaction.atomic():
            task_id = async_iter(computation.function, chunks, task_name=title)
            return self.note(
                task_id,
                computation,
                parameters,
                chunk_size=chunk_size,
                chunks=len(chunks),
                why=why,
            )

    def start_one(
        self, computation: Computation, function: Callable[..., Any], parameters: dict[str, Any]
    ) -> Run:
        """Queue one task that does it all, called with the parameters."""
        title = computation.title(**parameters)
        with transaction.atomic():
            task_id = async_task(function, *parameters.values(), task_name=title)
            return self.note(task_id, computation, parameters)

    def note(
        self, task_id: str, computation: Computation, parameters: dict[str, Any], **fields: Any
    ) -> Run:
        """The run of a task, or of a group of them, that has been queued."""
        title = shorten(computation.title(**parameters), 200)
        return self.create(
            task_id=task_id,
            computation=computation.name,
            parameters=parameters,
            title=title,
            **fields,
        )


class Run(models.Model):
    """One computation: a task, or a group of them, by the id that the queue gave.

    `state`, `result` and `finished_at` are a note of what the jobs say. The jobs
    decide: `refresh` reads them under a lock on this row, so that a note is never
    older than a retry.
    """

    State = RunState

    task_id = models.CharField(max_length=32, unique=True)
    computation = models.CharField(max_length=100, help_text="Its name.")
    parameters = models.JSONField(encoder=DjangoJSONEncoder)
    title = models.CharField(max_length=200)
    chunk_size = models.BigIntegerField(null=True, help_text="Empty for a run of one task.")
    chunks = models.PositiveIntegerField(default=1)
    why = models.CharField(
        max_length=300, blank=True, help_text="Why the site chose this chunk size, if it did."
    )
    sweep = models.ForeignKey(
        "Sweep", null=True, on_delete=models.SET_NULL, help_text="What tries out chunk sizes."
    )
    owner = models.CharField(
        max_length=32, blank=True, help_text="What the session that started it is known by."
    )
    client = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="For whom it counts: a session, or a hash of an address.",
    )
    address = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="A hash of the address that it counts for as well.",
    )
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        # A user can be deleted by code that does not know of this yet.
        db_constraint=False,
        help_text="Who was signed in.",
    )
    shared = models.BooleanField(
        default=False, db_default=False, help_text="Whoever has its address may look at it."
    )
    given = models.JSONField(
        null=True, help_text="What its form was filled in with: lists of texts by name."
    )
    expected_seconds = models.FloatField(
        null=True, help_text="Worker seconds that it will take, as estimated when it was started."
    )
    kept_bytes = models.BigIntegerField(
        default=0, db_default=0, help_text="About how much room its rows take."
    )
    state = models.CharField(max_length=11, choices=RunState, default=RunState.IN_PROGRESS)
    result = models.JSONField(encoder=DjangoJSONEncoder, null=True, help_text="Exact, of any size.")
    shown = models.TextField(
        blank=True, default="", db_default="", help_text="The result as people read it."
    )
    combine_id = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="The task that makes one result of the chunks'; empty until it is queued.",
    )
    trouble = models.CharField(
        max_length=500, blank=True, help_text="Why the chunks' results did not make one."
    )
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    work_seconds = models.FloatField(
        null=True, help_text="How long its chunks ran, added up; once it is done."
    )

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "-id"], name="run_state"),
            models.Index(fields=["finished_at"], name="run_finished"),  # what is old, for pruning
            models.Index(  # whose combine task has ended
                fields=["combine_id"], name="run_combine", condition=~models.Q(combine_id="")
            ),
            models.Index(fields=["created_at"], name="run_created"),  # what an hour has added
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return f"{reverse('check', args=[self.computation])}?task_id={self.task_id}"

    @property
    def took(self) -> float | None:
        """Seconds from its start to its end; None before that."""
        return (self.finished_at - self.created_at).total_seconds() if self.finished_at else None

    @property
    def status(self) -> str:
        """Its state as programs are told it, who know of no cancelling."""
        return RunState.ERROR if self.state == RunState.CANCELLED else self.state

    @property
    def jobs(self) -> JobQuerySet:
        return Job.objects.in_group(self.task_id)

    def check_it_is_there(self) -> None:
        """Raise DoesNotExist if the run has been removed since it was read.

        Asked where chunks are missing: it is removed together with them, so what would be
        said of it would be wrong.
        """
        Run.objects.only("pk").get(pk=self.pk)

    def progress(self) -> Progress:
        """How many of its chunks are where; DoesNotExist if it has just been removed."""
        if self.state == RunState.DONE:
            return Progress(self.chunks, 0, self.chunks)
        counts = self.jobs.counts()
        if sum(counts.values()) < self.chunks:
            self.check_it_is_there()
        open_ = counts[JobState.QUEUED] + counts[JobState.RUNNING]
        done = counts[JobState.DONE]
        # What is gone counts as failed: nobody will finish it.
        under_way = self.jobs.under_way() if counts[JobState.RUNNING] else 0.0
        return Progress(done, self.chunks - done - open_, self.chunks, under_way)

    def results(self) -> list[Any]:
        """One result a chunk, in the order of the ranges; only of a run that is done."""
        results = list(self.jobs.values_list("result", flat=True))
        if len(results) < self.chunks:
            self.check_it_is_there()
        return results

    def error(self) -> str | None:
        """Why the run is not done, in one line."""
        if self.state != RunState.ERROR or self.trouble:
            return self.trouble or None
        bad = self.failures()
        first = bad.first()
        if first is None:
            self.check_it_is_there()
            return "its chunks have been removed"
        if self.chunks == 1:
            return first.error
        return (
            f"{bad.count():,} of {self.chunks:,} chunks failed, the first being "
            f"number {first.number:,}: {first.error}"
        )

    def failures(self) -> JobQuerySet:
        return self.jobs.filter(state=JobState.FAILED)

    def refresh(self) -> Progress:
        """Note what the jobs say by now; tells it, too."""
        with transaction.atomic():
            run = Run.objects.select_for_update().get(pk=self.pk)
            progress = run.progress()
            if not progress.settled:
                run.state, run.finished_at, run.trouble = RunState.IN_PROGRESS, None, ""
            elif progress.failed:
                cancelled = run.jobs.filter(state=JobState.CANCELLED).first()
                run.state = RunState.CANCELLED if cancelled else RunState.ERROR
                run.trouble = cancelled.error[:500] if cancelled else ""
            elif run.state != RunState.DONE:
                run.combine()
            if progress.settled and run.finished_at is None:
                last = run.jobs.aggregate(models.Max("finished_at"))["finished_at__max"]
                run.finished_at = last or run.created_at
                run.work_seconds = overview.pace(run.task_id).work
            run.save(update_fields=NOTED)
        for name in NOTED:  # what goes with this progress, even if it is out of date by now
            setattr(self, name, getattr(run, name))
        return progress

    def note_is_out_of_date(self, progress: Progress) -> bool:
        """Whether `refresh` would say something else, as far as one can tell without."""
        if progress.settled == (self.state == RunState.IN_PROGRESS):
            return True
        # Code of another version may have noted it, which did not know what this code knows.
        unknown = self.trouble.endswith(f"KeyError: {self.computation!r}")
        return unknown and self.computation in all_computations()

    def combine(self) -> None:
        """Make one result of the chunks', which come from the database one by one."""
        try:
            computation = all_computations()[self.computation]
            results = self.jobs.values_list("result", flat=True).iterator()
            self.result = computation.combine(results)
            DjangoJSONEncoder().encode(self.result)
        except Exception as error:  # whatever the computation may raise
            log.exception("%s: its results can't be combined", self)
            self.state, self.result = RunState.ERROR, None
            self.trouble = f"the chunks' results can't be combined: {one_line(error)}"[:500]
        else:
            self.state, self.trouble = RunState.DONE, ""

    @property
    def readable(self) -> str:
        """The result as people read it."""
        computation = all_computations().get(self.computation)
        return computation.show(self.result) if computation else str(self.result)

    def retry(self) -> int:
        """Queue every failed chunk again; how many there were."""
        return Run.objects.filter(pk=self.pk).retry()

    def cancel(self, by: str) -> int:
        """Withdraw what waits and stop what runs; how many chunks that were."""
        return Run.objects.filter(pk=self.pk).cancel(by)


class Sweep(models.Model):
    """The same computation in chunks of several sizes, a run for each, one after another.

    The end of a run starts the next. A node that dies in between leaves that to whoever
    looks at the sweep: `advance` may be called at any time, by anyone.
    """

    computation = models.CharField(max_length=100)
    parameters = models.JSONField(encoder=DjangoJSONEncoder)
    sizes = models.JSONField(help_text="Chunk sizes, in the order of their runs.")
    owner = models.CharField(max_length=32, blank=True)
    client = models.CharField(max_length=32, blank=True, default="", db_default="")
    address = models.CharField(max_length=32, blank=True, default="", db_default="")
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
    )
    given = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    ended = models.BooleanField(default=False)

    objects: models.Manager[Sweep] = models.Manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.computation}, {len(self.sizes)} chunk sizes"

    def advance(self) -> None:
        """Start the next run unless one is at work; a run that did not succeed ends it all."""
        with transaction.atomic():
            sweep = Sweep.objects.select_for_update().get(pk=self.pk)
            states = list(Run.objects.filter(sweep=sweep).values_list("state", flat=True))
            if sweep.ended or RunState.IN_PROGRESS in states:
                return
            computation = all_computations().get(sweep.computation)
            sizes = sweep.sizes[len(states) :]
            if not sizes or not computation or set(states) - {RunState.DONE}:
                Sweep.objects.filter(pk=sweep.pk).update(ended=True)
                return
            run = Run.objects.start(computation, sweep.parameters, sizes[0])
            Run.objects.filter(pk=run.pk).update(
                sweep=sweep, owner=sweep.owner, client=sweep.client
            )


class Speed(models.Model):
    """How fast a computation's sample ran on a worker: what is known before it has runs."""

    computation = models.CharField(max_length=100, unique=True)
    sample = models.TextField(help_text="What was tried; another sample is tried anew.")
    per_second = models.FloatField(null=True, help_text="Of its length; empty until it is known.")
    asked_at = models.DateTimeField(db_default=Now())

    objects: models.Manager[Speed] = models.Manager()

    def __str__(self) -> str:
        return f"{self.computation}: {self.per_second}"
