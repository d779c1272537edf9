"""The failure of a job that its own worker could not note."""

from __future__ import annotations

import builtins
import logging
from collections import Counter
from typing import Any

from django.db import transaction
from django_q.exceptions import TimeoutException
from django_q.models import OrmQ
from django_q.tasks import async_task

from . import hooks, tally, transitions, trials
from .engines import Lease
from .logs import ids
from .records import failure
from .signals import groups_changed
from .transitions import JobState

log = logging.getLogger(__name__)


def fail(job: Any, reason: str, error_class: str, unread: bool) -> bool:
    """Fail a job from outside; see `Job.fail`."""
    with transaction.atomic():
        package = OrmQ.objects.filter(pk=job.queue_id).first()
        queued = package.task if package and not unread else {}
        task = queued if isinstance(queued, dict) else {}
        outcome = {
            "error": reason,
            "error_class": error_class,
            "payload": package.payload if package else "",
        }
        if job.asked:
            outcome["errors"] = trials.with_error(job.errors, error_class, reason)
        lease = Lease(job.queue_id or 0, job.delivery, is_limited=True)
        record = failure(job, task, reason)
        if not transitions.settle(job.pk, lease, JobState.FAILED, outcome, record):
            return False
        trials.tell([job.pk] if job.asked else [])
        if task.get("hook"):
            name = f"hook of {job.name}"
            async_task(hooks.call, job.pk, task_name=name, cluster=job.queue, save=False)
    # Of what its receivers raise a log tells.
    groups_changed.send_robust(sender=type(job), groups={job.group})
    tell(job, tally.function_of(task), reason, error_class)
    return True


def tell(job: Any, function: str, reason: str, error_class: str) -> None:
    about = {
        **ids({"id": job.pk, "group": job.group, "position": job.position}),
        "attempt": job.attempt,
        "function": function,
        "error_class": error_class,
    }
    log.error("failed: %s: %s", job.name, reason, extra=about)
    tally.add_if_possible(Counter({(function, tally.FAILED): 1}))


# --- the words for it, as classes: Django's Tasks framework names errors by these -------------


class Cancelled(Exception):
    """Somebody has cancelled the task."""


class WorkerDied(Exception):
    """The task's worker died while it ran, for the last time that it may."""


class StartedTooOften(Exception):
    """The task was started Q_MAX_STARTS times, and never came to an end."""


class NotRun(Exception):
    """No worker could run the task: what was queued can't be read, for one."""


OURS = (Cancelled, WorkerDied, StartedTooOften, TimeoutException)


def class_path(name: str) -> str:
    """The dotted path of an error's class; of one that was noted by its mere name, too."""
    if "." in name:
        return name
    if isinstance(getattr(builtins, name, None), type):
        return f"builtins.{name}"
    known = {each.__name__: each for each in OURS}.get(name, NotRun)
    return f"{known.__module__}.{known.__name__}"
