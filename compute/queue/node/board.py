"""The numbers that a node's processes show each other, in memory that they share.

The memory has no name and no lock, so nothing is needed of the machine for it, and no killed
process can leave it locked: each number has one writer, and is read and written whole.
"""

from __future__ import annotations

import ctypes
import mmap
import time
from collections.abc import Collection
from typing import Any

#: How many bills a worker keeps: more than it can have between two looks of its guard.
BILLS = 1024
#: How many tasks a worker can have claimed together, and how many bytes of outcomes not written.
MOST, SPOOL_BYTES = 32, 1 << 16


class Slot(ctypes.Structure):
    """A worker, as its guard and its siblings see it. The worker alone writes."""

    _fields_ = (
        # Its process group, in which is what its task starts, too; 0 before it has one.
        ("group", ctypes.c_int64),
        # The package of what it runs, whose lease the guard renews; 0 if it is idle.
        ("held", ctypes.c_int64),
        # The same of all that it has claimed together with that, until it has written what became
        # of them; and when it claimed them, by the monotonic clock.
        ("batch", ctypes.c_int64 * MOST),
        ("claimed", ctypes.c_double),
        # Outcomes that it has not written yet: which spool it is, how many bytes, and these.
        ("spool", ctypes.c_int64),
        ("spooled", ctypes.c_int64),
        ("outcomes", ctypes.c_char * SPOOL_BYTES),
        # The spool that its guard has taken over, with what has not begun of the batch, and how
        # many outcomes it had then. Written by the guard.
        ("taken", ctypes.c_int64),
        ("taken_count", ctypes.c_int64),
        # Whether it waits to be rung for.
        ("waiting", ctypes.c_int64),
        # Whether it is reading the package, which runs code of what is in it.
        ("reading", ctypes.c_int64),
        # How much of what it runs is done, from 0 to 1, as that says.
        ("progress", ctypes.c_double),
        # The time limit of what it runs, in seconds; and when it is killed, by the monotonic
        # clock, if it has not ended by then. 0 if there is none.
        ("limit_s", ctypes.c_double),
        ("deadline", ctypes.c_double),
        # How many tasks it has begun, and how many ended, since the node has started.
        ("begun", ctypes.c_int64),
        ("ended", ctypes.c_int64),
        # For which flow it works, and since when by the monotonic clock; 0 if it is idle.
        ("flow", ctypes.c_int64),
        ("since", ctypes.c_double),
        # For whom it has worked how long: the last of so many bills. And how many of these have
        # been charged, and seconds of the next, while its task ran. Written by the guard.
        ("bills", ctypes.c_int64),
        ("charged", ctypes.c_int64),
        ("charged_s", ctypes.c_double),
        ("billed_to", ctypes.c_int64 * BILLS),
        ("billed_s", ctypes.c_double * BILLS),
    )
    group: int
    held: int
    batch: list[int]
    claimed: float
    spool: int
    spooled: int
    taken: int
    taken_count: int
    waiting: int
    reading: int
    progress: float
    limit_s: float
    deadline: float
    begun: int
    ended: int
    flow: int
    since: float
    bills: int
    charged: int
    charged_s: float
    billed_to: list[int]
    billed_s: list[float]
    outcomes: Any

    def is_over(self) -> bool:
        """Whether what it runs should have been ended by its limit, and was not."""
        return 0 < self.deadline < time.monotonic()

    def begin_for(self, flow: int) -> None:
        self.flow = flow
        self.since = time.monotonic()

    def bill(self) -> None:
        """By the worker, when it has worked for a flow, to whatever end."""
        place = self.bills % BILLS
        self.billed_to[place], self.billed_s[place] = self.flow, time.monotonic() - self.since
        self.since = 0.0
        self.bills += 1

    def ids(self) -> list[int]:
        """The packages that the worker holds."""
        batch = () if self.was_taken else self.batch
        return [queue_id for queue_id in {self.held: 1, **dict.fromkeys(batch)} if queue_id]

    def have(self, ids: Collection[int]) -> None:
        """By the worker: these packages it holds together, and no others."""
        self.batch[:] = [*ids, *[0] * (MOST - len(ids))]

    def keep(self, outcome: bytes) -> bool:
        """By the worker: an outcome that it will write later. False if there is no room."""
        end = self.spooled + len(outcome)
        if end > SPOOL_BYTES:
            return False
        ctypes.memmove(self.place + self.spooled, outcome, len(outcome))
        self.spooled = end
        return True

    def empty(self) -> None:
        """By the worker: the outcomes are written."""
        self.spooled = 0
        self.spool += 1

    def kept(self) -> bytes:
        """The outcomes that the worker has not written, one after another; of one that empties its
        spool meanwhile none."""
        spool, size = self.spool, self.spooled
        outcomes = ctypes.string_at(self.place, size)
        return outcomes if self.spool == spool else b""

    @property
    def place(self) -> int:
        return ctypes.addressof(self) + int(type(self).outcomes.offset)

    @property
    def was_taken(self) -> bool:
        """Whether the guard has taken over what the worker keeps."""
        return self.taken == self.spool

    def clear(self) -> None:
        """By the guard, in the place of a worker that has ended."""
        self.group = self.held = self.reading = self.waiting = 0
        self.progress = self.limit_s = self.deadline = self.since = 0.0
        self.have([])
        self.empty()


class Head(ctypes.Structure):
    _fields_ = (
        # Rises as long as the guard is at work.
        ("heartbeat", ctypes.c_int64),
        # Whether the workers are to claim nothing yet, or no more.
        ("starting", ctypes.c_int64),
        ("stopping", ctypes.c_int64),
        # Whether the reporter is to end when it has told of everything.
        ("closing", ctypes.c_int64),
        # How often the guard has put up again what nobody held any more.
        ("again", ctypes.c_int64),
        # Whether there are flows with a limit, and several that share the workers, as far as the
        # guard knows; and how often it has charged what these have had.
        ("limited", ctypes.c_int64),
        ("shared", ctypes.c_int64),
        ("charges", ctypes.c_int64),
        # Whether an operator drains the node, or has paused its queue.
        ("draining", ctypes.c_int64),
        ("paused", ctypes.c_int64),
    )
    heartbeat: int
    starting: int
    stopping: int
    closing: int
    again: int
    limited: int
    shared: int
    charges: int
    draining: int
    paused: int

    @property
    def claims(self) -> bool:
        """Whether the workers may claim another task."""
        return not (self.starting or self.stopping or self.draining or self.paused)


class Board:
    """A node's numbers: those of the guard, and a slot for each worker."""

    def __init__(self, workers: int) -> None:
        size = ctypes.sizeof(Head) + workers * ctypes.sizeof(Slot)
        memory = mmap.mmap(-1, size)
        self.head = Head.from_buffer(memory)
        self.slots = list((Slot * workers).from_buffer(memory, ctypes.sizeof(Head)))
        for slot in self.slots:
            slot.spool = 1  # none is taken

    def held(self) -> list[int]:
        """The packages that the node's workers have, by their ids."""
        return [queue_id for slot in self.slots for queue_id in slot.ids()]

    @property
    def begun(self) -> int:
        """How many tasks its workers have begun, since the node has started."""
        return sum(slot.begun for slot in self.slots)

    @property
    def waiting(self) -> bool:
        """Whether a worker waits to be rung for."""
        return any(slot.waiting for slot in self.slots)

    def groups(self) -> list[int]:
        """The process groups of its workers."""
        return [slot.group for slot in self.slots]

    def clear(self) -> None:
        """By a guard that has just started: its workers are gone."""
        self.head.stopping = self.head.closing = 0
        for slot in self.slots:
            slot.clear()
