"""How long a node's workers have worked for whom, read off the board."""

from __future__ import annotations

import time
from collections import defaultdict

from .board import BILLS, Board, Slot


class Meter:
    """Counts each second once, of tasks that run, too."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.charges = 0
        self.readings = [Reading(slot) for slot in board.slots]
        self.seconds: dict[int, float] = defaultdict(float)

    def read(self) -> dict[int, float]:
        """Seconds by flow that nobody has taken yet."""
        for reading in self.readings:
            reading.add_to(self.seconds)
        return self.seconds

    def clear(self) -> None:
        """By the guard: they are charged. Workers count from here on."""
        self.seconds.clear()
        for reading in self.readings:
            reading.tell()
        self.board.head.charges += 1

    def uncharged(self) -> dict[int, float]:
        """By a worker: seconds by flow that its guard has not charged.

        What is charged at this moment may be counted or not.
        """
        if self.charges != self.board.head.charges:
            self.charges = self.board.head.charges
            self.seconds.clear()
            for reading in self.readings:
                reading.follow()
        return self.read()


class Reading:
    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.bills = slot.bills
        #: Seconds of the next bill that were counted already, while the task ran.
        self.ahead = 0.0

    def add_to(self, seconds: dict[int, float]) -> None:
        slot, bills = self.slot, self.slot.bills
        for number in range(max(self.bills, bills - BILLS), bills):
            place = number % BILLS
            seconds[slot.billed_to[place]] += max(0.0, slot.billed_s[place] - self.ahead)
            self.ahead = 0.0
        self.bills = bills
        flow, since = slot.flow, slot.since
        if slot.bills != bills:  # it has ended meanwhile, and is on its bill
            return
        if not since:  # idle, or killed: what it had is counted
            self.ahead = 0.0
            return
        running = time.monotonic() - since
        seconds[flow] += max(0.0, running - self.ahead)
        self.ahead = running

    def tell(self) -> None:
        """How far it has read."""
        self.slot.charged, self.slot.charged_s = self.bills, self.ahead

    def follow(self) -> None:
        """Read on from where the guard has come to."""
        self.bills, self.ahead = self.slot.charged, self.slot.charged_s
