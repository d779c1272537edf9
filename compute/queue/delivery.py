"""One handing-over of a task to somebody who runs it, and the one outcome of that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from django.db import Error, connection, transaction
from django.db.models.signals import post_save
from django.utils import timezone
from django_q.models import OrmQ, Task
from django_q.signals import call_hook
from django_q.tasks import async_chain

from . import records, transitions, trials
from .away import is_away, persistently
from .call import UnknownHereError
from .contents import remove
from .engines import Lease
from .engines.values import Outcome
from .large import Aside, Reference
from .models import Content, Job, JobState
from .results import Returned, Stored
from .text import one_line, report_of, traceback_of

log = logging.getLogger(__name__)

T = TypeVar("T")


class Kept(NamedTuple):
    """An outcome that is not written yet."""

    outcome: Outcome
    delivery: Delivery
    record: Task

    def tell(self) -> None:
        """That it is written, and counts."""
        if self.outcome.record is not None:
            self.record.result = self.delivery.task["result"]
            self.delivery.tell(self.record, saved=True)

    def write(self) -> bool:
        """Write it alone, and tell of it; whether it counts."""
        self.delivery.keep = None
        self.delivery.finish_or_fail(self.delivery.task["result"], self.outcome.result)
        return self.delivery.counts


class Delivery:
    """Runs a task's function and writes what came of it, once and whole, or not at all.

    The outcome does not count if the delivery has lost its job meanwhile, to another node or
    to a cancellation.
    """

    def __init__(
        self,
        task: dict[str, Any],
        lease: Lease,
        claim_ahead: Callable[[], None] | None = None,
        told: Callable[[], AbstractContextManager[None]] = nullcontext,
        keep: Callable[[Kept], bool] | None = None,
    ) -> None:
        self.task = task
        self.lease = lease
        self.claim_ahead = claim_ahead
        #: Takes an outcome that may be written later, together with others; false to write it now.
        self.keep = keep
        self.began = self.ended = 0.0
        #: Within that a hook is called, which is foreign code.
        self.told = told
        #: Whether there is an outcome, and it counts.
        self.counts = False
        self.error: BaseException | None = None
        #: The reference that its rows get in the place of a large result, which is written by then.
        self.large: Reference | None = None

    def run(self, function: Callable[[], Returned]) -> None:
        """Call it, and write the outcome. Of what it raises, `error` tells.

        A database that is away is tried for a minute; then its error is raised, and the job
        is up again when its lease ends.
        """
        self.task["started"], self.began = timezone.now(), monotonic()
        try:
            result, stored = function()
        except BaseException as error:
            if isinstance(error, UnknownHereError) and persistently(self.postpone):
                return
            self.fail(error)
            return
        self.ended = monotonic()
        self.finish_or_fail(result, stored)

    def finish_or_fail(self, result: Any, stored: Stored) -> None:
        try:
            self.finish(result, stored)
        except Exception as error:  # the database takes everything but this outcome
            if is_away(error):
                raise
            self.fail(error)

    @property
    def is_plain(self) -> bool:
        """Whether nothing follows from its end, and no slot of a limit is to be freed."""
        task = self.task
        follows = task.get("hook") or task.get("chain") or task.get("sync")
        return bool(task.get("success") and not (follows or self.lease.is_limited))

    def postpone(self) -> bool:
        """Leave the task to nodes of other code; False if that was done often enough."""
        return Job.objects.filter(pk=self.task["id"], delivery=self.lease.delivery).postpone()

    def finish(self, result: Any, stored: Stored) -> None:
        if isinstance(stored, Aside):
            self.large = stored.keep(self.task["id"])
            row: str | None = self.large.stored()
        else:
            row = stored
        outcome = {"result": row, "payload": ""}
        self.task |= {"result": result, "success": True, "stopped": timezone.now()}
        if self.large or not self.is_kept(row):
            self.settle(JobState.DONE, row, outcome)

    def is_kept(self, stored: str | None) -> bool:
        """Whether the outcome is left to somebody who writes it together with others: of a task
        that nobody has to be told of at once, and that has not been tried before."""
        task = self.task
        if self.keep is None or not self.is_plain or self.lease.attempt != 1:
            return False
        record = self.record(True, stored)
        values = records.stored(record) if task.get("save", True) else None
        outcome = Outcome(task["id"], self.lease, stored, values, self.began, self.ended)
        return self.keep(Kept(outcome, self, record))

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.task["error_class"], self.task["error"] = type(error).__name__, one_line(error)
        report = report_of(error)
        outcome = {"error": one_line(error), "error_class": type(error).__name__[:200]}
        self.surely(partial(self.keep_payload, outcome))
        if "backend" in self.task:
            self.surely(partial(self.keep_error, error, outcome))
        self.task |= {"result": report, "success": False, "stopped": timezone.now()}
        self.settle(JobState.FAILED, report, outcome)

    def keep_payload(self, outcome: dict[str, Any]) -> None:
        package = OrmQ.objects.filter(pk=self.lease.queue_id).first()
        if package is not None:  # without one (`sync=True`) the job has its payload already
            outcome["payload"] = package.payload

    def keep_error(self, error: BaseException, outcome: dict[str, Any]) -> None:
        """Of a task of Django's framework: each of its errors is kept, whole."""
        row = Job.objects.filter(pk=self.task["id"]).values_list("errors", flat=True)
        kind = type(error)
        path = f"{kind.__module__}.{kind.__qualname__}"
        outcome["errors"] = trials.with_error(row.first() or "", path, traceback_of(error))

    def settle(self, state: JobState, stored: str | None, outcome: dict[str, Any]) -> None:
        self.counts = self.surely(partial(self.write, state, stored, outcome))
        if not self.counts:
            log.warning("%s: its lease was lost, the outcome is dropped", self.task["name"])
        self.tidy(state)

    def tidy(self, state: JobState) -> None:
        """Remove what was written for a large result that does not count: by this delivery, or by
        those before. If that can't be done now, it goes with its job."""
        mine = self.large.content if self.large else ""
        if not (mine or self.lease.attempt > 1):
            return
        lost = Content.objects.filter(holder=self.task["id"])
        if not self.counts:
            lost = lost.filter(pk=mine)
        elif state == JobState.DONE:
            lost = lost.exclude(pk=mine)
        try:
            remove(lost.values_list("pk", flat=True))
        except Error as error:
            log.warning("%s: what it wrote is left: %s", self.task["name"], one_line(error))

    def surely(self, ask: Callable[[], T]) -> T:
        """Read or write what belongs to the outcome. If the database refuses, once more: on a fresh
        connection, for the task may have set that one up in its own way, and without another claim.
        """
        try:
            return persistently(ask)
        except Error as error:
            if is_away(error) or connection.in_atomic_block:
                raise
            log.warning("%s: tried once more: %s", self.task["name"], one_line(error))
        connection.close()
        self.claim_ahead = None
        return persistently(ask)

    def write(self, state: JobState, stored: str | None, outcome: dict[str, Any]) -> bool:
        """Write the outcome everywhere or nowhere; False when it counts no more."""
        success, hook = state == JobState.DONE, self.task.get("hook")
        saved = not success or self.task.get("save", True)
        record = self.record(success, stored) if saved or hook else None
        values = records.stored(record) if record and saved else None
        chain = self.task.get("chain") if success and not self.task.get("sync") else None
        # A worker that has more to do for this task, or may be ended by it, takes no other yet.
        then = self.claim_ahead if success and not (chain or hook) else None
        # On its own it is one write; a caller's transaction (`sync=True`) needs a savepoint.
        whole = transaction.atomic() if chain or connection.in_atomic_block else nullcontext()
        with whole:
            if not transitions.settle(self.task["id"], self.lease, state, outcome, values, then):
                return False
            if chain:  # a failed step holds its chain; django-q2 itself would go on
                async_chain(list(chain), group=self.task.get("group"), sync=False)
        if record is not None:
            record.result = self.task["result"]
            transaction.on_commit(partial(self.tell, record, saved))
        return True

    def record(self, success: bool, stored: str | None) -> Task:
        return records.record_of(self.task, success, stored, self.lease.attempt)

    def tell(self, record: Task, saved: bool) -> None:
        """Call the task's hook, as django-q2 does when it has saved a record."""
        with self.told() if record.hook else nullcontext():
            if saved:
                post_save.send_robust(Task, instance=record, created=True, raw=False)
            else:
                call_hook(Task, record)
