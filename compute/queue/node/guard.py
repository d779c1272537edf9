"""The process that guards a node's others, and answers for what they have claimed."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Collection
from typing import Any

from django.db import Error, close_old_connections
from django.utils import timezone
from django_q.conf import Conf

from .. import kernel
from ..away import is_away
from ..defaults import settings
from ..engines import engine
from ..logs import seldom
from ..models import Job
from ..text import one_line
from . import leases, listener, reporter, scheduler
from .board import Board
from .channels import Bell, Reports
from .processes import MARGIN_S, Child, Frozen, end_strangers
from .shares import Shares
from .sign import SIGN_S, Sign
from .steering import Steering
from .suspects import Culprit, Suspects
from .workers import CANCELLED, FROZEN, OVER, Dead, WorkerChild, stopped_for_good

log = logging.getLogger(__name__)

#: Seconds from one round to the next at least, if nothing has ended.
SHORT_CYCLE_S = 0.1


class Guard:
    def __init__(self, node: str, board: Board, culprits: Collection[Culprit] = ()) -> None:
        self.node = node
        self.board = board
        board.clear()
        self.stopping = False
        self.bell = Bell()
        self.reports = Reports()
        self.workers = [
            WorkerChild(slot, node, board, place, self.bell, self.reports)
            for place, slot in enumerate(board.slots)
        ]
        self.reporter = Child("reporter", reporter.run, board, self.reports)
        self.helpers = [self.reporter, Child("listener", listener.run, self.bell)]
        if Conf.SCHEDULER:
            self.helpers.append(Child("scheduler", scheduler.run))
        self.dead: list[Dead | Culprit] = [*culprits]
        self.frozen = Frozen()
        self.restarts = 0
        self.shares = Shares(board)
        self.renewed = self.noted = time.monotonic()
        self.sign = Sign(node, os.getppid(), timezone.now())
        self.steering = Steering(node, board, self.bell)

    @property
    def children(self) -> list[Child]:
        return [*self.helpers, *self.workers]

    def run(self) -> None:
        # Before anything else: they share the memory that this process has not yet written to.
        self.board.head.starting = 1
        for child in self.children:
            child.start()
        while not (self.stopping or self.begin()):
            time.sleep(Conf.GUARD_CYCLE)
        self.board.head.starting = 0
        self.bell.ring()
        log.info("Q Cluster %s running", self.node)
        while not self.stopping:
            self.check()
            sentinels = [child.process.sentinel for child in self.children if child.process]
            if self.shares.wait(sentinels, Conf.GUARD_CYCLE) and not self.has_lost_one():
                # A task has closed what it has not opened, and its worker lives.
                time.sleep(SHORT_CYCLE_S)
        self.stop()

    def has_lost_one(self) -> bool:
        return any(child.process and not child.is_alive() for child in self.children)

    def begin(self) -> bool:
        """Say that there is a node, and ask whether it may claim, before a worker does; false if
        that can't be."""
        self.board.head.heartbeat += 1
        self.live(Conf.STARTING)
        self.steering.turn()
        return bool(self.sign.written[1] and self.steering.asked)

    def on_signal(self, *_: Any) -> None:
        self.stopping = True

    # --- one round ----------------------------------------------------------------------

    def check(self) -> None:
        """Replace what has died or is frozen, renew leases, give a sign of life."""
        kernel.end_if_orphaned()
        close_old_connections()  # one that has failed would go on failing
        self.look_at_children()
        # A beat after each: a database that is locked makes it wait, but is no reason to die.
        first = self.bury, self.take_over, self.renew, self.steering.turn, self.shares.turn
        for step in (*first, self.note_progress, engine().cut_log, self.live):
            step()
            self.board.head.heartbeat += 1

    def look_at_children(self) -> None:
        cancelled = stopped_for_good(self.node, self.workers)
        frozen = self.frozen.among([child.pid for child in self.children if child.pid])
        ended = []
        for child in self.children:
            why = CANCELLED if child in cancelled else FROZEN if child.pid in frozen else ""
            if isinstance(child, WorkerChild) and child.is_over():
                why = OVER
            if why:
                end_strangers(root=child.pid)
                child.end()
            if child.process and not child.is_alive():
                ended.append(child.pid)
                self.note_end(child, why)
        if ended:
            self.end_strangers(ended)
        for child in self.children:
            if child.start_if_due():
                self.restarts += 1
                if isinstance(child, WorkerChild):
                    child.begun = child.slot.begun

    def note_end(self, child: Child, why: str) -> None:
        """Remember what an ended process answers for; another may take its place."""
        pid, exitcode = child.pid, child.process and child.process.exitcode
        worker = child if isinstance(child, WorkerChild) else None
        how = child.leave(useful=worker is not None and worker.slot.begun > worker.begun)
        quiet = worker and (exitcode == 0 or why == CANCELLED)
        level = logging.INFO if quiet else logging.ERROR
        log.log(level, "%s %s %s, %s", child.role, pid, why or how, child.what_next())
        if worker:
            self.shares.meter.read()
            self.dead.append(worker.left(pid, how, why))

    def end_strangers(self, ended: Collection[int]) -> None:
        """End what the tasks of workers that have ended have started, and left in their groups."""
        known = [child.pid for child in self.children if child.pid]
        count = end_strangers(known, groups=ended)
        if count:
            log.warning("ended %s process(es) that tasks had started", count)

    def bury(self) -> None:
        """Write down what dead workers ran; while the database is away, later."""
        for dead in list(self.dead):
            try:
                dead.bury(self.node, self.reports)
            except Exception as error:
                if is_away(error):
                    seldom(log, "the database is away: %s", one_line(error))
                    return
                log.exception("what worker %s ran can't be written down, its lease ends", dead.pid)
            self.board.head.again += 1
            self.dead.remove(dead)

    def take_over(self) -> None:
        """Write what workers keep that have come to a task that takes long."""
        for child in self.workers:
            if child.is_stuck:
                self.attempt("what is done can't be written yet", child.take_over, self.reports)

    def renew(self) -> None:
        if time.monotonic() - self.renewed < settings.Q_LEASE / 3:
            return
        if self.attempt("the leases can't be renewed", leases.renew, self.board.held()):
            self.renewed = time.monotonic()

    def note_progress(self) -> None:
        """Write down how far the workers say they are, once a second, if that has changed."""
        if time.monotonic() - self.noted < SIGN_S:
            return
        self.noted = time.monotonic()
        for child in self.workers:
            if child.has_gone_on:
                self.attempt("progress can't be noted", child.note_progress)

    def attempt(self, trouble: str, write: Callable[..., None], *args: Any) -> bool:
        """Write something down of this node; if the database is away, false, and a line."""
        try:
            write(self.node, *args)
        except Error as error:
            seldom(log, f"{trouble}: %s", one_line(error))
            return False
        return True

    def live(self, status: str = Conf.IDLE) -> None:
        self.sign.stat.sentinel = os.getpid()
        self.sign.stat.monitor, self.sign.stat.pusher, *_ = *(each.pid for each in self.helpers), 0
        pids = [child.pid for child in self.workers if child.pid]
        self.sign.give(status, pids, self.board, self.restarts)

    # --- the end ------------------------------------------------------------------------

    def stop(self) -> None:
        """Claim no more, wait `Q_GRACE` seconds for what runs, give back the rest."""
        log.info("stopping: running tasks have %s s to finish", settings.Q_GRACE)
        self.board.head.stopping, groups = 1, []
        deadline = time.monotonic() + settings.Q_GRACE
        while any(child.is_alive() for child in self.workers) and time.monotonic() < deadline:
            for child in self.workers:
                self.bell.ring()
                if child.slot.held and child.process and not child.is_alive():
                    groups.append(child.pid)
                    self.note_end(child, "")
            close_old_connections()
            self.bury()
            self.take_over()
            self.renew()
            self.live(Conf.STOPPING)
            self.board.head.heartbeat += 1
            time.sleep(0.05)
        groups += [group for group in self.board.groups() if group]
        for child in self.workers:
            child.end()
            child.process = None
            child.slot.clear()
        self.end_strangers(groups)
        self.board.head.closing = 1
        self.reports.wake()
        self.reporter.end(within_s=MARGIN_S)
        for helper in self.helpers[1:]:
            helper.end()
        self.reports.close()
        self.bell.close()
        try:
            count = Job.objects.filter(node=self.node).give_back()
            log.info("gave back %s task(s)", count)
        except Error as error:
            log.warning("nothing could be given back, leases run out: %s", one_line(error))
        self.live(Conf.STOPPED)


def guard(node: str, board: Board, suspects: Suspects) -> None:
    """The guard's process."""
    os.setpgid(0, 0)
    kernel.adopt()
    guard = Guard(node, board, suspects.culprits())
    signal.signal(signal.SIGTERM, guard.on_signal)
    guard.run()
