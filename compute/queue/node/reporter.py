"""Tells those who listen that a task has run: log, counts, signals.

A worker has written the outcome already, with its removal from the queue. When this process
dies, a log line and a signal can be lost, and never a result.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any

from django.db import Error, connection
from django_q.signals import post_execute
from django_q.utils import close_old_django_connections

from .. import kernel, tally
from ..away import is_away
from ..engines import engine
from ..logs import ids, seldom
from ..models import Job
from ..signals import groups_changed, looking_around
from ..text import one_line
from .board import Board
from .channels import SLOW_POLL_S, Reports

log = logging.getLogger(__name__)

#: Seconds between two times that counts are written down.
COUNTING_S = 1
#: Seconds from one report to the next at least: asking after each task whether its group
#: is through would cost more than running it. The first after a silence is told at once.
PAUSE_S = 0.03
#: Seconds between two looks for what somebody who died has left undone.
LOOK_S = 5


class Reporter:
    def __init__(self, board: Board, reports: Reports) -> None:
        self.board = board
        self.reports = reports
        self.counts: tally.Counts = Counter()
        self.counted = self.looked = time.monotonic()
        self.reported = 0.0

    def turn(self) -> bool:
        """Tell of what has run, or wait for that. False when there is to be no more."""
        kernel.end_if_orphaned()
        closing = self.board.head.closing
        tasks = self.reports.collect(self.reported + PAUSE_S, 0 if closing else SLOW_POLL_S)
        for task in tasks:
            self.counts.update(tally.ended(task))
        try:
            if tasks:
                close_old_django_connections()
                report(tasks)
            if closing or time.monotonic() - self.counted > COUNTING_S:
                self.count()
            if time.monotonic() - self.looked > LOOK_S:
                self.looked = time.monotonic()
                look_around()
        except Error as error:
            if not is_away(error):
                raise
            seldom(log, "the database is away: %s", one_line(error))
            connection.close()
        self.reported = time.monotonic()
        return bool(tasks or not closing)

    def count(self) -> None:
        if self.counts:
            tally.add(self.counts)
            self.counts.clear()
        self.counted = time.monotonic()


def run(board: Board, reports: Reports) -> None:
    """The reporter's process."""
    reporter = Reporter(board, reports)
    while reporter.turn():
        pass


def look_around() -> None:
    """Give those who listen the time to look around; Django logs what one raises."""
    close_old_django_connections()
    for _, error in looking_around.send_robust(sender=Job):
        if error is not None and is_away(error):
            raise error


def report(tasks: list[dict[str, Any]]) -> None:
    """Log what has run and send `post_execute`; of groups that are through, `groups_changed`."""
    for task in tasks:
        seconds = (task["stopped"] - task["started"]).total_seconds()
        extra = {**ids(task), "seconds": round(seconds, 3), "function": tally.function_of(task)}
        task.pop("ack_id", None)
        post_execute.send_robust(sender="django_q", task=task)
        if task["success"]:
            log.info("done: %s", task["name"], extra=extra)
        else:
            extra |= {"error_class": task["error_class"], "traceback": str(task["result"])}
            log.error("failed: %s: %s", task["name"], task["error"], extra=extra)
    groups = engine().through([task["id"] for task in tasks])
    if groups:
        groups_changed.send_robust(sender=Job, groups=groups)
