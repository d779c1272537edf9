"""How fast a computation is: by its last runs, or before it has any by a sample of it."""

from __future__ import annotations

from statistics import median

from django.db import models, transaction
from django.db.models.functions import Now
from django_q.tasks import async_task

from ..computation import Computation
from ..computations import all_computations
from ..queue import leftovers
from ..queue.call import UnknownHereError, path_of
from ..queue.text import shorten
from ..trying import sampled_speed
from .run import Run

#: Seconds that a run's chunks have to take on average to tell how fast a worker is, and how
#: many such runs are asked.
TELLING_S, RUNS_ASKED = 0.05, 5


def speed_of(computation: Computation) -> float | None:
    """How much of its length one worker does in a second; None if nobody knows.

    The median of the last runs whose chunks were no trifles; without any, what a worker
    found out with the sample. A run whose length can't be told any more tells nothing.
    """
    if computation.length is None:
        return None
    told = Run.objects.done_lately(computation.name).filter(
        work_seconds__gt=TELLING_S * models.F("chunks")
    )
    speeds = []
    for run in told.order_by("-id").defer("result", "shown")[:RUNS_ASKED]:
        length = run.length()
        if length and run.work_seconds:
            speeds.append(length / run.work_seconds)
    return median(speeds) if speeds else Speed.objects.of(computation)


class SpeedManager(models.Manager["Speed"]):
    def of(self, computation: Computation) -> float | None:
        """How much of its length a worker did in a second; None until one has tried."""
        if computation.sample is None:
            return None
        rows = self.filter(computation=computation.name, sample=sample_of(computation))
        return rows.values_list("per_second", flat=True).first()

    def ask(self) -> None:
        """Have workers try the samples that none has tried yet. Two nodes that ask at the same
        moment may both get theirs tried, which does no harm."""
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


class Speed(models.Model):
    """How fast a computation's sample ran on a worker: what is known before it has runs."""

    computation = models.CharField(max_length=100, unique=True)
    sample = models.TextField(help_text="What was tried; another sample is tried anew.")
    per_second = models.FloatField(null=True, help_text="Of its length; empty until it is known.")
    asked_at = models.DateTimeField(db_default=Now())

    objects: SpeedManager = SpeedManager()

    def __str__(self) -> str:
        return f"{self.computation}: {self.per_second}"


def sample_of(computation: Computation) -> str:
    """The function and the sample that gave a speed; another of them is tried anew."""
    return shorten(f"{path_of(computation.function)} {computation.sample!r}", 1_000)


def measure(name: str) -> None:
    """The task that tries a computation's sample."""
    computation = all_computations().get(name)
    if computation is None:
        raise UnknownHereError(f"the computation {name!r} is not declared in this node's code")
    speeds = Speed.objects.filter(computation=name, sample=sample_of(computation))
    with leftovers.removed(f"the sample of {computation}"):
        per_second = sampled_speed(computation)
    speeds.update(per_second=per_second)


measure.__module__ = "compute.models"  # its name in the queue
