"""Jobs whose packages are gone, so that no worker will come to them.

They were run by django-q2's own cluster, in a project that went back to that for a while and has
come again (docs/elsewhere.md), or somebody has emptied django-q2's table.
"""

from __future__ import annotations

from django.utils import timezone
from django_q.models import Task

from . import packages, transitions
from .call import Call
from .engines import Lease, engine
from .engines.values import Values
from .models import Job, JobState
from .results import STORED
from .signals import groups_changed

#: How many have their outcome in one look: a guard has other things to see to.
MOST = 200


def settle(queue: str) -> bool:
    """Give such jobs of a queue their outcome, MOST at a time; whether there may be more.

    django-q2's record tells it. Where there is none, the job has failed. One that a worker claims
    at this moment, for nothing, stays for the next look.
    """
    found = engine().orphans(queue, MOST)
    jobs = Job.objects.filter(pk__in=found).defer("result", "payload")
    records = Task.objects.in_bulk(found)
    settled = [settle_one(job, records.get(job.pk)) for job in jobs]
    return len(found) == MOST or not all(settled)


def settle_one(job: Job, record: Task | None) -> bool:
    """False if it has been claimed, or has settled, meanwhile."""
    if record is None:
        return job.fail("its package is gone from the queue", "PackageGone")
    lease = Lease(job.queue_id or 0, job.delivery, is_limited=True)
    if not transitions.settle(job.pk, lease, *outcome_of(job, record), record=None):
        return False
    groups_changed.send_robust(sender=Job, groups={job.group})
    return True


def outcome_of(job: Job, record: Task) -> tuple[JobState, Values]:
    if record.success:
        stored = Task.objects.filter(pk=record.pk).values_list(STORED, flat=True).get()
        return JobState.DONE, {"result": stored}
    why = "it failed in django-q2's own cluster; its record has the traceback"
    return JobState.FAILED, {"error": why, "payload": package_of(job, record)}


def package_of(job: Job, record: Task) -> str:
    """The task as its record has it, for a retry."""
    task = {
        "id": job.pk,
        "name": job.name,
        "func": Call(record.func),
        "args": record.args or (),
        "kwargs": record.kwargs or {},
        "started": timezone.now(),
        "position": job.position,
    }
    more = {name: getattr(record, name) for name in ("hook", "group", "cluster")}
    return packages.write({**task, **{name: value for name, value in more.items() if value}})
