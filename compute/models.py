"""What a person asked for, and what its jobs make of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import models, transaction
from django.db.models.functions import Now
from django.urls import reverse

from .queue.models import Job, JobQuerySet, JobState


class Progress(NamedTuple):
    """How many of a run's chunks are where."""

    done: int
    failed: int  # cancelled ones too: they will not become done by themselves
    total: int

    @property
    def settled(self) -> bool:
        return self.done + self.failed == self.total


class RunState(models.TextChoices):
    IN_PROGRESS = "in-progress", "running"
    DONE = "done", "done"
    ERROR = "error", "failed"


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


class Run(models.Model):
    """One computation: a task, or a group of them, by the id that the queue gave.

    `state`, `result` and `finished_at` are a note of what the jobs say. The jobs
    decide: `refresh` reads them under a lock on this row, so that a note is never
    older than a retry.
    """

    State = RunState

    class Kind(models.TextChoices):
        SUM = "sum", "one task"
        BUGGY = "buggy-sum", "one task with a bug"
        SPLIT = "split-sum", "split into chunks"

    task_id = models.CharField(max_length=32, unique=True)
    kind = models.CharField(max_length=20, choices=Kind)
    n = models.BigIntegerField()
    chunk_size = models.BigIntegerField(null=True)
    chunks = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=11, choices=RunState, default=RunState.IN_PROGRESS)
    result = models.JSONField(null=True, help_text="Exact, of any size.")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "-id"], name="run_state")]

    def __str__(self) -> str:
        return title(self.n)

    def get_absolute_url(self) -> str:
        name = "split-sum-async-progress" if self.kind == self.Kind.SPLIT else "sum-async-progress"
        return f"{reverse(name)}?task_id={self.task_id}"

    @property
    def jobs(self) -> JobQuerySet:
        return Job.objects.in_group(self.task_id)

    def progress(self) -> Progress:
        if self.state == RunState.DONE:
            return Progress(self.chunks, 0, self.chunks)
        counts = self.jobs.counts()
        open_ = counts[JobState.QUEUED] + counts[JobState.RUNNING]
        # What is gone counts as failed: nobody will finish it.
        return Progress(
            counts[JobState.DONE], self.chunks - counts[JobState.DONE] - open_, self.chunks
        )

    def results(self) -> list[Any]:
        """One result a chunk, in the order of the ranges; only of a run that is done."""
        return list(self.jobs.values_list("result", flat=True))

    def error(self) -> str | None:
        """Why the run is not done, in one line."""
        if self.state != RunState.ERROR:
            return None
        bad = self.failures()
        cancelled = bad.filter(state=JobState.CANCELLED).first()
        first = cancelled or bad.first()
        if first is None:
            return "its chunks have been removed"
        if cancelled or self.chunks == 1:
            return first.error
        return (
            f"{bad.count():,} of {self.chunks:,} chunks failed, the first being "
            f"number {first.number:,}: {first.error}"
        )

    def failures(self) -> JobQuerySet:
        return self.jobs.filter(state__in=(JobState.FAILED, JobState.CANCELLED))

    def refresh(self) -> Progress:
        """Note what the jobs say by now; tells it, too."""
        with transaction.atomic():
            run = Run.objects.select_for_update().get(pk=self.pk)
            progress = run.progress()
            if not progress.settled:
                run.state, run.finished_at = RunState.IN_PROGRESS, None
            elif progress.failed:
                run.state = RunState.ERROR
            else:
                run.state = RunState.DONE
                run.result = sum(run.jobs.values_list("result", flat=True).iterator())
            if progress.settled and run.finished_at is None:
                last = run.jobs.aggregate(models.Max("finished_at"))["finished_at__max"]
                run.finished_at = last or run.created_at
            run.save()
        self.refresh_from_db()
        return progress

    def retry(self) -> int:
        """Queue every failed chunk again; how many there were."""
        return sum(job.retry() for job in self.jobs.filter(state=JobState.FAILED))


def title(n: int) -> str:
    """What a sum is called wherever people read of it."""
    return f"sum 1–{n:,}"
