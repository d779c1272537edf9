"""The workers as their guard has them: the living, and those whose end is to be written down."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from django.db import Error

from ..logs import seldom
from ..models import Job
from ..text import one_line
from . import leases
from .batch import Unwritten, is_stuck, take_over, unwritten, write_for
from .board import Slot
from .channels import Reports
from .processes import Child
from .worker import work

log = logging.getLogger(__name__)

#: Why the guard ended a process.
CANCELLED, FROZEN, OVER = "ran what has been cancelled", "was frozen", "ran out of time"


class WorkerChild(Child):
    """A worker, and the numbers that it shows."""

    def __init__(self, slot: Slot, *args: Any) -> None:
        super().__init__("worker", work, *args)
        self.slot = slot
        self.begun = slot.begun  # when the process started
        self.noted = 0, 0.0  # its task, and how far that was when it was written down

    def stopped_if(self, condition: Callable[[], bool]) -> bool:
        """Stop the process where it is, if that is so then, and it has not gone on meanwhile."""
        if not self.is_alive():  # to start another has waited for it, so its id may be anybody's
            return False
        os.kill(self.pid, signal.SIGSTOP)
        if condition():
            return True
        os.kill(self.pid, signal.SIGCONT)
        return False

    def is_over(self) -> bool:
        """Whether its task has not ended by its limit; if so, it is stopped."""
        return self.is_alive() and self.slot.is_over() and self.stopped_if(self.slot.is_over)

    @property
    def has_gone_on(self) -> bool:
        """Whether its task has told how far it is, and that is not written down."""
        return all(self.seen) and self.seen != self.noted

    @property
    def seen(self) -> tuple[int, float]:
        return self.slot.held, self.slot.progress

    def note_progress(self, node: str) -> None:
        seen = self.seen
        leases.note_progress(node, *seen)
        self.noted = seen

    @property
    def is_stuck(self) -> bool:
        """Whether it has been at a task for long while others wait for that."""
        return self.process is not None and is_stuck(self.slot)

    def take_over(self, node: str, reports: Reports) -> None:
        take_over(node, self.slot, self.pid, reports)

    def left(self, pid: int, how: str, why: str) -> Dead:
        """What it has left, having ended; its place is free for another."""
        slot, kept = self.slot, list(unwritten(self.slot))
        dead = Dead(pid, slot.held, bool(slot.reading), slot.limit_s, how, why, kept)
        slot.clear()
        return dead


def stopped_for_good(node: str, workers: Collection[WorkerChild]) -> list[WorkerChild]:
    """The workers whose job has been cancelled, stopped where they are."""
    holders = {child.slot.held: child for child in workers if child.process}
    holders.pop(0, None)
    try:
        found = leases.cancelled(node, list(holders)) if holders else []
    except Error as error:
        seldom(log, "nothing can be cancelled: %s", one_line(error))
        return []
    return [
        holders[queue_id]
        for queue_id in found
        if holders[queue_id].stopped_if(lambda: holders[queue_id].slot.held == queue_id)  # noqa: B023
    ]


class Dead(NamedTuple):
    """A worker that has ended, and whose end is not yet written down."""

    pid: int
    #: The package of what it ran, 0 if it was idle.
    held: int
    #: Whether it had not yet read that.
    unread: bool
    limit_s: float
    how: str
    #: Why the guard ended it; "" if it ended by itself.
    why: str
    #: The outcomes that it had not written.
    kept: Collection[Unwritten] = ()

    def bury(self, node: str, reports: Reports) -> None:
        """Write down what it has done and what it ran, which may be what killed it, and give back
        what it held."""
        write_for(self.kept, reports)
        claimed = Job.objects.filter(node=node, worker=self.pid)
        ran = claimed.filter(queue_id=self.held)
        if self.why == OVER:
            reason = f"it ran for more than {self.limit_s:g} seconds and had to be killed"
            ran.fail(reason, "TimeoutException")
        elif not self.why:  # by itself, with whatever exit code
            ran.bury(self.how, self.unread)
        claimed.give_back()  # of the rest it had begun with nothing
