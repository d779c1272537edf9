"""What each task finds of its worker's process, and may spoil for the next: standard input and
output, the database's files, and limits.

Closed files are looked for after each task, in a system call; the rest, which takes some ten times
as long, at most every five milliseconds.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
from collections.abc import Collection
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

from django.db import connection

from ..engines import engine

#: Seconds from one whole look to the next, at least.
LOOK_S = 0.005
#: From where on there are copies of standard input and output.
SPARE = 500
#: The limits that make others fail. Not every system has each.
LIMITS = [
    getattr(resource, f"RLIMIT_{name}")
    for name in ("NOFILE", "AS", "DATA", "STACK", "FSIZE", "NPROC", "CPU")
    if hasattr(resource, f"RLIMIT_{name}")
]

#: A file by its device and its number there; None if a descriptor is closed.
Identity = tuple[int, int] | None


class Spoilt(NamedTuple):
    what: str
    #: Whether the database can't be used in this process any more.
    database: bool = False


class Footing:
    """As it is now, before any task."""

    def __init__(self) -> None:
        self.standard = {number: identity(number) for number in range(3)}
        self.spare: dict[int, int] = {}
        for number in range(3):
            with suppress(OSError, ValueError):  # it is closed, or a limit is lower
                self.spare[number] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, SPARE)
        self.limits = [resource.getrlimit(limit) for limit in LIMITS]
        #: The driver's connection whose files are known, and these, by their descriptors.
        self.driver: Any = None
        self.database: dict[int, Identity] = {}
        self.looked = 0.0
        self.poll = self.watched()

    def watched(self) -> select.poll:
        poll = select.poll()
        for number, found in {**self.standard, **self.database}.items():
            if found:
                poll.register(number, 0)
        return poll

    def begin(self) -> None:
        """Before a task: get to know the database's files, if there is another connection."""
        if connection.connection is not self.driver:
            self.learn()

    def learn(self) -> None:
        self.driver = connection.connection
        self.database = opened(files()) if self.driver else {}
        self.poll = self.watched()

    def spoilt(self) -> Spoilt | None:
        """What the last tasks have spoilt, if they have."""
        now = monotonic()
        if now - self.looked < LOOK_S and not self.has_closed():
            return None
        self.looked = now
        if self.has_lost_database():
            return Spoilt("has closed the files of the database", database=True)
        if any(identity(number) != found for number, found in self.standard.items()):
            return Spoilt("has closed or replaced its worker's standard input or output")
        if self.lowered():
            return Spoilt("has lowered its worker's resource limits")
        return None

    def lowered(self) -> dict[int, tuple[int, int]]:
        """The limits that leave less than before, and what these were. A limit that has been raised
        spoils nothing: an operator may do so when a worker has met it."""
        now = [resource.getrlimit(limit) for limit in LIMITS]
        if now == self.limits:
            return {}
        return {
            limit: before
            for limit, before, (soft, hard) in zip(LIMITS, self.limits, now, strict=True)
            if is_lower(soft, before[0]) or is_lower(hard, before[1])
        }

    def has_closed(self) -> bool:
        """Whether one is closed; or may be, under a limit that allows for fewer."""
        try:
            return any(event & select.POLLNVAL for _, event in self.poll.poll(0))
        except OSError:
            return True

    def has_lost_database(self) -> bool:
        """SQLite can't do without: what it knows of a file is by its descriptor, and kept for as
        long as there is the process. Another connection to it may have been closed, though."""
        if connection.connection is not self.driver or not any(
            identity(number) != found for number, found in self.database.items()
        ):
            return False
        before = set(self.database.values())
        self.learn()
        return set(self.database.values()) < before

    def mend(self) -> None:
        """Put back what can be, for the outcome's write, and the words of it."""
        for number, found in self.standard.items():
            if identity(number) == found:
                continue
            spare = self.spare.get(number, -1)
            if found and identity(spare) == found:
                os.dup2(spare, number)
            else:  # no other file may get its number
                with suppress(OSError):
                    null = os.open(os.devnull, os.O_RDWR)
                    os.dup2(null, number)
                    if null > 2:
                        os.close(null)
        for limit, before in self.lowered().items():
            with suppress(OSError, ValueError):  # it may be lowered for good
                resource.setrlimit(limit, before)


def is_lower(limit: int, than: int) -> bool:
    return limit != resource.RLIM_INFINITY and (than == resource.RLIM_INFINITY or limit < than)


def identity(number: int) -> Identity:
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def files() -> list[str]:
    """The files that the database's engine can't do without."""
    return [f"{connection.settings_dict['NAME']}{ending}" for ending in engine().FILES]


def opened(files: Collection[str]) -> dict[int, Identity]:
    """The descriptors of this process that are one of these files."""
    wanted: set[Identity] = set()
    for file in files:
        with suppress(OSError, ValueError):
            there = os.stat(file)
            wanted.add((there.st_dev, there.st_ino))
    if not wanted:
        return {}
    numbers = map(int, os.listdir("/dev/fd"))
    return {number: found for number in numbers if (found := identity(number)) in wanted}
