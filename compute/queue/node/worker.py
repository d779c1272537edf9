"""A worker: claims a task and runs it, then the next, one at a time."""

from __future__ import annotations

import logging
import os
import signal
import time
from functools import partial

from django.db import Error, IntegrityError, connection, transaction
from django_q.conf import Conf
from django_q.signals import post_spawn
from django_q.utils import close_old_django_connections

from .. import kernel
from ..away import is_away
from ..defaults import settings
from ..engines import Lease
from ..logs import about, seldom
from ..progress import report_to
from ..text import one_line
from .attempt import Attempt
from .batch import REST_S, Batch, Claimed
from .board import Board
from .channels import SLOW_POLL_S, Bell, Reports
from .claims import Claims
from .footing import Footing
from .reading import admitted, read
from .shares import patience

log = logging.getLogger(__name__)

#: Seconds between two looks at a database that is away.
AWAY_S = 0.5
#: So many looks later it may be a task's doing, as when that has left a thousand files open: a
#: worker that has had any is replaced, once, for the next one waits.
AWAY_TRIES = 60

STOPS = (signal.SIGTERM, signal.SIGINT)


class Worker:
    """Nothing is handed to it: it claims from the database, so a dead worker costs no more than
    what it ran.

    SQLite's writes come one after another, and each waits for its turn. There a worker claims
    its next task in the write that settles its last one. Of tasks that take next to nothing it
    claims several at once, and writes several outcomes at once.
    """

    def __init__(self, node: str, board: Board, place: int, bell: Bell, reports: Reports) -> None:
        self.node = node
        self.board = board
        self.slot = board.slots[place]
        self.bell = bell
        self.reports = reports
        self.batch = Batch(self.slot, reports)
        self.claims = Claims(node, board)
        self.begun = self.away = 0
        #: Whether this process is to be replaced by a fresh one.
        self.spent = False
        #: Processes that were there before any task.
        self.known = kernel.children()
        self.footing: Footing | None = None

    def run(self) -> None:
        """Until it is told to stop, or has had its share of tasks or memory."""
        os.nice(settings.Q_NICE)  # what a busy machine has left for the site the kernel decides
        post_spawn.send(sender="django_q", proc_name=f"worker {os.getpid()}")
        self.known = kernel.children()  # those of who heard of it, too
        self.footing = Footing()
        log.info("worker %s is ready", os.getpid())
        while self.turn():
            pass

    def turn(self) -> bool:
        """Run a task, or wait for one. False when there is to be no other."""
        kernel.end_if_orphaned()
        if self.leaves():
            return False
        claimed = self.claim()
        if claimed is None:
            self.slot.waiting = 1
            self.bell.wait(SLOW_POLL_S if self.away else patience(self.board, SLOW_POLL_S))
            self.slot.waiting = 0
            return True
        self.ring()
        self.slot.begin_for(claimed[0].flow)
        try:
            self.take(*claimed)
        except Error as error:  # the lease ends, and the task is up again
            log.warning("a task is left as it is: %s", one_line(error))
            connection.close()
        self.slot.bill()
        self.slot.held = 0
        self.write(now=self.batch.is_due)
        return True

    def leaves(self) -> bool:
        """Whether there is to be no other task. What is not written then the guard writes."""
        is_spent = self.spent or (not self.batch.ahead and self.is_spent())
        if not (self.board.head.stopping or is_spent):
            return False
        self.write(now=True)
        return True

    def write(self, now: bool) -> None:
        """Write the outcomes that are kept, and put up for others what they would begin sooner."""
        try:
            if now or self.board.waiting:
                self.batch.write(self.claim_ahead)
            if self.board.waiting or self.batch.is_late:
                self.batch.give_back(self.node)
        except Error as error:  # it is tried again, and the guard does so, too
            log.warning("outcomes can't be written yet: %s", one_line(error))
            connection.close()

    def claim(self) -> Claimed | None:
        """The next task: one that was claimed ahead, or else whose turn it is, if the node claims
        any, and all before it is written."""
        claimed = self.batch.next()
        report_to(self.slot)
        if claimed is None and self.batch.kept:
            self.write(now=True)
            claimed = self.batch.next()
        if claimed is None and self.board.head.claims and not self.batch.kept:
            try:
                close_old_django_connections()
                if self.batch.rests:
                    time.sleep(REST_S)
                self.batch.add(self.claim_next())
                claimed = self.batch.next()
            except Error as error:
                # The row of a node that was long believed dead is there again in a second.
                if not (is_away(error) or isinstance(error, IntegrityError)):
                    raise
                seldom(log, "the database is away: %s", one_line(error))
                connection.close()
                self.away += 1
                if self.begun and self.away >= AWAY_TRIES:
                    self.spent = True
                time.sleep(AWAY_S)
            else:
                self.away = 0
        return claimed

    def ring(self) -> None:
        """If there was something, there may be more, for workers that have nothing. One that has
        something looks by itself."""
        if self.batch.is_fresh and not all(slot.ids() for slot in self.board.slots):
            self.bell.ring()
        self.batch.is_fresh = False

    def claim_next(self, ahead: bool = False) -> list[Claimed]:
        """The next task, and with it more of its flow that are worth it, if no worker waits."""
        claimed = self.claims.next(ahead)
        return [*claimed, *self.claim_more(claimed[0][0])] if claimed else []

    def claim_more(self, lease: Lease) -> list[Claimed]:
        more = self.batch.size(lease) - 1
        if Conf.RECYCLE > 0:
            more = min(more, Conf.RECYCLE - self.begun - 1)
        return self.claims.more(more, lease.flow) if more > 0 and not self.board.waiting else []

    def claim_ahead(self) -> None:
        """Claim what comes next, too, in the transaction that settles the last of a batch.

        If the worker dies before it has begun with that, its guard gives it back. Not while there
        are flows with a limit: busy workers that pass them by would never come to them.
        """
        head = self.board.head
        if (
            self.batch.ahead
            or self.batch.rests
            or not head.claims
            or head.limited
            or self.is_spent()
        ):
            return
        claimed = self.claim_next(ahead=True)
        if claimed:
            transaction.on_commit(partial(self.batch.add, claimed))

    def take(self, lease: Lease, package: str) -> None:
        """Run a claimed task to its outcome."""
        self.slot.reading = 1
        task = read(lease, package)
        self.slot.reading = 0
        held = task and admitted(lease, task, self.node)
        if not (task and held):
            return
        self.begun += 1
        self.slot.begun += 1
        task |= {"cluster": Conf.CLUSTER_NAME, "ack_id": held, "node": self.node}
        known, keep, footing = self.known, self.batch.keep, self.footing
        attempt = Attempt(held, task, self.slot, self.claim_ahead, known, keep, footing)
        with about(task):
            if attempt.run():
                self.reports.post(task)
        seconds = time.monotonic() - self.slot.since
        if held.attempt == 1:
            self.batch.note(held.flow, seconds, attempt.delivery.is_plain)
        self.spent = self.spent or attempt.spent
        self.slot.ended += 1

    def is_spent(self) -> bool:
        has_had = self.begun >= Conf.RECYCLE > 0 or 0 < (Conf.MAX_RSS or 0) <= kernel.memory_kb()
        return self.spent or has_had


def work(node: str, board: Board, place: int, bell: Bell, reports: Reports) -> None:
    """A worker's process, which leads a group: a task that signals all of its group, as `kill(0)`
    does, ends no other, and not the guard."""
    os.setpgid(0, 0)
    board.slots[place].group = os.getpid()
    # A host may tell all processes to stop at once, but the guard decides when this one does.
    for number in STOPS:
        signal.signal(number, lambda *_: None)
    os.register_at_fork(after_in_child=obey)
    kernel.adopt()
    Worker(node, board, place, bell, reports).run()
    board.slots[place].group = 0  # the id may be anybody's before the node has stopped


def obey() -> None:
    """In a process that a task has forked: stop when told to, as `Pool.terminate` does."""
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)
