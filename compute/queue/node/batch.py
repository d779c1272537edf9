"""What a worker has claimed together, and what became of it: written together, too."""

from __future__ import annotations

import logging
import pickle
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from math import ceil
from time import monotonic

from django.db import Error, connection

from .. import transitions
from ..away import is_away, persistently
from ..delivery import Kept
from ..engines import Lease
from ..engines.values import Outcome, Then
from ..models import Job
from ..text import one_line
from .board import MOST, Slot
from .channels import Reports, framed, frames, packed

log = logging.getLogger(__name__)

#: Seconds within which all tasks of a batch begin, as long as they take what the last ones took.
BATCH_S = 0.02
#: Seconds after which the rest of one is put up for others.
LATE_S = 0.25
#: How much the last task counts for how long the next will take, beside all before it.
LAST = 0.2
#: After so many batches in a row that were smaller than they might be, a worker rests for so many
#: seconds before it claims: there is more of it then, and who queues it has the database meanwhile.
#: Not for tasks that take longer than the rest.
SMALL_ONES, REST_S = 4, 0.005
#: Bytes that a report of one of them has, at most, with its values.
REPORT_BYTES = 4096
#: How many flows' times are remembered.
FLOWS = 100

Claimed = tuple[Lease, str]
#: An outcome, and the report of its task.
Unwritten = tuple[Outcome, bytes]


class Batch:
    """Tasks of one flow, which take next to nothing each: to claim and to write each alone would
    take longer than to run it.

    The outcomes that are not written yet lie in the node's memory as well. If the worker dies, or
    a task takes longer than others have, the guard writes them, and gives back what has not begun.
    Where both write, one of them is too late, and changes nothing.
    """

    def __init__(self, slot: Slot, reports: Reports) -> None:
        self.slot = slot
        self.reports = reports
        self.ahead: deque[Claimed] = deque()
        #: How many in a row were smaller than they might have been, with nothing but work between.
        self.small = 0
        #: Whether it was claimed since somebody has looked.
        self.is_fresh = False
        #: Outcomes that are not written yet, each with its report, the oldest first.
        self.kept: list[tuple[Kept, bytes]] = []
        #: How long a task of a flow takes, by the last ones, in seconds.
        self.times: dict[int, float] = {}

    @property
    def is_late(self) -> bool:
        return monotonic() - self.slot.claimed > LATE_S

    @property
    def rests(self) -> bool:
        """Whether the worker is to rest before it claims."""
        return self.small >= SMALL_ONES

    @property
    def is_due(self) -> bool:
        """Whether what is kept is to be written now."""
        return not self.ahead or monotonic() - self.slot.claimed > BATCH_S

    def size(self, lease: Lease) -> int:
        """How many tasks of a lease's flow are worth to be claimed together, with its own: a power
        of two, for each number is a statement of its own to the database."""
        seconds = self.times.get(lease.flow)
        if seconds is None or lease.attempt != 1 or lease.is_limited:
            return 1
        size = ceil(BATCH_S / max(seconds, BATCH_S / MOST))
        return 1 << (size.bit_length() - 1)

    @property
    def is_small(self) -> bool:
        """Whether there might have been more in it, of tasks that take less than a rest."""
        if not self.ahead:
            return False
        lease = self.ahead[0][0]
        return self.times.get(lease.flow, REST_S) < REST_S and len(self.ahead) < self.size(lease)

    def note(self, flow: int, seconds: float, plain: bool) -> None:
        """How long a task has taken; one that is not `plain` is claimed and written alone."""
        taken = seconds if plain else 2 * BATCH_S
        before = self.times.pop(flow, taken)
        self.times[flow] = before + LAST * (taken - before)
        if len(self.times) > FLOWS:
            del self.times[next(iter(self.times))]

    def add(self, claimed: Collection[Claimed]) -> None:
        """These have been claimed; all before them are written."""
        self.ahead, self.is_fresh = deque(claimed), bool(claimed)
        self.slot.claimed = monotonic()
        self.small = self.small + 1 if self.is_small else 0
        self.slot.have([lease.queue_id for lease, _ in claimed])

    def next(self) -> Claimed | None:
        """The next of them, which the worker is answerable for from here on."""
        if not self.ahead:
            return None
        lease, package = self.ahead.popleft()
        self.slot.held = lease.queue_id
        if self.slot.was_taken:  # looked at after it was said what is at work
            self.slot.held = 0
            self.ahead.clear()
            return None
        return lease, package

    def keep(self, kept: Kept) -> bool:
        """Keep an outcome; false if there is nothing that it could be written with, or no room."""
        if not (self.ahead or self.kept):
            return False
        report = packed(kept.delivery.task, REPORT_BYTES)
        if not self.slot.keep(framed(pickle.dumps((kept.outcome, report)))):
            return False
        self.kept.append((kept, report))
        return True

    def write(self, then: Then = None) -> None:
        """Write what is kept, tell of it, and forget it. If the database stays away, its error is
        raised, and what is not written is kept."""
        spool = self.slot.spool
        if self.kept:
            counted = self.write_together(then)
            # The guard may have written the first of them, and has reported them then.
            taken = self.slot.taken_count if self.slot.taken == spool else 0
            reports, alone = [], []
            for place, (kept, report) in enumerate(self.kept):
                if kept.outcome.task_id in counted:
                    reports.append(report)
                    kept.tell()
                elif place < taken:
                    kept.tell()
                else:
                    alone.append((kept, report))
            self.kept = alone
            self.slot.empty()
            self.report(reports)
            self.write_alone()
        elif self.slot.was_taken:
            self.slot.empty()
        if not self.ahead:
            self.slot.have([])

    def write_alone(self) -> None:
        """Those that were refused together, or that somebody had locked."""
        while self.kept:
            kept, _ = self.kept[0]
            if kept.write():
                self.report([packed(kept.delivery.task, REPORT_BYTES)])
            self.kept.pop(0)

    def write_together(self, then: Then) -> set[str]:
        outcomes = [kept.outcome for kept, _ in self.kept]
        try:
            return persistently(partial(transitions.settle_done, outcomes, then))
        except Error as error:
            if is_away(error):
                raise
            log.warning("outcomes are written one by one: %s", one_line(error))
            connection.close()
            return set()

    def report(self, reports: Sequence[bytes]) -> None:
        if reports:
            self.reports.post_all(reports)

    def give_back(self, node: str) -> None:
        """Put up for others what this worker does not begin at once."""
        rest = [lease.queue_id for lease, _ in self.ahead][1:]
        if rest:
            self.ahead = deque([self.ahead[0]])
            kept = [kept.outcome.lease.queue_id for kept, _ in self.kept]
            self.slot.have([*kept, self.ahead[0][0].queue_id])
            Job.objects.filter(node=node, queue_id__in=rest).leave()


def unwritten(slot: Slot) -> Iterator[Unwritten]:
    """The outcomes that a worker keeps, by its guard."""
    for content in frames(slot.kept()):
        yield pickle.loads(content)


def is_stuck(slot: Slot) -> bool:
    """Whether a worker has been at a task for long, and others are waiting for that."""
    waits = monotonic() - slot.claimed > 2 * LATE_S and any(id_ != slot.held for id_ in slot.ids())
    return waits and slot.held > 0


def take_over(node: str, slot: Slot, worker: int, reports: Reports) -> None:
    """By the guard: write what a worker keeps while it is at a task that takes long, and give back
    what that has not begun."""
    spool, batch = slot.spool, [queue_id for queue_id in slot.batch if queue_id]
    kept = list(unwritten(slot))
    slot.taken_count = len(kept)
    slot.taken = spool  # of a worker that has gone on meanwhile it is none any more
    # It may have ended one more before it could know that. It keeps an outcome before it has no
    # task any more, so the task is looked at first.
    begun = {slot.held, *(outcome.lease.queue_id for outcome, _ in unwritten(slot))}
    write_for(kept, reports)
    rest = [queue_id for queue_id in batch if queue_id not in begun]
    Job.objects.filter(node=node, worker=worker, queue_id__in=rest).leave()


def write_for(kept: Collection[Unwritten], reports: Reports) -> None:
    """By the guard: write what a worker has kept, and tell of what counts."""
    if kept:
        counted = transitions.settle_done([outcome for outcome, _ in kept])
        told = [report for outcome, report in kept if outcome.task_id in counted]
        if told:
            reports.post_all(told)
