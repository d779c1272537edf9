"""Tasks played through one by one, as they will be claimed; no rows in here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import cycle

from .fluid import Line

#: How many starts, ends and bills are played through at most.
MOST = 600
#: Seconds between two of a node's bills.
BILLED_S = 0.5


class Play:
    """Tasks that are claimed one by one, each as long as the mean of its line, and billed as nodes
    do it: now and then. In between the order stays as it is."""

    def __init__(self, lines: Sequence[Line], workers: int, nodes: int = 1) -> None:
        self.lines = lines
        self.nodes = nodes
        node = cycle(range(nodes))
        #: The nodes of workers that have nothing to do.
        busy = sum(len(line.at_work) for line in lines)
        self.free = [next(node) for _ in range(workers - busy)]
        #: How many of those at work claim nothing when their task ends: their node is drained.
        self.leaving = max(0, busy - workers)
        self.now = 0.0
        self.waiting = [round(line.waiting) for line in lines]
        #: When a task ends, of which line and node it is, and since when it is not billed.
        self.at_work = [
            (left, i, next(node), 0.0) for i, line in enumerate(lines) for left in line.at_work
        ]
        heapify(self.at_work)
        self.slots = Counter(lines[i].pool for _, i, _, _ in self.at_work)
        self.served = [line.served for line in lines]
        self.had = {line.client: line.had for line in lines}
        self.bills = [[line.unbilled / nodes for line in lines] for _ in range(nodes)]
        #: When the first task started that had waited, and when the last ended, by line.
        self.starts: dict[int, float] = {}
        self.ends: dict[int, float] = {}

    def play(self, which: int | None = None) -> None:
        """Until a line is through, or as long as it is worth it."""
        every = BILLED_S / self.nodes
        due, node, order, billed = every / 2, 0, self.in_turn(), 0
        for _ in range(MOST):
            while self.free and self.claim(order):
                pass
            if which in self.ends or not self.at_work:
                return
            end = self.at_work[0][0]
            if end <= due:
                self.end()
                billed = 0
                continue
            if billed >= self.nodes:
                # Each node has billed since the last end: until the next the last of its bills
                # has all that those before it would have.
                due += BILLED_S * int((end - due) / BILLED_S)
            self.now = max(due, self.now)
            self.bill(node)
            due, node, billed = self.now + every, (node + 1) % self.nodes, billed + 1
            order = self.in_turn()

    def in_turn(self) -> list[int]:
        """The lines in whose order tasks are claimed."""
        known = [-1.0 if served is None else served for served in self.served]
        had = {name: -1.0 if had is None else had for name, had in self.had.items()}
        waiting = (i for i, count in enumerate(self.waiting) if count)
        return sorted(waiting, key=lambda i: (had[self.lines[i].client], known[i], i))

    def claim(self, order: list[int]) -> bool:
        """Start the next task; false if none may."""
        for i in order:
            line = self.lines[i]
            if self.waiting[i] and (line.at_once is None or self.slots[line.pool] < line.at_once):
                break
        else:
            return False
        self.waiting[i] -= 1
        node = self.free.pop()
        self.slots[line.pool] += 1
        heappush(self.at_work, (self.now + line.mean, i, node, self.now))
        self.starts.setdefault(i, self.now)
        return True

    def end(self) -> None:
        self.now, i, node, since = heappop(self.at_work)
        self.bills[node][i] += self.now - since
        if self.leaving:
            self.leaving -= 1
        else:
            self.free.append(node)
        self.slots[self.lines[i].pool] -= 1
        if not self.waiting[i] and all(other != i for _, other, _, _ in self.at_work):
            self.ends[i] = self.now

    def bill(self, node: int) -> None:
        """Who is new begins where the least served of the others is."""
        bills = self.bills[node]
        for place, (end, i, its, since) in enumerate(self.at_work):
            if its == node:
                bills[i] += self.now - since
                self.at_work[place] = (end, i, its, self.now)
        self.bills[node] = [0.0 for _ in self.lines]
        for i, seconds in enumerate(bills):
            if seconds:
                line = self.lines[i]
                self.served[i] = seconds / line.weight + self.least(
                    self.served[i],
                    (
                        served
                        for other, served in zip(self.lines, self.served, strict=True)
                        if other.client == line.client
                    ),
                )
                self.had[line.client] = seconds / line.weight + self.least(
                    self.had[line.client], self.had.values()
                )

    def least(self, served: float | None, others: Iterable[float | None]) -> float:
        if served is not None:
            return served
        return min((each for each in others if each is not None), default=0.0)

    def left(self) -> list[Line]:
        """The lines as they are by now."""
        at_work: list[list[float]] = [[] for _ in self.lines]
        for end, i, _, _ in self.at_work:
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
