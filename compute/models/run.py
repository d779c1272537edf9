"""A run: what a person asked for, and what its jobs make of it."""

from __future__ import annotations

import re
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Coalesce

from .. import values
from ..queue import overview
from ..queue.models import Flow, Job, JobQuerySet, JobState
from ..queue.results import short_results
from ..queue.sharing import FlowQuerySet
from ..queue.text import shorten
from ..words import SHOWN_CHARS, plain
from .asked import Asked
from .exact import ExactJSONField
from .states import Progress, RunState

#: Characters of the name that its owner gives a run, and of the note.
NAME_CHARS, NOTE_CHARS = 100, 2_000

#: So many runs tell how fast a computation is, or nobody does.
LATELY = 1_000

#: Before the id of a run, the line in which parts of its result are made (`partial`).
SO_FAR = "so far of "


class RunQuerySet(models.QuerySet["Run"]):
    def of_groups(self, groups: set[str]) -> RunQuerySet:
        """The runs whose chunks are one of these groups, or whose combine task is."""
        mine = models.Q(task_id__among=groups) | models.Q(combine_id__among=groups)
        return self.filter(mine).defer("result", "parameters", "given")

    def chunks(self) -> JobQuerySet:
        return Job.objects.filter(group__in=self.order_by().values("task_id"))

    def unfinished(self) -> RunQuerySet:
        return self.filter(state=RunState.IN_PROGRESS)

    def done_lately(self, computation: str) -> RunQuerySet:
        """The last runs of a computation that are done, and no more: it may be that none of them
        tells what somebody wants to know."""
        done = self.filter(computation=computation, state=RunState.DONE)
        # As a place: of `IN` Postgres may make a walk through all runs there are.
        last = done.order_by("-id").values("pk")[LATELY - 1 : LATELY]
        return done.filter(pk__gte=Coalesce(models.Subquery(last), 0))

    @property
    def flows(self) -> FlowQuerySet:
        """The lines in which their tasks wait."""
        return Flow.objects.filter(key__in=self.order_by().values("task_id"))

    def cancel(self, by: str) -> int:
        """Withdraw what waits and stop what runs; how many jobs that were."""
        combining = self.exclude(combine_id="").order_by().values("combine_id")
        reason = f"cancelled by {by}"
        jobs = self.chunks().cancel(reason)
        Job.objects.filter(pk__in=self.order_by().values("so_far__task_id")).cancel(reason)
        return jobs + Job.objects.filter(pk__in=combining).cancel(reason)


class Run(Asked):
    """One computation: a task, or a group of them, by the id that the queue gave.

    `state`, `result` and `finished_at` are a note of what the jobs say, see `notes`. When all
    chunks are done a task of its own, `combine_id`, makes one result of theirs (`combining`).
    """

    State = RunState

    state = models.CharField(max_length=11, choices=RunState, default=RunState.IN_PROGRESS)
    result = ExactJSONField(encoder=DjangoJSONEncoder, null=True, help_text="Exact, of any size.")
    shown = models.TextField(
        blank=True, default="", db_default="", help_text="The result as people read it."
    )
    name = models.CharField(
        max_length=NAME_CHARS,
        blank=True,
        default="",
        db_default="",
        help_text="What its owner calls it; else it is called by its title.",
    )
    note = models.TextField(
        blank=True, default="", db_default="", help_text="What its owner notes of it."
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
    finished_at = models.DateTimeField(null=True)
    work_seconds = models.FloatField(
        null=True, help_text="How long its chunks ran, added up; once it is done."
    )

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "-id"], name="run_state"),
            models.Index(fields=["computation", "-id"], name="run_computation"),
            models.Index(fields=["computation", "state", "-id"], name="run_kind_state"),
            models.Index(fields=["finished_at"], name="run_finished"),  # what is old, for pruning
            models.Index(  # whose combine task has ended
                fields=["combine_id"], name="run_combine", condition=~models.Q(combine_id="")
            ),
            models.Index(fields=["created_at"], name="run_created"),  # what an hour has added
            models.Index(fields=["owner"], name="run_owner"),  # what a session has started
        ]

    def __str__(self) -> str:
        return self.name or self.title

    @property
    def took(self) -> float | None:
        """Seconds from its start to its end; None before that."""
        if self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.created_at).total_seconds())

    @property
    def status(self) -> str:
        """Its state for programs, to which a cancelled run is one that failed."""
        return RunState.ERROR if self.state == RunState.CANCELLED else self.state

    @property
    def flow(self) -> FlowQuerySet:
        """The line in which its tasks wait; none for a run of the version before."""
        return Flow.objects.filter(key=self.task_id)

    def share(self) -> None:
        """Have its flow count for who has it run, among whose flows it begins anew."""
        if self.sharer:
            self.flow.exclude(client=self.sharer).update(client=self.sharer, served=None)

    @property
    def spent(self) -> float:
        """Worker seconds that it has had, as far as nodes have written them down."""
        seconds: float | None = self.flow.aggregate(spent=models.Sum("seconds"))["spent"]
        return overview.pace(self.task_id).work if seconds is None else seconds

    @property
    def jobs(self) -> JobQuerySet:
        return Job.objects.in_group(self.task_id)

    def check_it_is_there(self) -> None:
        """Raise DoesNotExist if the run has been removed since it was read.

        Asked where chunks are missing: a run is removed together with them, so anything that
        is said of it would be wrong.
        """
        Run.objects.only("pk").get(pk=self.pk)

    @property
    def combine_job(self) -> Job | None:
        """The job that combines its chunks; None until it is queued."""
        return Job.objects.filter(pk=self.combine_id).first() if self.combine_id else None

    def everything(self) -> JobQuerySet:
        """All its jobs: its chunks, and the one that combines them."""
        ids = [self.combine_id] if self.combine_id else []
        return Job.objects.filter(models.Q(group=self.task_id) | models.Q(pk__in=ids))

    def progress(self) -> Progress:
        """How many of its chunks are where; DoesNotExist if it has just been removed."""
        if self.state == RunState.DONE:
            return Progress(self.chunks, 0, self.chunks)
        counts = self.jobs.counts()
        if sum(counts.values()) < self.chunks:
            self.check_it_is_there()
        open_ = counts[JobState.QUEUED] + counts[JobState.RUNNING]
        done = counts[JobState.DONE]
        # A chunk that is gone counts as failed: nobody will finish it.
        under_way = self.jobs.under_way() if counts[JobState.RUNNING] else 0.0
        return Progress(done, self.chunks - done - open_, self.chunks, under_way)

    def results(self) -> list[Any] | None:
        """One result a chunk, in the order of the ranges; only of chunks that are done. None if one
        of them is large, for this is asked by a web process."""
        results = short_results(self.task_id)
        if results is None:
            return None
        if len(results) < self.chunks:
            self.check_it_is_there()
        return [values.kept_or_text(result) for result in results]

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
        count = bad.count()
        which = "" if count == 1 else "the first being "
        of_all = f"{count:,} of {self.chunks:,} chunks failed"
        return f"{of_all}, {which}number {first.number:,}: {first.error}"

    def failures(self) -> JobQuerySet:
        return self.jobs.filter(state=JobState.FAILED)

    def cancelled(self) -> JobQuerySet:
        return self.jobs.filter(state=JobState.CANCELLED)

    def is_combining(self, progress: Progress) -> bool:
        """Whether all chunks are done, and their results are being combined."""
        return self.state == RunState.IN_PROGRESS and progress.settled

    @property
    def readable(self) -> str:
        """The result as people read it; if older code noted it, as Python prints it."""
        return self.shown or shorten(plain(self.result), SHOWN_CHARS)

    @property
    def brief(self) -> str:
        """The same in a line, for a list, which has read the beginning of the result, no more."""
        began: str = self.shown or getattr(self, "began", None) or ""
        if re.fullmatch("[0-9]{1,40}", began):
            return f"{int(began):,}"
        return ", ".join(line.strip() for line in began.splitlines() if line.strip())

    def cancel(self, by: str) -> int:
        """Withdraw what waits and stop what runs; how many jobs that were."""
        return Run.objects.filter(pk=self.pk).cancel(by)
