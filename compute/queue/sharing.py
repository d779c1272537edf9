"""Who shares the workers, and what each has had of them.

A flow is what waits in one line: the chunks of a group, or the lone tasks of a function. A
client has flows: a visitor those of its runs, a function its own. Workers go to the least served
client's least served flow, and there to the oldest task. docs/sharing.md tells how that works.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from .engines import engine


class Priority(models.TextChoices):
    URGENT = "urgent"
    NORMAL = "normal"
    BACKGROUND = "background"

    @property
    def weight(self) -> float:
        """How many times the worker seconds of a normal flow it gets."""
        return WEIGHTS[self]


WEIGHTS = {Priority.URGENT: 4.0, Priority.NORMAL: 1.0, Priority.BACKGROUND: 0.25}


class FlowQuerySet(models.QuerySet["Flow"]):
    """Each change is one update, which the next claim goes by; what runs, runs on."""

    def pause(self) -> int:
        """What waits, waits, and nothing is lost; how many flows that were."""
        return self.update(paused=True)

    def resume(self) -> int:
        count = self.update(paused=False)
        engine().wake()
        return count

    def prioritize(self, priority: str) -> int:
        """ValueError for a priority that there is not."""
        return self.update(weight=Priority(priority).weight)


class Flow(models.Model):
    """A line of tasks; made when the first of them is queued.

    Its id stands with each of its jobs. Those that stand with 0 were queued by older code, and
    have no row here: they are a flow, and a client, of their own.
    """

    queue = models.CharField(max_length=100)
    key = models.CharField(max_length=200)
    client = models.CharField(max_length=200)
    weight = models.FloatField(default=1, db_default=1)
    served = models.FloatField(
        null=True, help_text="Worker seconds ÷ weight, beside others of its client; empty if new."
    )
    seconds = models.FloatField("worker seconds", default=0, db_default=0)
    opened_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(
        null=True, help_text="When it was seen that nothing waits or runs; empty if it might."
    )
    paused = models.BooleanField(default=False, db_default=False)
    kind = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text="What it is one of, as a computation's name: paused together.",
    )
    kind_paused = models.BooleanField(default=False, db_default=False)
    at_once = models.PositiveIntegerField(
        null=True, help_text="How many of its tasks may be at work at once."
    )
    pool = models.CharField(max_length=200, blank=True, default="", db_default="")

    objects = FlowQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["queue", "key"], name="one_flow_a_key")]
        indexes = [
            models.Index(
                fields=["queue", "client"], name="flow_open", condition=models.Q(closed_at=None)
            ),
            models.Index(fields=["key"], name="flow_key"),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def priority(self) -> str:
        """The name of its weight; of one that has none, the number."""
        names = {weight: name.value for name, weight in WEIGHTS.items()}
        return names.get(self.weight, f"{self.weight:g}")


class Client(models.Model):
    """What somebody who has open flows was served, so that others can be served as much.

    Written by nodes alone, once it has had a worker.
    """

    queue = models.CharField(max_length=100)
    name = models.CharField(max_length=200)
    served = models.FloatField(help_text="Worker seconds ÷ weight, beside others of the queue.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["queue", "name"], name="one_client_a_name")]

    def __str__(self) -> str:
        return self.name


class Slot(models.Model):
    """One of the places of a pool, of which each task at work needs one.

    Taken in the write that claims the task, renewed with its lease, and free when that ends.
    """

    pool = models.CharField(max_length=200)
    number = models.PositiveIntegerField(help_text="From 0.")
    until = models.DateTimeField()
    queue_id = models.BigIntegerField(null=True, db_index=True, help_text="Whose it is.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool", "number"], name="one_slot_a_number")]

    def __str__(self) -> str:
        return f"{self.pool}, {self.number}"


class Pause(models.Model):
    """That nothing of a kind is claimed in a queue, or nothing at all."""

    queue = models.CharField(max_length=100)
    kind = models.CharField(max_length=100, blank=True, help_text="Empty for the whole queue.")
    since = models.DateTimeField(db_default=Now())
    by = models.CharField(max_length=150, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["queue", "kind"], name="one_pause_a_kind")]

    def __str__(self) -> str:
        return self.kind or self.queue
