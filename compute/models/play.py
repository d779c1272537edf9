"""Tasks played through one by one, as they will be claimed; no rows in here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from math import inf

from .fluid import Line

#: How many ends of tasks are played through at most.
MOST = 400


class Play:
    """Tasks that are claimed one by one, each as long as the mean of its line.

    As if each claim saw all that everybody has had until then. Of other nodes' workers it does a
    little later, which evens out.
    """

    def __init__(self, lines: Sequence[Line], workers: int) -> None:
        self.lines = lines
        busy = sum(len(line.at_work) for line in lines)
        self.free = max(0, workers - busy)
        #: How many of those at work claim nothing when their task ends: their node is drained.
        self.leaving = max(0, busy - workers)
        self.now = 0.0
        self.waiting = [round(line.waiting) for line in lines]
        #: Of each client the lines in which something waits.
        self.open: dict[str, list[int]] = defaultdict(list)
        for i, line in enumerate(lines):
            if self.waiting[i]:
                self.open[line.client].append(i)
        #: When a task ends, of which line it is, and since when it is not charged.
        self.at_work = [(left, i, 0.0) for i, line in enumerate(lines) for left in line.at_work]
        heapify(self.at_work)
        self.slots = Counter(lines[i].pool for _, i, _ in self.at_work)
        self.served = [line.served for line in lines]
        self.had = {line.client: line.had for line in lines}
        for i, line in enumerate(lines):
            if line.unbilled:
                self.charge(i, line.unbilled)
        #: When the first task started that had waited, and when the last ended, by line.
        self.starts: dict[int, float] = {}
        self.ends: dict[int, float] = {}

    def play(self, which: int | None = None) -> None:
        """Until a line is through, or as long as it is worth it."""
        for _ in range(MOST):
            while self.free and self.claim():
                pass
            if which in self.ends or not self.at_work:
                return
            self.end()

    def claim(self) -> bool:
        """Start the next task; false if none may."""
        self.reckon()
        for client in sorted(self.open, key=self.turn_of_client):
            if may := [i for i in self.open[client] if self.has_slot(self.lines[i])]:
                self.start(min(may, key=self.turn))
                return True
        return False

    def turn_of_client(self, client: str) -> float:
        """The lowest is next; a newcomer is before all."""
        had = self.had[client]
        return -inf if had is None else had

    def turn(self, i: int) -> float:
        """The same among the lines of a client."""
        served = self.served[i]
        return -inf if served is None else served

    def has_slot(self, line: Line) -> bool:
        return line.at_once is None or self.slots[line.pool] < line.at_once

    def start(self, i: int) -> None:
        line = self.lines[i]
        self.waiting[i] -= 1
        if not self.waiting[i]:
            self.open[line.client].remove(i)
        self.free -= 1
        self.slots[line.pool] += 1
        heappush(self.at_work, (self.now + line.mean, i, self.now))
        self.starts.setdefault(i, self.now)

    def end(self) -> None:
        self.now, i, since = heappop(self.at_work)
        self.charge(i, self.now - since)
        if self.leaving:
            self.leaving -= 1
        else:
            self.free += 1
        self.slots[self.lines[i].pool] -= 1
        if not self.waiting[i] and all(other != i for _, other, _ in self.at_work):
            self.ends[i] = self.now

    def reckon(self) -> None:
        """Charge what is at work for all that it has had by now."""
        for place, (end, i, since) in enumerate(self.at_work):
            self.charge(i, self.now - since)
            self.at_work[place] = (end, i, self.now)

    def charge(self, i: int, seconds: float) -> None:
        """Who is new begins where the least served of the others is."""
        if not seconds:
            return
        line, served = self.lines[i], self.served[i]
        had = self.had[line.client]
        share = seconds / line.weight
        self.served[i] = share + (self.least_line(line.client) if served is None else served)
        self.had[line.client] = share + (least(self.had.values()) if had is None else had)

    def least_line(self, client: str) -> float:
        """What the least served line of a client has had."""
        its = zip(self.lines, self.served, strict=True)
        return least(served for line, served in its if line.client == client)

    def left(self) -> list[Line]:
        """The lines as they are by now."""
        self.reckon()
        at_work: list[list[float]] = [[] for _ in self.lines]
        for end, i, _ in self.at_work:
            at_work[i].append(end - self.now)
        return [
            line._replace(
                waiting=waiting,
                at_work=tuple(ends),
                served=served,
                had=self.had[line.client],
                unbilled=0.0,
            )
            for line, waiting, ends, served in zip(
                self.lines, self.waiting, at_work, self.served, strict=True
            )
        ]


def least(served: Iterable[float | None]) -> float:
    return min((each for each in served if each is not None), default=0.0)
