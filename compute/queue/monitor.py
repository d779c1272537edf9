"""The end of a task's way through a node: tell those who listen that it has run."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django_q.brokers import Broker
from django_q.monitor import save_task
from django_q.signals import post_execute
from django_q.utils import close_old_django_connections

from . import kernel, tally
from .call import Call
from .channels import STOP, Outbox
from .engines import engine
from .logs import ids
from .models import Job
from .signals import groups_changed, looking_around
from .text import one_line

log = logging.getLogger(__name__)

#: Seconds between two times that counts are written down.
COUNTING = 1
#: Seconds from one report to the next at least: asking after each task whether its group
#: is through would cost more than running it. The first after a silence is told at once.
PAUSE = 0.03
#: Seconds between two looks for what somebody who died has left undone.
LOOK = 5


def monitor(result_queue: Outbox, broker: Broker) -> None:
    """Stands in for django_q.monitor.monitor, which would save every outcome again.

    A `Call` has written its outcome in the worker, with its removal from the queue, so
    what is lost when this process dies is a log line and a signal, never a result.
    """
    messages: list[Any] = []
    counts: tally.Counts = Counter()
    counted = looked = time.monotonic()
    reported = 0.0
    while STOP not in messages:
        kernel.end_if_orphaned()
        messages = result_queue.get_all(until=reported + PAUSE)
        tasks = [task for task in messages if task != STOP]
        for task in tasks:
            if isinstance(task["func"], Call) and not task.get("dropped"):
                counts.update(tally.ended(task))
        try:
            if tasks:
                close_old_django_connections()
                report(tasks, broker)
            if counts and (STOP in messages or time.monotonic() - counted > COUNTING):
                tally.add(counts)
                counts.clear()
                counted = time.monotonic()
            if time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                look_around()
        except (OperationalError, InterfaceError) as error:
            log.warning("the database is away: %s", one_line(error))
            connection.close()
        reported = time.monotonic()


def look_around() -> None:
    """Give those who listen the time to look around; Django logs what one raises."""
    close_old_django_connections()
    for _, error in looking_around.send_robust(sender=Job):
        if isinstance(error, OperationalError | InterfaceError):
            raise error


def report(tasks: list[dict[str, Any]], broker: Broker) -> None:
    """Log what has run and send `post_execute`; of groups that are through, `groups_changed`."""
    told = []
    for task in tasks:
        seconds = (task["stopped"] - task["started"]).total_seconds()
        extra = {**ids(task), "seconds": round(seconds, 3), "function": tally.function_of(task)}
        ack_id = task.pop("ack_id", None)
        if not isinstance(task["func"], Call):  # queued past our signal, so it has no Job
            save_task(task, broker)
            broker.acknowledge(ack_id)
        if task.get("dropped"):
            continue
        told.append(task["id"])
        post_execute.send_robust(sender="django_q", task=task)
        if task["success"]:
            log.info("done: %s", task["name"], extra=extra)
        else:
            why, report = task.get("error"), str(task["result"] or "")
            extra |= {"error_class": task.get("error_class"), "traceback": report}
            log.error("failed: %s: %s", task["name"], why or report[:500], extra=extra)
    groups = through(told)
    if groups:
        groups_changed.send_robust(sender=Job, groups=groups)


def through(task_ids: list[str]) -> set[str]:
    """The groups of these tasks of which nothing waits or runs any more."""
    return engine().through(task_ids) if task_ids else set()
