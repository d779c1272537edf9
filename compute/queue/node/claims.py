"""A worker's claims: what it asks the database for."""

from __future__ import annotations

from django.db import Error, connection
from django_q.conf import Conf

from .. import transitions
from .batch import Claimed
from .board import Board
from .meter import Meter

#: Of so many claims one asks first for what has no turn.
AGAIN_EACH = 4


class Claims:
    def __init__(self, node: str, board: Board) -> None:
        self.node = node
        self.board = board
        self.meter = Meter(board)
        self.count = 0
        #: The guard's count of what it put up again, when all of that had been claimed.
        self.again = 0

    def next(self, ahead: bool = False) -> list[Claimed]:
        """The next task, if there is one; Error as the database's.

        Now and then what has no turn is asked for first: however much of it there is, as when
        stock django-q2 has written it, it has no more than its part. What was interrupted has had
        its turn: it is asked for until there is no more of it. Nothing that needs a slot is claimed
        `ahead`.
        """
        again = self.board.head.again
        interrupted = again != self.again or self.count == 0
        claimed = transitions.claim(
            Conf.CLUSTER_NAME,
            1,
            self.node,
            self.board.held(),
            again_first=interrupted or self.count % AGAIN_EACH == 0,
            interrupted=interrupted,
            limited=None if ahead else bool(self.board.head.limited),
            uncharged=self.meter.uncharged() if self.board.head.shared else None,
        )
        self.count += 1
        if not any(lease.attempt > 1 for lease, _ in claimed):
            self.again = again
        return claimed

    def more(self, most: int, flow: int) -> list[Claimed]:
        """Tasks of that flow that are worth to be claimed together with the last one."""
        held, queue = self.board.held(), Conf.CLUSTER_NAME
        try:
            return transitions.claim_more(queue, most, self.node, held, flow)
        except Error:  # what was claimed first is to be run; if the database is away, it will show
            if connection.in_atomic_block:
                raise
            return []
