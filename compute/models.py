"""What a person asked for, and what its jobs make of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection
from datetime import datetime
from statistics import median
from typing import Any, NamedTuple

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, InterfaceError, OperationalError, models, transaction
from django.db.models.functions import Now
from django.urls import reverse
from django_q.models import OrmQ
from django_q.tasks import async_task

from . import chunking, estimates, values
from .computation import LONGEST, Computation, ComputationError, plain, sampled_speed
from .computations import all_computations
from .given import Given
from .queue import overview
from .queue.call import UnknownHereError, path_of
from .queue.fanout import async_iter
from .queue.models import Job, JobQuerySet, JobState, Node
from .queue.results import in_order, plain_result
from .queue.text import one_line, shorten

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
NOTED = ("state", "result", "shown", "combine_id", "trouble", "finished_at", "work_seconds")


class Plan(NamedTuple):
    """A run that can be started: what an author's callables have said of it.

    Made before the transaction that queues it, so that none is held over their code.
    """

    computation: Computation
    function: Callable[..., Any]
    parameters: dict[str, Any]
    title: str
    #: The arguments of each call, and how large a chunk is; None for one task.
    chunks: list[tuple[Any, ...]]
    chunk_size: int | None = None
    length: int | None = None
    why: str = ""

    def start(self) -> Run:
        """Queue it; run and tasks, or nothing. ComputationError if its arguments can't travel."""
        try:
            with transaction.atomic():
                if self.chunk_size is None:
                    task_id = async_task(self.function, *self.chunks[0], task_name=self.title)
                else:
                    task_id = async_iter(self.function, self.chunks, task_name=self.title)
                return Run.objects.note(
                    task_id,
                    self.computation,
                    self.parameters,
                    title=self.title,
                    chunk_size=self.chunk_size,
                    chunks=len(self.chunks),
                    why=self.why,
                )
        except DatabaseError:
            raise
        except Exception as error:  # whatever pickling the arguments may raise
            raise ComputationError(
                f"{self.computation}: its tasks can't be queued: {one_line(error)}."
            ) from error


class RunQuerySet(models.QuerySet["Run"]):
    def unfinished(self) -> int:
        """How many runs are unfinished; those found settled are noted as such on the way."""
        self.settle()
        return self.filter(state=RunState.IN_PROGRESS).count()

    def settle(self) -> None:
        """Note the end of runs whose jobs have settled, and start what combines their chunks.

        A node does so when it has settled a run's last chunk; this finds what one that was
        killed at that moment left behind. A run that can't be noted keeps no other from it.
        """
        unsettled = Job.objects.unsettled()
        marked = self.filter(state=RunState.IN_PROGRESS).defer("result", "parameters", "given")
        marked = marked.exclude(models.Exists(unsettled.filter(group=models.OuterRef("task_id"))))
        marked = marked.exclude(models.Exists(unsettled.filter(pk=models.OuterRef("combine_id"))))
        for run in marked:
            run.refresh_if_possible()

    def of_groups(self, groups: set[str]) -> RunQuerySet:
        """The runs whose chunks are one of these groups, or whose combine task is."""
        mine = models.Q(task_id__among=groups) | models.Q(combine_id__among=groups)
        return self.filter(mine).defer("result", "parameters", "given")

    def at_work(self, groups: Collection[str]) -> None:
        """Note that these groups have something to do again, whatever they had come to.

        In few statements for however many runs, inside the transaction that queues it: a
        `refresh` that reads older rows has noted them before this one, or waits for its commit.
        """
        runs = self.exclude(state=RunState.DONE).order_by("pk")  # no two wait in a ring
        again = {"state": RunState.IN_PROGRESS, "finished_at": None, "trouble": ""}
        for column, values_ in (("task_id", {**again, "combine_id": ""}), ("combine_id", again)):
            found = runs.filter(**{f"{column}__among": groups}).select_for_update()
            pks = list(found.values_list("pk", flat=True))
            self.filter(pk__among=pks).update(**values_)

    def chunks(self) -> JobQuerySet:
        return Job.objects.filter(group__in=self.order_by().values("task_id"))

    def retry(self) -> int:
        """Queue every failed chunk of these runs again, and what failed to combine them; how
        many jobs."""
        return self.chunks().filter(state=JobState.FAILED).retry() + self.combine_again()

    def combine_again(self) -> int:
        """Combine once more the chunks of those whose chunks are all done, and which ended
        without a result; how many those were."""
        not_done = Job.objects.filter(group=models.OuterRef("task_id")).exclude(state=JobState.DONE)
        ended = self.filter(state__in=(RunState.ERROR, RunState.CANCELLED))
        found = ended.exclude(models.Exists(not_done)).defer("result", "parameters", "given")
        return sum(run.combine_again() for run in found)

    def cancel(self, by: str) -> int:
        """Withdraw what waits and stop what runs; how many jobs that were."""
        combining = self.exclude(combine_id="").order_by().values("combine_id")
        reason = f"cancelled by {by}"
        jobs = self.chunks().cancel(reason)
        return jobs + Job.objects.filter(pk__in=combining).cancel(reason)

    def speed(self, computation: Computation) -> float | None:
        """How much of its length one worker does in a second; None if nobody knows.

        The median of the last runs whose chunks were no trifles; without any, what a worker
        found out with the sample. A run whose length can't be told any more tells nothing.
        """
        if computation.length is None:
            return None
        told = self.filter(
            computation=computation.name,
            state=RunState.DONE,
            work_seconds__gt=TELLING * models.F("chunks"),
        )
        speeds = []
        for run in told.order_by("-id").defer("result", "shown")[:TOLD]:
            length = run.length()
            if length and run.work_seconds:
                speeds.append(length / run.work_seconds)
        return median(speeds) if speeds else Speed.objects.of(computation)

    def best_chunk_size(
        self, computation: Computation, parameters: dict[str, Any]
    ) -> tuple[int, str]:
        """What the site chooses for something that can be cut, and why."""
        length = computation.length_of(parameters)
        return chunking.best_chunk_size(
            1 if length is None else length,
            self.speed(computation),
            Node.objects.workers() or settings.Q_WORKERS,
        )

    def plan(
        self, computation: Computation, parameters: dict[str, Any], chunk_size: int | None = None
    ) -> Plan:
        """A computation cut into chunks if it can be; ComputationError if its code is wrong."""
        if computation.cut is None:
            return self.plan_one(computation, computation.function, parameters)
        why = ""
        if chunk_size is None:
            chunk_size, why = self.best_chunk_size(computation, parameters)
        chunks = computation.chunks_of(chunk_size, parameters)
        return Plan(
            computation,
            computation.function,
            parameters,
            computation.titled(parameters),
            chunks,
            chunk_size,
            computation.length_of(parameters),
            why,
        )

    def plan_one(
        self, computation: Computation, function: Callable[..., Any], parameters: dict[str, Any]
    ) -> Plan:
        """One task that does it all, called with the parameters."""
        title = computation.titled(parameters)
        return Plan(computation, function, parameters, title, [tuple(parameters.values())])

    def start(
        self, computation: Computation, parameters: dict[str, Any], chunk_size: int | None = None
    ) -> Run:
        """Queue a computation, cut into chunks if it can be; run and tasks, or nothing."""
        return self.plan(computation, parameters, chunk_size).start()

    def note(
        self, task_id: str, computation: Computation, parameters: dict[str, Any], **fields: Any
    ) -> Run:
        """The run of a task, or of a group of them, that has been queued."""
        if "title" not in fields:
            fields["title"] = computation.titled(parameters)
        run = self.create(
            task_id=task_id,
            computation=computation.name,
            function=function_of(computation),
            parameters=as_kept(parameters),
            **fields,
        )
        if not run.chunks:
            run.refresh()  # nothing will end, so nobody would be told
        elif not run.jobs.exclude(queue_id=None).exists():  # they ran in the request (`sync=True`)
            from .combining import combine

            combine(task_id)
            run.refresh_from_db()
        return run


def function_of(computation: Computation) -> str:
    """The path of its function; empty for an object that has none."""
    return (path_of(computation.function) or "")[:300]


def as_kept(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as a run's row has them."""
    return {name: values.kept_or_text(each) for name, each in parameters.items()}


class Run(models.Model):
    """One computation: a task, or a group of them, by the id that the queue gave.

    `state`, `result` and `finished_at` are a note of what the jobs say. The jobs
    decide: `refresh` reads them under a lock on this row, so that a note is never
    older than a retry. When all chunks are done it queues, once, the task that makes one
    result of theirs (`combining`), which is a job of its own, `combine_id`.
    """

    State = RunState

    task_id = models.CharField(max_length=32, unique=True)
    computation = models.CharField(max_length=100, help_text="Its name.")
    function = models.CharField(
        max_length=300,
        blank=True,
        default="",
        db_default="",
        help_text="The path of what its chunks call, by the code that started it.",
    )
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
            models.Index(fields=["owner"], name="run_owner"),  # what a session has started
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

    @property
    def combine_job(self) -> Job | None:
        """What makes one result of its chunks'; None until it is queued."""
        return Job.objects.filter(pk=self.combine_id).first() if self.combine_id else None

    def everything(self) -> JobQuerySet:
        """All its jobs: its chunks, and what combines them."""
        ids = [self.combine_id] if self.combine_id else []
        return Job.objects.filter(models.Q(group=self.task_id) | models.Q(pk__in=ids))

    def length(self) -> int | None:
        """How much there is to do, as its computation says of its parameters.

        None for what runs in one piece, and for what its code can't tell (any more).
        """
        computation = all_computations().get(self.computation)
        if computation is None or computation.length is None:
            return None
        try:
            return computation.length_of(computation.cleaned(self.given, self.parameters))
        except ComputationError:
            return None

    def filled_in(self) -> Given:
        """What the form was filled in with; ComputationError if it can't tell (any more)."""
        computation = all_computations().get(self.computation)
        return computation.filled_in(self.given, self.parameters) if computation else {}

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
        """One result a chunk, in the order of the ranges; only of chunks that are done."""
        results = [values.kept_or_text(result) for result in in_order(self.task_id)]
        if len(results) < self.chunks:
            self.check_it_is_there()
        return results

    def error(self) -> str | None:
        """Why the run is not done, in one line."""
        if self.state == RunState.DONE:
            return None
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
        """Note what the jobs say by now; tells how many chunks are where, too.

        Calls nothing of an author's. DoesNotExist if the run has been removed.
        """
        with transaction.atomic():
            run = Run.objects.select_for_update().get(pk=self.pk)
            progress = run.progress()
            if run.state != RunState.DONE:
                run.judge(progress)
                run.save(update_fields=NOTED)
        for name in NOTED:  # what goes with this progress, even if it is out of date by now
            setattr(self, name, getattr(run, name))
        return progress

    def refresh_if_possible(self) -> None:
        """The same where others wait for their turn: what is wrong with this run is logged.

        One that has been removed meanwhile needs nothing.
        """
        try:
            self.refresh()
        except Run.DoesNotExist:
            pass
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("%s: it can't be noted", self.task_id)

    def judge(self, progress: Progress) -> None:
        """Set state and outcome to what the jobs say; queues the combine task if it is time."""
        self.state, self.finished_at, self.trouble = RunState.IN_PROGRESS, None, ""
        if not progress.settled:
            self.combine_id = ""
        elif progress.failed:
            self.end(self.jobs)
        elif self.chunk_size is None and self.take_plain_result():
            self.finished_at = self.ended_at(self.jobs)
        else:
            self.look_at_combining()
        if self.finished_at:
            self.work_seconds = overview.pace(self.task_id).work

    def end(self, jobs: JobQuerySet, prefix: str = "") -> None:
        """It ends without a result, as one of these jobs did."""
        cancelled = jobs.filter(state=JobState.CANCELLED).first()
        self.state = RunState.CANCELLED if cancelled else RunState.ERROR
        self.trouble = (f"{prefix}{cancelled.error}" if cancelled else prefix)[:500]
        self.finished_at = self.ended_at(jobs)

    def ended_at(self, jobs: JobQuerySet) -> datetime:
        last: datetime | None = jobs.aggregate(last=models.Max("finished_at"))["last"]
        return last or self.created_at

    def take_plain_result(self) -> bool:
        """Take a single task's result as it is, if that needs no code of an author's."""
        computation = all_computations().get(self.computation)
        if computation and computation.show is not plain:
            return False
        found = plain_result(self.task_id)
        if found is None:
            return False
        try:
            self.result = values.kept(found[0])
        except values.NotKeptError as error:
            self.state, self.trouble = RunState.ERROR, str(error)[:500]
        else:
            self.state, self.shown = RunState.DONE, shorten(plain(found[0]), LONGEST)
        return True

    def look_at_combining(self) -> None:
        """See how far the task is that combines the chunks; queue it if there is none."""
        job = self.combine_job
        if job is None or job.state == JobState.DONE:  # done, and yet dropped its result
            self.queue_combining()
        elif job.state == JobState.FAILED:
            one = self.chunk_size is None
            what = "its result can't be kept" if one else "the chunks' results can't be combined"
            self.end(Job.objects.filter(pk=job.pk), f"{what}: {job.error}")
        elif job.state == JobState.CANCELLED:
            self.end(Job.objects.filter(pk=job.pk))

    def queue_combining(self) -> None:
        """Queue what combines the chunks, at the run's place: where its first chunk stood.

        At the end of the queue it would wait for all that came after the run.
        """
        from .combining import combine

        name = f"{shorten(self.title, 80)}, combined"
        # By itself and not by a path: a node of the version before leaves it to others.
        self.combine_id = async_task(combine, self.task_id, task_name=name)
        place = self.jobs.aggregate(first=models.Min("queue_id"))["first"]
        if place is not None and not OrmQ.objects.filter(pk=place).exists():
            combining = Job.objects.filter(pk=self.combine_id)
            OrmQ.objects.filter(pk__in=combining.values("queue_id")).update(id=place)
            self.jobs.filter(queue_id=place).update(queue_id=None)
            combining.update(queue_id=place)

    def is_combining(self, progress: Progress) -> bool:
        """Whether all chunks are done, and their results are being combined."""
        return self.state == RunState.IN_PROGRESS and progress.settled

    def note_is_out_of_date(self, progress: Progress) -> bool:
        """Whether `refresh` would say something else, as far as one can tell without."""
        if not progress.settled:
            return self.state != RunState.IN_PROGRESS
        if self.state != RunState.IN_PROGRESS:
            return False
        return progress.failed > 0 or not self.everything().unsettled().exists()

    @property
    def readable(self) -> str:
        """The result as people read it; of one that older code has noted, as Python prints it."""
        return self.shown or shorten(plain(self.result), LONGEST)

    @property
    def brief(self) -> str:
        """The same in a list, which has read no more than the beginning of the result."""
        began: str = self.shown or getattr(self, "began", None) or ""
        return f"{int(began):,}" if re.fullmatch("[0-9]{1,40}", began) else began

    def retry(self) -> int:
        """Queue every failed chunk again, or else what failed to combine them; how many jobs."""
        return self.failures().retry() or int(self.combine_again())

    def combine_again(self) -> bool:
        """Make one result of the chunks' once more, whose code was mended meanwhile.

        False, and nothing done, unless all chunks are done and that has failed.
        """
        with transaction.atomic():
            run = Run.objects.select_for_update().get(pk=self.pk)
            progress = run.progress()
            ended = run.state in (RunState.ERROR, RunState.CANCELLED)
            if not (ended and progress.settled and not progress.failed):
                return False
            run.combine_id = run.function = ""  # by whatever code there is now
            run.judge(progress)
            run.save(update_fields=[*NOTED, "function"])
        self.refresh_from_db(fields=NOTED)
        return True

    def cancel(self, by: str) -> int:
        """Withdraw what waits and stop what runs; how many jobs that were."""
        return self.everything().cancel(f"cancelled by {by}")


class SweepManager(models.Manager["Sweep"]):
    def settle(self) -> None:
        """See to the next run of those that have none at work."""
        at_work = Run.objects.filter(sweep=models.OuterRef("pk"), state=RunState.IN_PROGRESS)
        for sweep in self.filter(ended=False).exclude(models.Exists(at_work)):
            sweep.queue_advance()


class Sweep(models.Model):
    """The same computation in chunks of several sizes, a run for each, one after another.

    The end of a run queues a task that starts the next; what a node that dies in between
    leaves, another's look around finds. `advance` may be called at any time, by anyone.
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
    advance_id = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="The task that starts its next run.",
    )

    objects: SweepManager = SweepManager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.computation}, {len(self.sizes)} chunk sizes"

    def queue_advance(self) -> None:
        """Let a worker start the next run; asked once, whoever else asks meanwhile."""
        with transaction.atomic():
            sweep = Sweep.objects.select_for_update().get(pk=self.pk)
            waiting = Job.objects.filter(pk=sweep.advance_id).unsettled()
            if not (sweep.ended or (sweep.advance_id and waiting.exists())):
                name = f"{shorten(str(sweep), 80)}: the next"
                sweep.advance_id = async_task(advance, sweep.pk, task_name=name)
                sweep.save(update_fields=["advance_id"])

    def advance(self) -> None:
        """Start the next run unless one is at work; a run that did not succeed ends it all.

        Calls the computation's code, so not under a lock: of two who do this at the same
        time one starts the run.
        """
        states = list(self.run_set.values_list("state", flat=True))
        if self.ended or RunState.IN_PROGRESS in states:
            return
        computation = all_computations().get(self.computation)
        sizes = self.sizes[len(states) :]
        plan, cost = None, estimates.NOTHING
        if sizes and computation and not set(states) - {RunState.DONE}:
            cleaned = computation.cleaned(self.given, self.parameters)
            plan = Run.objects.plan(computation, cleaned, sizes[0])
            runs = Run.objects.all()
            cost = estimates.cost_of(runs, computation, cleaned, sizes[0])
        with transaction.atomic():
            sweep = Sweep.objects.select_for_update().get(pk=self.pk)
            if sweep.ended or sweep.run_set.count() != len(states):
                return
            if plan is None:
                Sweep.objects.filter(pk=sweep.pk).update(ended=True)
                return
            sweep.start(plan, cost)

    def start(self, plan: Plan, cost: estimates.Cost) -> None:
        """Start a run of it, which belongs to whom the sweep does."""
        run = plan.start()
        Run.objects.filter(pk=run.pk).update(
            sweep=self,
            owner=self.owner,
            client=self.client,
            address=self.address,
            account=self.account_id,
            given=self.given,
        )
        estimates.note(run, cost)


def advance(pk: int) -> None:
    """The task that starts the next run of a sweep. One whose code fails ends it."""
    sweep = Sweep.objects.filter(pk=pk).first()
    if sweep is None:
        return
    try:
        sweep.advance()
    except ComputationError:
        Sweep.objects.filter(pk=pk).update(ended=True)
        raise


class SpeedManager(models.Manager["Speed"]):
    def of(self, computation: Computation) -> float | None:
        """How much of its length a worker did in a second; None until one has tried."""
        if computation.sample is None:
            return None
        rows = self.filter(computation=computation.name, sample=sample_of(computation))
        return rows.values_list("per_second", flat=True).first()

    def ask(self) -> None:
        """Have workers try the samples that none has tried yet; of two who ask at the same
        moment both may, which does no harm."""
        tried = dict(self.values_list("computation", "sample"))
        for computation in all_computations().values():
            if computation.sample is None or tried.get(computation.name) == sample_of(computation):
                continue
            with transaction.atomic():
                self.update_or_create(
                    computation=computation.name,
                    defaults={"sample": sample_of(computation), "per_second": None},
                )
                async_task(measure, computation.name, task_name=f"how fast is {computation}?")


def sample_of(computation: Computation) -> str:
    """What a speed was found out with; other code or another sample is tried anew."""
    return shorten(f"{path_of(computation.function)} {computation.sample!r}", 1_000)


def measure(name: str) -> None:
    """The task that tries a computation's sample."""
    computation = all_computations().get(name)
    if computation is None:
        raise UnknownHereError(f"the computation {name!r} is not declared in this node's code")
    speeds = Speed.objects.filter(computation=name, sample=sample_of(computation))
    speeds.update(per_second=sampled_speed(computation))


class MailAsked(models.Model):
    """Somebody has asked for a mail: from where, or to whom, as a hash. Kept for an hour."""

    key = models.CharField(max_length=32)
    asked_at = models.DateTimeField(db_default=Now())

    objects: models.Manager[MailAsked] = models.Manager()

    class Meta:
        verbose_name_plural = "mails asked for"
        indexes = [models.Index(fields=["key", "asked_at"], name="mail_asked")]

    def __str__(self) -> str:
        return self.key


class Speed(models.Model):
    """How fast a computation's sample ran on a worker: what is known before it has runs."""

    computation = models.CharField(max_length=100, unique=True)
    sample = models.TextField(help_text="What was tried; another sample is tried anew.")
    per_second = models.FloatField(null=True, help_text="Of its length; empty until it is known.")
    asked_at = models.DateTimeField(db_default=Now())

    objects: SpeedManager = SpeedManager()

    def __str__(self) -> str:
        return f"{self.computation}: {self.per_second}"
