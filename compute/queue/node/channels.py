"""How a node's processes talk, without a lock that a killed one could leave held.

A datagram is sent whole or not at all. What a worker runs comes from the database.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import select
import socket
import time
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any

from ..text import one_line

log = logging.getLogger(__name__)

#: Seconds after which an idle process looks by itself, although nobody has woken it.
SLOW_POLL_S = 1.0
#: How many reports are taken at once: enough to spare work, few enough to tell of them soon.
BATCH = 50
#: Bytes of a message at most.
MOST_BYTES = 1 << 18
#: Of what follows.
LENGTH = Struct("<I")


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

    def receive(self, timeout_s: float) -> bytes | None:
        """The oldest message; None after the timeout, or if another process was quicker."""
        if not select.select([self.outlet], [], [], timeout_s)[0]:
            return None
        with contextlib.suppress(BlockingIOError):
            return self.outlet.recv(MOST_BYTES)
        return None


class Bell(Mailbox):
    """Wakes one idle worker; a worker that finds a task rings for the next."""

    def ring(self) -> None:
        self.send(b"!")  # full is as good: then enough have been rung for

    def wait(self, timeout_s: float) -> None:
        """Until it is rung, or was. The worker takes all rings at once, for it rings again if it
        finds a task. The rings of a burst would else have workers look hundreds of times for
        nothing at its end."""
        ring = self.receive(timeout_s)
        while ring is not None:
            ring = self.receive(0)


class Reports(Mailbox):
    """Tasks that have run, as workers tell the reporter. Their outcomes are written already."""

    def post(self, task: dict[str, Any]) -> None:
        """Tell of a task; of a large one without its values.

        While the reporter is far behind, the worker waits for it, a second at most.
        """
        select.select([], [self.inlet], [], SLOW_POLL_S)
        with contextlib.suppress(Exception):  # the function may have changed its arguments
            if self.send(framed(pickle.dumps(task))):
                return
        if not self.send(framed(pickle.dumps(slim(task)))):
            log.warning("the reporter does not listen; nobody is told of %s", task["name"])

    def post_all(self, reports: Sequence[bytes]) -> None:
        """Tell of several tasks, of each by its `packed` report, in the same way."""
        select.select([], [self.inlet], [], SLOW_POLL_S)
        messages = [framed(report) for report in reports]
        if not self.send(b"".join(messages)):
            untold = [each for each in messages if not self.send(each)]
            if untold:
                log.warning(
                    "the reporter does not listen; nobody is told of %s task(s)", len(untold)
                )

    def wake(self) -> None:
        """Have the reporter look up, although there is nothing to tell."""
        self.send(b"")

    def collect(self, until: float, patience_s: float) -> list[dict[str, Any]]:
        """Wait so long for a report; it, and others that come before the moment `until`
        (`time.monotonic`) or are there already. What can't be read costs no other."""
        reports: list[dict[str, Any]] = []
        message = self.receive(patience_s)
        while message:
            for report in frames(message):
                try:
                    reports.append(pickle.loads(report))
                except Exception as error:  # the function may have changed its arguments
                    log.warning("what was told of a task can't be read: %s", one_line(error))
            if len(reports) >= BATCH:
                break
            message = self.receive(max(0.0, until - time.monotonic()))
        return reports


def slim(task: dict[str, Any]) -> dict[str, Any]:
    return {**task, "args": (), "kwargs": {}, "result": None}


def packed(task: dict[str, Any], at_most: int) -> bytes:
    """A report of a task, without its values if it were of more bytes than that with them."""
    with contextlib.suppress(Exception):  # the function may have changed its arguments
        report = pickle.dumps(task)
        if len(report) <= at_most:
            return report
    return pickle.dumps(slim(task))


def framed(content: bytes) -> bytes:
    """With its length before it, so that several can follow one another."""
    return LENGTH.pack(len(content)) + content


def frames(message: bytes) -> Iterator[bytes]:
    """What was framed, one after another."""
    at = 0
    while at < len(message):
        (length,) = LENGTH.unpack_from(message, at)
        at += LENGTH.size + length
        yield message[at - length : at]
