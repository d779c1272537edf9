"""What a node does for the sharing of workers: it writes down who had how much."""

from __future__ import annotations

import logging
import time
from multiprocessing.connection import wait
from typing import Any

from django.db import Error
from django_q.conf import Conf

from .. import orphans, transitions
from ..engines import engine
from ..logs import seldom
from ..text import one_line
from .board import Board
from .meter import Meter

log = logging.getLogger(__name__)

#: Seconds between two charges while several flows share the workers; flows that are charged in a
#: second then, about.
CHARGE_S, MOST_CHARGES = 0.15, 200
#: Seconds between two looks after the flows, while workers are busy and while they are not.
LOOK_S, IDLE_LOOK_S = 1, 5
#: Seconds between two looks for packages that wait in no line, and for jobs without one, which read
#: the whole queue.
STRAYS_S = 300


class Shares:
    """A guard's, which calls `turn` again and again."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.meter = Meter(board)
        self.meter.clear()  # what a guard before has not charged, nobody is
        self.looked, self.strays_at = 0.0, 0.0
        self.charged = 0

    def turn(self) -> None:
        """Charge those for whom the workers worked, and look after the flows now and then.

        If the database is away nothing is forgotten: the next turn does it.
        """
        try:
            self.write()
        except Error as error:
            seldom(log, "nobody is charged: %s", one_line(error))

    def wait(self, ends: list[int], seconds: float) -> list[Any]:
        """Until one of these sentinels says that a process has ended, or so long; which those are.

        Meanwhile workers are charged if several flows share them: of what other nodes' workers
        have had since they were charged no claim knows.
        """
        left = seconds
        while True:
            often = max(CHARGE_S, self.charged / MOST_CHARGES)
            pause = min(left, often) if self.board.head.shared else left
            ended = wait(ends, pause)
            left -= pause
            if ended or left <= 0:
                return ended
            self.turn()
            self.board.head.heartbeat += 1

    def write(self) -> None:
        seconds = dict(self.meter.read())
        if seconds:
            charge(seconds)
            self.charged = len(seconds)
            self.meter.clear()
        if time.monotonic() - self.looked > (LOOK_S if seconds else IDLE_LOOK_S):
            if look_after(self.board):
                self.board.head.again += 1
            self.looked = time.monotonic()
        if time.monotonic() > self.strays_at:
            transitions.look_for_strays(Conf.CLUSTER_NAME)
            if not orphans.settle(Conf.CLUSTER_NAME):  # else the next turn goes on
                self.strays_at = time.monotonic() + STRAYS_S


def charge(seconds: dict[int, float]) -> None:
    """Note how long this node's workers have worked for which flows."""
    with engine().turn():
        for flow, spent in sorted(seconds.items()):  # no two nodes wait in a ring
            engine().charge(Conf.CLUSTER_NAME, flow, spent)


def look_after(board: Board) -> int:
    """Put up again what nobody holds any more, how much; and see to it that no flow is forgotten,
    and none owed for when it needed nothing. Every node does so; once is as good as twice."""
    count = transitions.recover(Conf.CLUSTER_NAME, board.held())
    with engine().turn():
        board.head.shared = engine().lift(Conf.CLUSTER_NAME) > 1
        engine().tidy(Conf.CLUSTER_NAME)
    board.head.limited = engine().has_limits(Conf.CLUSTER_NAME)
    return count


def patience(board: Board, most_s: float) -> float:
    """For how many seconds an idle worker need not look by itself: until the next task is due that
    waits for a time, and `most_s` at most.

    What is due and was not claimed, as where there is a limit, is put in line; its commit rings.
    """
    try:
        due_s = engine().due_in(Conf.CLUSTER_NAME) if board.head.claims else None
        if due_s is not None and due_s <= 0:
            look_after(board)
    except Error as error:
        seldom(log, "nobody knows what is due: %s", one_line(error))
        return most_s
    return due_s if due_s and 0 < due_s < most_s else most_s
