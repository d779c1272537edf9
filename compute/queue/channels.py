"""How a node's processes talk, without a lock that a killed one could leave held.

django-q2's own queues and timers share locks between its processes: a worker that is
killed while it waits for a task takes the lock of all others with it, and the node
stands still for good. Here a datagram is sent whole or not at all, a number in shared
memory has one writer, and what a worker gets comes from the database.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import select
import socket
import time
from collections import Counter
from functools import partial
from multiprocessing.sharedctypes import RawValue
from typing import TYPE_CHECKING, Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django_q.conf import Conf

from . import kernel, tally
from .logs import ids
from .progress import report_to

if TYPE_CHECKING:
    from .broker import DatabaseBroker
    from .engines import Lease

log = logging.getLogger(__name__)

#: Seconds after which an idle worker looks for a task although no bell has rung.
SLOW_POLL = 1.0
#: How many messages are taken at once: enough to spare work, few enough to tell of them soon.
BATCH = 50
#: What ends a django-q2 worker or monitor that gets it.
STOP = "STOP"


class Mailbox:
    """Datagrams from any process of the node to any other; what does not fit is dropped."""

    def __init__(self) -> None:
        self.inlet, self.outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.inlet.setblocking(False)
        self.outlet.setblocking(False)

    def close(self) -> None:
        self.inlet.close()
        self.outlet.close()

    def send(self, message: bytes) -> bool:
        """False when nobody has read for long and it is full, or the message is too long."""
        try:
            self.inlet.send(message)
        except OSError:
            return False
        return True

    def receive(self, timeout: float) -> bytes | None:
        """The oldest message; None after `timeout` seconds, or if another was quicker."""
        if not select.select([self.outlet], [], [], timeout)[0]:
            return None
        with contextlib.suppress(BlockingIOError):
            return self.outlet.recv(1 << 18)
        return None


class NoQueue:
    """Answers what django-q2's statistics ask of its queues: nothing waits in a node."""

    @staticmethod
    def qsize() -> int:
        return 0

    @staticmethod
    def empty() -> bool:
        return True


class Bell(Mailbox):
    """Wakes one idle worker; a worker that finds a task rings for the next."""

    def ring(self) -> None:
        self.send(b"!")  # full is as good: then enough have been rung for

    def wait(self, timeout: float) -> None:
        """Until it is rung, or was. All rings are taken at once, for who finds a task rings
        again; left lying, those of a burst would have workers claim nothing for hundreds
        of times at its end."""
        ring = self.receive(timeout)
        while ring is not None:
            ring = self.receive(0)


class Inbox:
    """What a worker asks for its next task: stands where django-q2's task queue stands.

    The worker claims from the database itself, so nothing is fetched ahead, and a dead
    worker costs no more than what it ran. Each has an Inbox of its own.

    SQLite's writes come one after another, and each waits for its turn. There a worker
    claims its next task in the write that settles its last one.
    """

    def __init__(self, broker: DatabaseBroker, bell: Bell, stopping: Any) -> None:
        self.broker = broker
        self.bell = bell
        self.stopping = stopping
        #: Queue id of what the worker runs, whose lease the sentinel renews; 0 if idle.
        self.held = RawValue("q", 0)
        #: The same of what it will run next, if it has claimed that already.
        self.ahead = RawValue("q", 0)
        self.claimed: list[tuple[Lease, str]] = []
        #: How much of that is done, as it says.
        self.progress = RawValue("d", 0)
        #: How many tasks the worker has ended.
        self.ended = RawValue("L", 0)
        self.noted = 0.0  # what the sentinel has written down of it

    def get(self) -> dict[str, Any] | str:
        """The next task, or STOP; waits for one, and for a database that is away."""
        self.ended.value += self.held.value > 0
        self.held.value = 0
        while not self.stopping.value:
            kernel.end_if_orphaned()
            task = self.next_task()
            if task is not None:
                self.bell.ring()
                return task
            self.bell.wait(SLOW_POLL)
        return STOP

    def next_task(self) -> dict[str, Any] | None:
        """What was claimed ahead, or else is claimed now; None if there is nothing to run."""
        try:
            report_to(self.progress)
            claimed, self.claimed = self.claimed, []
            for lease, package in claimed or self.broker.claim(1):
                self.held.value = lease.queue_id  # from here on it answers for this one
                self.ahead.value = 0
                task = self.broker.unpack(lease, package)
                if task is not None:
                    task["cluster"], task["ack_id"] = Conf.CLUSTER_NAME, lease
                    task["claim_ahead"] = self.claim_ahead
                    if lease.attempt > 1:
                        note_again(task, lease)
                    return task
        except (OperationalError, InterfaceError) as error:
            log.warning("the database is away: %s", error)
            connection.close()
            time.sleep(0.5)
        self.held.value = self.ahead.value = 0
        return None

    def claim_ahead(self) -> None:
        """Claim the next task, too, in the transaction that settles the last one.

        A worker that dies before it has begun with it has only its lease: whoever sees to
        its end gives that back.
        """
        if not self.stopping.value:
            transaction.on_commit(partial(self.keep, self.broker.claim(1)))

    def keep(self, claimed: list[tuple[Lease, str]]) -> None:
        self.claimed = claimed
        if claimed:
            self.ahead.value = claimed[0][0].queue_id


def note_again(task: dict[str, Any], lease: Lease) -> None:
    """Say and count that a task is run again: which is rare, so at once."""
    why = "its lease had ended" if lease.expired else "it was given back or retried"
    level = logging.WARNING if lease.expired else logging.INFO
    log.log(level, "again: %s: %s", task["name"], why, extra=ids(task))
    func = tally.function_of(task)
    tally.add_if_possible(
        Counter({(func, tally.REDELIVERED): 1, (func, tally.EXPIRED): int(lease.expired)})
    )


class Outbox(Mailbox, NoQueue):
    """What a worker tells the monitor: stands where django-q2's result queue stands."""

    def put(self, task: dict[str, Any] | str) -> None:
        """Send a task that has run; its outcome is written already. A large one goes slim.

        While the monitor has as much to read as the socket holds, the worker waits.
        """
        select.select([], [self.inlet], [], SLOW_POLL)
        if self.send(pickle.dumps(task)) or not isinstance(task, dict):
            return
        slim = {**task, "args": (), "kwargs": {}, "result": None}
        if not self.send(pickle.dumps(slim)):
            log.warning("the monitor does not listen; nobody is told of %s", task["name"])

    def get_all(self, until: float = 0.0) -> list[Any]:
        """Wait a second for a message; it, and others that come before the moment `until`
        (`time.monotonic`) or are there already."""
        message = self.receive(SLOW_POLL)
        if message is None:
            return []
        messages = [pickle.loads(message)]
        while len(messages) < BATCH:
            message = self.receive(max(0.0, until - time.monotonic()))
            if message is None:
                break
            messages.append(pickle.loads(message))
        return messages


class Timer:
    """A worker's time limit: stands where django-q2 counts a shared value down under a lock.

    The worker sets seconds and the sentinel reads what is left of them. -1 is idle or no
    limit, -2 recycled, 0 is over. Only the worker writes.
    """

    def __init__(self) -> None:
        self.sentinel = os.getpid()
        self.deadline = RawValue("d", -1)
        self.limit = RawValue("d", 0)

    @staticmethod
    def get_lock() -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    @property
    def value(self) -> float:
        deadline = float(self.deadline.value)
        return max(0.0, deadline - time.monotonic()) if deadline > 0 else deadline

    @value.setter
    def value(self, seconds: float) -> None:
        if os.getpid() != self.sentinel:
            self.limit.value = seconds
            self.deadline.value = time.monotonic() + seconds if seconds > 0 else seconds
