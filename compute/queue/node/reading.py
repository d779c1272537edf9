"""A claimed package becomes a task; one that can't be read here is left to others, or given up."""

from __future__ import annotations

import logging
import math
import time
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django_q.conf import Conf
from django_q.models import OrmQ

from .. import packages
from ..call import Call
from ..engines import Lease
from ..models import Job
from ..records import note_failure
from ..text import one_line, shorten
from ..transitions import UNSETTLED, admit, leave

log = logging.getLogger(__name__)

#: How long a package that was signed with another key is left to others.
FOREIGN_PAUSE = timedelta(seconds=5)
#: How long after it was queued it counts as nobody's.
FOREIGN_LIMIT = timedelta(days=1)
#: Seconds between two lines in the log about such packages.
FOREIGN_LOG_S = 60

_said = -math.inf


def read(lease: Lease, package: str) -> dict[str, Any] | None:
    """The task in a claimed package; None if there is none, of which nothing is left to do.

    A package that names a class which this code lacks is left to nodes of the code that queued
    it; one that was signed with another key to nodes that have it, for as long as it takes.
    """
    try:
        return packages.read(package)
    except packages.ForeignError as error:
        leave_to_others(lease, error)
    except Exception as error:  # whatever a pickle may raise
        held = Job.objects.filter(queue_id=lease.queue_id, delivery=lease.delivery)
        if not (isinstance(error, ImportError | AttributeError) and held.postpone()):
            give_up(lease, error)
    return None


def admitted(lease: Lease, task: dict[str, Any], node: str | None) -> Lease | None:
    """The lease, with a job for a task that was queued past our `pre_enqueue`: so its starts and
    deaths are counted, and its outcome counts once, as those of all others.

    None if another worker was quicker, and has it.
    """
    if lease.delivery or isinstance(task["func"], Call):
        return lease
    task["id"], task["name"] = shorten(str(task["id"]), 32), shorten(str(task["name"]), 100)
    lease = admit(lease, task, Conf.CLUSTER_NAME, node)
    taken = not lease.delivery and Job.objects.filter(pk=task["id"], queue_id=lease.queue_id)
    return None if taken and taken.exists() else lease


def leave_to_others(lease: Lease, error: packages.ForeignError) -> None:
    """Leave a package with another key to nodes that have it; no try is counted.

    After a day, in which none of these came, its job fails, and can be retried.
    """
    jobs = Job.objects.filter(queue_id=lease.queue_id)
    waited = jobs.filter(queued_at__lt=Now() - FOREIGN_LIMIT)
    if waited.exists() or jobs.exclude(state__in=UNSETTLED).exists():
        give_up(lease, error)
        return
    with transaction.atomic():
        held = jobs.filter(delivery=lease.delivery).held()
        if not (held and leave(held[0], FOREIGN_PAUSE)):
            OrmQ.objects.filter(pk=lease.queue_id).update(lock=Now() + FOREIGN_PAUSE)
    say(lease)


def say(lease: Lease) -> None:
    global _said
    if time.monotonic() - _said > FOREIGN_LOG_S:
        _said = time.monotonic()
        log.warning(
            "task %s in the queue was signed with another SECRET_KEY, "
            "it and its like are left to nodes that have that",
            lease.queue_id,
        )


def give_up(lease: Lease, error: Exception) -> None:
    """Take a package that can't be read out of the queue; its job has failed.

    One without a job is listed with the failed tasks, too: nothing goes without a trace.
    """
    why = f"the queued task can't be read: {one_line(error)}"
    with transaction.atomic():
        jobs = Job.objects.filter(queue_id=lease.queue_id)
        job = jobs.unsettled().first()
        if job is not None:
            job.fail(why, type(error).__name__)
        elif not jobs.exists():
            name = f"package {lease.queue_id}"
            note_failure(name, "", why)
            log.error("failed: %s: %s", name, why)
        OrmQ.objects.filter(pk=lease.queue_id).delete()
