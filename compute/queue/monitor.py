"""The end of a task's way through a node: tell those who listen that it has run."""

from __future__ import annotations

import logging
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.db.models import Exists, OuterRef
from django_q.brokers import Broker
from django_q.monitor import save_task
from django_q.signals import post_execute
from django_q.utils import close_old_django_connections

from .call import Call, one_line
from .channels import STOP, Outbox
from .models import Job
from .signals import group_changed

log = logging.getLogger(__name__)


def monitor(result_queue: Outbox, broker: Broker) -> None:
    """Stands in for django_q.monitor.monitor, which would save every outcome again.

    A `Call` has written its outcome in the worker, with its removal from the queue, so
    what is lost when this process dies is a log line and a signal, never a result.
    """
    messages: list[Any] = []
    while STOP not in messages:
        messages = result_queue.get_all()
        try:
            close_old_django_connections()
            report([task for task in messages if task != STOP], broker)
        except (OperationalError, InterfaceError) as error:
            log.warning("the database is away: %s", one_line(error))
            connection.close()


def report(tasks: list[dict[str, Any]], broker: Broker) -> None:
    """Log what has run and send `post_execute`; for groups that are through, `group_changed`."""
    told = []
    for task in tasks:
        ack_id = task.pop("ack_id", None)
        if not isinstance(task["func"], Call):  # queued past our signal, so it has no Job
            save_task(task, broker)
            broker.acknowledge(ack_id)
        if task.get("dropped"):
            continue
        told.append(task["id"])
        post_execute.send_robust(sender="django_q", task=task)
        if task["success"]:
            log.info("done: %s", task["name"])
        else:
            log.error("failed: %s: %s", task["name"], task["result"])
    unsettled = Job.objects.filter(group=OuterRef("group")).unsettled()
    settled = Job.objects.filter(pk__in=told).exclude(Exists(unsettled))
    for group in set(settled.values_list("group", flat=True)):
        group_changed.send_robust(sender=Job, group=group)
