"""A node's signs of life: its row, which tells pages and other nodes that it is there."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from datetime import datetime

from django.db import Error
from django.db.models.functions import Now
from django_q.conf import Conf
from django_q.humanhash import humanize
from django_q.signing import SignedPackage
from django_q.status import Stat, Status

from .. import kernel
from ..engines import engine
from ..logs import seldom
from ..models import Node
from ..text import one_line, shorten
from .board import Board

log = logging.getLogger(__name__)

#: Seconds between two signs of life.
SIGN_S = 1


class Sign:
    """Written once a second, and at once when the node begins, is to stop, or has ended."""

    def __init__(self, node: str, pid: int, started_at: datetime) -> None:
        self.node = node
        self.stat = stat_of(node, pid, started_at)
        self.written = 0.0, ""

    def give(self, status: str, workers: Sequence[int], board: Board, restarts: int) -> None:
        """Nothing is lost if the database is away: the next second brings another."""
        stat = self.stat
        if time.monotonic() - self.written[0] < SIGN_S and status == self.written[1]:
            return
        stat.status = what_it_does(board) if status == Conf.IDLE else status
        stat.workers, stat.reincarnations = list(workers), restarts
        row = {
            "name": node_name(self.node),
            "host": stat.host,
            "place": kernel.place(),
            "pid": stat.pid,
            "workers": len(workers),
            "restarts": restarts,
            "ended": sum(slot.ended for slot in board.slots),
            "started_at": stat.tob,
            "seen_at": Now(),
            "stopped_at": Now() if status == Conf.STOPPED else None,
            "stat": SignedPackage.dumps(stat, True),
        }
        try:
            # No update_or_create(): nobody else writes this row, and its lock is three statements.
            with engine().turn():
                if not Node.objects.filter(pk=self.node).update(**row):
                    Node.objects.create(pk=self.node, **row)
        except Error as error:
            seldom(log, "no sign of life could be given: %s", one_line(error))
            return
        self.written = time.monotonic(), status


def stat_of(node: str, pid: int, started_at: datetime) -> Stat:
    """django-q2's own record of a cluster, which its commands show."""
    stat = Stat.__new__(Stat)  # whose own way asks a Sentinel
    Status.__init__(stat, pid, uuid.UUID(node))
    stat.broker, stat.tob = None, started_at
    return stat


def what_it_does(board: Board) -> str:
    """A status of django-q2's, or one of ours that says why nothing is claimed."""
    if board.head.draining:
        return "Draining"
    if board.head.paused:
        return "Paused"
    return str(Conf.WORKING if any(slot.held for slot in board.slots) else Conf.IDLE)


def node_name(node: str) -> str:
    """A node's name among people; with its queue, if that is not the default one."""
    name = humanize(node)
    other = Conf.CLUSTER_NAME != Conf.PREFIX
    return shorten(f"{name} ({Conf.CLUSTER_NAME})" if other else name, 100)
