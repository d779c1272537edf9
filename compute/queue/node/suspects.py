"""The tasks that may have killed their node's guard: paused, and failed at last.

A guard that dies takes all workers along, and nobody knows which of their tasks it was, if any. So
a task is suspected only if it was begun last of all, and a moment before. A guard that is killed
from outside has such a task, too, but hardly ever the same one again; one that kills its guard is
suspected each time. Only the supervisor, which survives, can count: it does so in its memory.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import NamedTuple

from django.utils import timezone

from .. import transitions
from ..models import Job
from .board import Board
from .channels import Reports

#: Seconds that a task has been at work, at most, to be suspected.
SOON_S = 5
#: How often a task is suspected before it counts as failed.
MOST = 10
#: Seconds for which it is not up again, from the second time on: twice as many each time. Others
#: get on meanwhile.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1, 5
#: How many tasks are remembered.
REMEMBERED = 1_000


class Suspects:
    def __init__(self) -> None:
        #: How often each was suspected, by its package's id.
        self.counts: dict[int, int] = {}

    def note(self, board: Board) -> int:
        """Suspect a task of a guard that has just died; its package's id, or 0."""
        now = time.monotonic()
        at_work = [(slot.since, slot.held) for slot in board.slots if slot.held and slot.since]
        since, suspect = max(at_work, default=(0.0, 0))
        if not suspect or now - since > SOON_S:
            return 0
        self.counts[suspect] = self.counts.pop(suspect, 0) + 1
        if len(self.counts) > REMEMBERED:
            del self.counts[next(iter(self.counts))]
        return suspect

    def pause(self, node: str, suspect: int) -> None:
        """Give back a task of a node that is suspected again, to be up in a while."""
        again = self.counts.get(suspect, 0) - 1
        if again > 0:
            seconds = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (again - 1))
            held = Job.objects.filter(node=node, queue_id=suspect).held()
            transitions.give_back(held, timedelta(seconds=seconds))

    def culprits(self) -> list[Culprit]:
        return [Culprit(suspect) for suspect, count in self.counts.items() if count >= MOST]


class Culprit(NamedTuple):
    """A task that was suspected too often; the next guard fails it, as it reads its package."""

    queue_id: int
    pid: int = 0

    def bury(self, node: str, reports: Reports) -> None:
        Job.objects.filter(queue_id=self.queue_id).fail(
            f"the guard of its worker was killed just after it had been started, for the {MOST}th "
            f"time, at {timezone.now():%Y-%m-%d %H:%M:%S} UTC",
            "WorkerDied",
        )
