"""Chunk sizes tried out: a run in each of several sizes, one after another."""

from __future__ import annotations

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.db.models.functions import Now
from django_q.tasks import async_task

from ..computation import ComputationError
from ..computations import all_computations
from ..queue.models import Job
from ..queue.text import shorten
from . import estimates
from .exact import ExactJSONField
from .plans import Plan, plan
from .run import Run
from .states import RunState
from .upload import use


class SweepManager(models.Manager["Sweep"]):
    def settle(self) -> None:
        """Queue the next run of each sweep that has none at work."""
        at_work = Run.objects.filter(sweep=models.OuterRef("pk"), state=RunState.IN_PROGRESS)
        for sweep in self.filter(ended=False).exclude(models.Exists(at_work)):
            sweep.queue_advance()


class Sweep(models.Model):
    """The same computation in chunks of several sizes, a run for each, one after another.

    The end of a run queues a task that starts the next. If a node dies in between, another
    finds the sweep when it looks around. `advance` may be called at any time, by anyone.
    """

    computation = models.CharField(max_length=100)
    parameters = ExactJSONField(encoder=DjangoJSONEncoder)
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
        """Let a worker start the next run; queued once, however many ask for it meanwhile."""
        with transaction.atomic():
            sweep = Sweep.objects.select_for_update().get(pk=self.pk)
            waiting = Job.objects.filter(pk=sweep.advance_id).unsettled()
            if not (sweep.ended or (sweep.advance_id and waiting.exists())):
                name = f"{shorten(str(sweep), 80)}: the next"
                sweep.advance_id = async_task(advance, sweep.pk, task_name=name)
                sweep.save(update_fields=["advance_id"])

    def advance(self) -> None:
        """Start the next run unless one is at work; a run that did not succeed ends it all.

        Calls the computation's code, so without a lock: if two workers do this at the same
        time, one of them starts the run.
        """
        states = list(self.run_set.values_list("state", flat=True))
        if self.ended or RunState.IN_PROGRESS in states:
            return
        computation = all_computations().get(self.computation)
        sizes = self.sizes[len(states) :]
        first, cost = None, estimates.NOTHING
        if sizes and computation and not set(states) - {RunState.DONE}:
            cleaned = computation.cleaned(self.given, self.parameters)
            first = plan(computation, cleaned, sizes[0])
            cost = estimates.cost_of(computation, cleaned, sizes[0])
        with transaction.atomic():
            sweep = Sweep.objects.select_for_update().get(pk=self.pk)
            if sweep.ended or sweep.run_set.count() != len(states):
                return
            if first is None:
                Sweep.objects.filter(pk=sweep.pk).update(ended=True)
                return
            sweep.start(first, cost)

    def start(self, first: Plan, cost: estimates.Cost) -> None:
        """Start a run of it, with the sweep's owner."""
        run = first.start()
        run.sweep, run.given = self, self.given
        for name in ("owner", "client", "address", "account_id"):
            setattr(run, name, getattr(self, name))
        run.save()
        use(run)
        run.share()
        estimates.note(run, cost)


def advance(pk: int) -> None:
    """The task that starts the next run of a sweep; an error of the author's code ends it."""
    sweep = Sweep.objects.filter(pk=pk).first()
    if sweep is None:
        return
    try:
        sweep.advance()
    except ComputationError:
        Sweep.objects.filter(pk=pk).update(ended=True)
        raise


advance.__module__ = "compute.models"  # its name in the queue
