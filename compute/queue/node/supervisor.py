"""The process that a person or a process manager started, and that they signal."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.db import Error, connections
from django_q.conf import Conf

from .. import kernel, schema
from ..defaults import settings
from ..logs import in_node
from ..models import Job, Node
from ..text import one_line
from .board import Board
from .guard import guard
from .processes import MARGIN_S, Child, Frozen, end_groups, end_strangers, is_alive
from .reload import Code
from .suspects import Suspects
from .sweeper import Sweeper

log = logging.getLogger(__name__)

#: Seconds without a heartbeat after which a guard counts as frozen. Longer than it may
#: wait for a database that is away or locked.
SILENCE_S = 30


class Supervisor:
    def __init__(self) -> None:
        self.node = uuid.uuid4().hex
        self.board = Board(Conf.WORKERS)
        self.suspects = Suspects()
        self.guard = Child("guard", guard, self.node, self.board, self.suspects)
        #: How many tasks had been begun when it was started.
        self.begun = 0
        self.sweeper = Sweeper(self.board)
        self.signals = 0
        self.hurry = False
        self.code = Code() if settings.DEBUG else None

    def on_signal(self, number: int, frame: Any) -> None:
        # A process manager may repeat SIGTERM; only a person's second Ctrl-C hurries.
        self.hurry = self.hurry or (number == signal.SIGINT and self.signals > 0)
        self.signals += 1

    def run(self, once: bool = False) -> None:
        """Keep a guard running until a signal (or, `once`, just until it has started)."""
        signal.signal(signal.SIGINT, self.on_signal)
        signal.signal(signal.SIGTERM, self.on_signal)
        kernel.adopt()
        in_node(self.node)
        log.info("node %s with %s worker(s)", self.node, Conf.WORKERS)
        schema.wait(stopped=lambda: self.signals)
        if not self.signals:
            take_back(lambda: Node.objects.left_behind(kernel.place(), is_alive).values("pk"))
        # All processes share the memory that is in use by now, until one writes to it; and to
        # collect garbage is to write to everything. Without this each grew by 20 MB in its time.
        # (Collected before, it would leave holes everywhere, into which each would write.)
        gc.freeze()
        while not self.signals:
            if not self.start():
                time.sleep(0.4)
                continue
            self.signals += once
            why = self.watch()
            self.end(why)
            if why == "reload" and not self.signals:
                log.info("the code has changed, starting again with it")
                self.sweeper.finish()
                connections.close_all()
                os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
        self.sweeper.finish()
        log.info("stopped")

    def start(self) -> bool:
        """False if there is no room for a guard now."""
        self.sweeper.start_if_due()
        started = self.guard.start_if_due()
        if started:
            self.begun = self.board.begun
            self.sweeper.mind(self.guard.pid)
        return started

    def watch(self) -> str:
        """Wait for a signal, or a reason to replace the guard, which is told."""
        beat, beaten = self.board.head.heartbeat, time.monotonic()
        frozen = Frozen()
        looked = beaten
        while not self.signals:
            self.guard.join(0.4)
            if time.monotonic() - looked > SILENCE_S / 2:  # stopped itself: what could it hear?
                beaten = time.monotonic()
            looked = time.monotonic()
            if not self.guard.is_alive():
                return "ended"
            if frozen.among([self.guard.pid]):
                return "was frozen"
            if self.board.head.heartbeat != beat:
                beat, beaten = self.board.head.heartbeat, time.monotonic()
            elif time.monotonic() - beaten > SILENCE_S:
                return f"gave no sign of life for {SILENCE_S} s"
            if self.code and self.code.has_changed():
                return "reload"
            self.look_at_sweeper()
        return "stopped"

    def look_at_sweeper(self) -> None:
        if self.sweeper.process and not self.sweeper.is_alive():
            pid, how = self.sweeper.pid, self.sweeper.leave()
            log.error("sweeper %s %s, %s", pid, how, self.sweeper.what_next())
        if self.sweeper.start_if_due():
            self.sweeper.mind(self.guard.pid)

    def end(self, why: str) -> None:
        """Stop the guard, quietly if that is what is asked for, and sweep all below it."""
        pid = self.guard.pid
        suspect = self.suspects.note(self.board) if why == "ended" and not self.signals else 0
        if self.signals or why == "reload":
            self.stop()
        end_groups([pid])
        self.guard.end()
        end_groups(self.board.groups())
        self.sweeper.mind(0)
        end_strangers([self.sweeper.pid])
        how = self.guard.leave(useful=why == "reload" or self.board.begun > self.begun)
        take_back(lambda: self.paused(suspect))
        if not self.signals and why != "reload":
            how = how if why == "ended" else why
            log.error("guard %s %s, %s", pid, how, self.guard.what_next())
        while not self.signals and time.monotonic() < self.guard.due:
            time.sleep(0.1)

    def paused(self, suspect: int) -> list[str]:
        """This node, whose suspect is up again later than the others of its tasks."""
        self.suspects.pause(self.node, suspect)
        return [self.node]

    def stop(self) -> None:
        deadline = time.monotonic() + settings.Q_GRACE + 3 * MARGIN_S
        if self.guard.is_alive():
            os.kill(self.guard.pid, signal.SIGTERM)
        while self.guard.is_alive() and time.monotonic() < deadline and not self.hurry:
            self.guard.join(0.1)
            if kernel.stopped([self.guard.pid]):
                return


def take_back(nodes: Callable[[], Any]) -> None:
    """Put up for every node again, at once, the tasks that dead nodes held."""
    try:
        count = Job.objects.filter(node__in=nodes()).give_back()
        if count:
            log.warning("took back %s task(s) of dead processes", count)
    except Error as error:
        log.warning("nothing could be taken back, leases run out: %s", one_line(error))
