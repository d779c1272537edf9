"""The end of a task's way through a node: tell those who listen that it has run."""

from __future__ import annotations

import logging
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django_q.brokers import Broker
from django_q.monitor import save_task
from django_q.signals import post_execute
from django_q.utils import close_old_django_connections

from .call import Call, one_line
from .channels import Outbox
from .models import Job
from .signals import group_changed

log = logging.getLogger(__name__)


def monitor(result_queue: Outbox, broker: Broker) -> None:
    """Stands in for django_q.monitor.monitor, which would save every outcome again.

    A `Call` has written its outcome in the worker, with its removal from the queue, so
    what is lost when this process dies is a log line and a signal, never a result.
    """
    for task in iter(result_queue.get, "STOP"):
        try:
            close_old_django_connections()
            report(task, broker)
        except (OperationalError, InterfaceError) as error:
            log.warning("the database is away: %s", one_line(error))
            connection.close()


def report(task: dict[str, Any], broker: Broker) -> None:
    """Log a task that has run, send `post_execute`; after its group's last, `group_changed`."""
    ack_id = task.pop("ack_id", None)
    if not isinstance(task["func"], Call):  # queued past our signal, so it has no Job
        save_task(task, broker)
        broker.acknowledge(ack_id)
    if task.get("dropped"):
        return
    post_execute.send_robust(sender="django_q", task=task)
    if task["success"]:
        log.info("done: %s", task["name"])
    else:
        log.error("failed: %s: %s", task["name"], task["result"])
    group = Job.objects.filter(pk=task["id"]).values_list("group", flat=True).first()
    if group and not Job.objects.filter(group=group).unsettled().exists():
        group_changed.send_robust(sender=Job, group=group)
