"""A guard's workers, and the tasks that they have or run."""

from __future__ import annotations

from django_q.conf import Conf
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.models import Job
from compute.queue.node.guard import Guard
from tests.queue.conftest import the_id

ADD = "tests.queue.functions.add"


def take(guard: Guard, place: int = 0) -> Job:
    """The task that waits, claimed by a worker. What that does with it the test says."""
    ((lease, _),) = transitions.claim(Conf.CLUSTER_NAME, 1, guard.node)
    job = Job.objects.get(queue_id=lease.queue_id)
    Job.objects.filter(pk=job.pk).update(worker=guard.workers[place].pid)
    return job


def begin(guard: Guard, job: Job, place: int = 0) -> Job:
    """The worker runs it from now on."""
    slot = guard.workers[place].slot
    slot.held, slot.begun = the_id(job), slot.begun + 1
    return job


def claimed(guard: Guard, place: int = 0) -> Job:
    """A task that a worker has, and does not run."""
    async_task(ADD, 1)
    return take(guard, place)


def running(guard: Guard, place: int = 0) -> Job:
    """A task that a worker runs."""
    return begin(guard, claimed(guard, place), place)


def as_it_is(job: Job) -> tuple[str, int]:
    """Its state, and how often it has killed its worker."""
    job.refresh_from_db()
    return job.state, job.deaths
