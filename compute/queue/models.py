"""The queue's memory: a Job for every task, beside a Node for every queue server.

django-q2's own tables stay in use beside them: `OrmQ` holds what waits or is leased,
`Task` what ended, for its admin pages.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import models, transaction
from django.utils import timezone
from picklefield.fields import PickledObjectField

from . import among, failing, transitions, trials  # noqa: F401 - `among` is for filters
from .contents import Content
from .engines import engine
from .engines.values import Held
from .nodes import Node
from .sharing import Flow
from .signals import groups_changed
from .tally import Tally
from .transitions import MAX_DEATHS, UNSETTLED, JobState, batched

__all__ = ["UNSETTLED", "Content", "Flow", "Job", "JobQuerySet", "JobState", "Node", "Tally"]

log = logging.getLogger(__name__)


class JobQuerySet(models.QuerySet["Job"]):
    def in_group(self, group: str) -> JobQuerySet:
        return self.filter(group=group).order_by("position")

    def unsettled(self) -> JobQuerySet:
        return self.filter(state__in=UNSETTLED)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state; every state has an entry."""
        counts = dict.fromkeys(JobState.values, 0)
        counts.update(self.order_by().values_list("state").annotate(count=models.Count("*")))
        return counts

    def under_way(self) -> float:
        """How much of the jobs at work is done, each from 0 to 1, added up."""
        running = self.filter(state=JobState.RUNNING).order_by()
        return running.aggregate(added=models.Sum("progress"))["added"] or 0.0

    def held(self) -> list[Held]:
        """Those that are unsettled, as they are at this moment."""
        return list(self.unsettled().values_list("pk", "delivery"))

    def give_back(self) -> int:
        """Put unsettled jobs, whose holder has ended, up for every node again, at once and first;
        how many there were."""
        return transitions.give_back(self.held(), first=True)

    def leave(self) -> int:
        """Put up for others, at once, what was claimed and not begun; how many."""
        return transitions.leave_all(self.held())

    def postpone(self) -> bool:
        """Leave a task that this node's code can't run to nodes of other code.

        False, and nothing done, if it has been tried often enough, or was lost meanwhile.
        """
        names = [
            job.name
            for job in self.unsettled()
            if transitions.postpone((job.pk, job.delivery), job.starts)
        ]
        if names:
            log.warning("%s: unknown to this node's code, left to others", ", ".join(names))
        return bool(names)

    def bury(self, how: str, unread: bool = False) -> None:
        """Deal with what a dead worker ran, or had not yet read, which may be what killed it."""
        for job in self.filter(state=JobState.RUNNING):
            if not transitions.survives(job.pk, job.deaths):
                job.fail(
                    f"its worker {how} while running it, for the {MAX_DEATHS}rd time, "
                    f"at {timezone.now():%Y-%m-%d %H:%M:%S} UTC",
                    "WorkerDied",
                    unread,
                )
        self.give_back()

    def fail(self, reason: str, error_class: str) -> None:
        for job in self.unsettled():
            job.fail(reason, error_class)

    def cancel(self, reason: str) -> int:
        """Withdraw what waits, and stop what runs, wherever; how many jobs that were."""
        groups = set(self.unsettled().order_by().values_list("group", flat=True).distinct())
        count = self.withdraw(reason)
        if groups:
            groups_changed.send(sender=Job, groups=groups)
        return count

    def withdraw(self, reason: str) -> int:
        """The same, and whoever shows the groups has yet to be told."""
        with trials.told_of(self.unsettled()):
            open_ = self.unsettled().order_by().values_list("pk", flat=True)
            return transitions.withdraw(list(open_), reason)

    def retry(self) -> int:
        """Queue the failed jobs again, as the same jobs of the same groups; how many there were.

        Each batch of them whole, in a transaction of its own unless the caller has one.
        """
        return self.filter(state=JobState.FAILED).again(transitions.retry)

    def go_on(self) -> int:
        """Queue the cancelled jobs again, in the same way; none of which nothing is kept."""
        cancelled = self.filter(state=JobState.CANCELLED).exclude(payload="")
        return cancelled.again(transitions.go_on)

    def again(self, arrow: Callable[[list[str]], list[tuple[str, str]]]) -> int:
        count = 0
        ordered = self.order_by("queued_at", "group", "position")
        for batch in batched(list(ordered.values_list("pk", flat=True))):
            with engine().turn(), transaction.atomic():
                requeued = arrow(batch)
                if requeued:
                    groups = {group for _, group in requeued}
                    groups_changed.send(sender=Job, groups=groups, at_work=True)
            count += len(requeued)
        return count


class Job(trials.Tried):
    """One queued task, from the moment it is queued; for every task, whoever queued it.

    queued → running → done | failed | cancelled: `transitions` alone writes its state.
    """

    State = JobState

    task_id = models.CharField(primary_key=True, max_length=32)
    group = models.CharField(
        max_length=32, help_text="The id async_iter returned; a lone task is a group of one."
    )
    position = models.PositiveIntegerField(default=0, help_text="Place in its group, from 0.")
    queue = models.CharField(max_length=100)
    queue_id = models.BigIntegerField(null=True, db_index=True, help_text="Its row in the queue.")
    name = models.CharField(max_length=100)
    state = models.CharField(
        max_length=9, choices=JobState, default=JobState.QUEUED, db_default=JobState.QUEUED
    )
    flow = models.ForeignKey(
        Flow,
        default=0,
        db_default=0,
        db_constraint=False,
        db_index=False,
        on_delete=models.DO_NOTHING,
        related_name="jobs",
        help_text="The line in which it waits.",
    )
    due_at = models.DateTimeField(
        null=True, help_text="When it is up again; empty if it waits for nothing but a worker."
    )
    delivery = models.PositiveIntegerField(default=0, db_default=0)
    attempt = models.PositiveIntegerField(
        default=0, db_default=0, help_text="How often it was started."
    )
    starts = models.PositiveIntegerField(
        default=0, db_default=0, help_text="The same, since it was queued or retried."
    )
    deaths = models.PositiveIntegerField(
        default=0, db_default=0, help_text="How often its worker died while it ran."
    )
    node = models.ForeignKey(
        Node, null=True, on_delete=models.SET_NULL, help_text="Who holds or ran it."
    )
    worker = models.IntegerField(null=True, help_text="The worker's process id.")
    progress = models.FloatField(
        default=0,
        db_default=0,
        help_text="How much of it is done, from 0 to 1, while it runs and if it tells.",
    )
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    result = PickledObjectField(null=True, protocol=-1, copy=False)
    error = models.TextField(
        blank=True, default="", db_default="", help_text="One line; the traceback is with the task."
    )
    error_class = models.CharField(max_length=200, blank=True, default="", db_default="")
    payload = models.TextField(
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Of one that failed or was cancelled: what was queued, to go on.",
    )

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-queued_at", "group", "position"]
        constraints = [
            models.UniqueConstraint(fields=["group", "position"], name="one_job_a_position"),
        ]
        indexes = [
            models.Index(fields=["group", "state"], name="job_group_state"),
            models.Index(
                fields=["node", "state"],
                name="job_held",
                condition=models.Q(state__in=UNSETTLED),
            ),
            models.Index(  # what may be claimed, in its order
                fields=["flow", "queue_id"],
                name="job_waiting",
                condition=models.Q(state=JobState.QUEUED, due_at=None),
            ),
            models.Index(fields=["queue", "due_at"], name="job_due", condition=trials.LATER),
            models.Index(  # what is old, for pruning
                fields=["finished_at"],
                name="job_finished",
                condition=models.Q(finished_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def number(self) -> int:
        """Its place in its group as people count, from 1."""
        return self.position + 1

    def fail(self, reason: str, error_class: str, unread: bool = False) -> bool:
        """Note a failure that its own worker could not: listed as the others are. One that
        could not be read (`unread`) is not read here, either, and listed without its arguments.

        False if another delivery, or an outcome, was quicker. Its hook is called by a task
        of its own, for that is foreign code, and this may be a node's guard.
        """
        return failing.fail(self, reason, error_class, unread)

    def retry(self) -> bool:
        """Queue a failed job again, as the same job of the same group.

        False, and nothing done, if it is not failed (any more): of two people who
        press at the same time, one retries.
        """
        return bool(Job.objects.filter(pk=self.pk).retry())
