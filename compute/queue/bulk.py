"""What a person does to many rows at once: in the request as far as it has time, the rest as tasks.

Ten thousand rows take half a second. A step is done once however often it is asked for, so two
people who press at once, or a task that is run again, do no harm.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from django.db import InterfaceError, OperationalError, transaction
from django_q.models import Failure, OrmQ, Success, Task
from django_q.tasks import async_task

from .among import among
from .call import one_line
from .fanout import async_iter
from .models import BATCH, Job, batched

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds after which a request begins no further step.
PATIENCE = 1.0
#: How many rows make a step where each takes a moment of its own: a new task, or a group that
#: somebody has to be told of.
FEW = 100

#: Does something to the rows of these keys, on behalf of a person; how many it changed.
Step = Callable[[list[Any], str], int]


class Done(NamedTuple):
    """How many rows were changed, and how many are left to tasks."""

    changed: int
    left: int = 0

    def told(self, what: str) -> str:
        later = f" {self.left:,} more are left to tasks, which are queued now." if self.left else ""
        return f"{self.changed:,} {what}.{later}"


def carry_out(step: Step, batches: Iterable[list[Any]], by: str) -> Done:
    """Take the steps that there is time for, the first in any case; each other becomes a task."""
    until = time.monotonic() + PATIENCE
    left = list(batches)
    count = 0
    while left:
        count += step(left.pop(0), by)
        if time.monotonic() > until:
            break
    if left:
        name = str(getattr(step, "__name__", step)).replace("_", " ")
        async_iter(step, [(batch, by) for batch in left], task_name=f"{name}, for {by}")
    return Done(count, sum(map(len, left)))


def by_group(rows: Iterable[tuple[T, str]]) -> Iterator[list[T]]:
    """Keys of rows with their groups, in batches of few groups: of each somebody is told."""
    batch: list[T] = []
    met: set[str] = set()
    for key, group in sorted(rows, key=lambda row: row[1]):
        if len(batch) == BATCH or len(met | {group}) > FEW:
            yield batch
            batch, met = [], set()
        batch.append(key)
        met.add(group)
    if batch:
        yield batch


# --- failed tasks, and records of others ---------------------------------------------------


def resubmit_all(keys: list[str], by: str) -> Done:
    """Queue failed tasks again: the very job of each, or else a task like it."""
    jobs = set(Job.objects.filter(pk__in=among(keys)).values_list("pk", flat=True))
    others = [key for key in keys if key not in jobs]
    of_jobs = [key for key in keys if key in jobs]
    return carry_out(resubmit, [*batched(of_jobs), *batched(others, FEW)], by)


def resubmit(keys: list[str], by: str) -> int:
    jobs = Job.objects.filter(pk__in=among(keys))
    count = jobs.retry()
    others = Failure.objects.filter(pk__in=among(keys)).exclude(pk__in=jobs.values("pk"))
    return count + sum(map(queue_in_its_place, others.defer("result")))


def queue_in_its_place(failure: Failure) -> bool:
    """Queue a task like a failed one that has no job; False if that can't be, or was done."""
    with transaction.atomic():
        there = Failure.objects.select_for_update().filter(pk=failure.pk).exists()
        if there and queue_another(failure):
            failure.delete()
            return True
    return False


def run_again_all(keys: list[str], by: str) -> Done:
    """Queue tasks like those that have ended well; what these returned stays."""
    return carry_out(run_again, batched(keys, FEW), by)


def run_again(keys: list[str], by: str) -> int:
    tasks = Success.objects.filter(pk__in=among(keys)).defer("result")
    return sum(map(queue_another, tasks))


def queue_another(task: Task) -> bool:
    """Queue a task like one that has ended; False, and a line in the log, if that can't be."""
    args, kwargs = task.args or (), task.kwargs or {}
    options = {name: getattr(task, name) for name in ("hook", "group", "cluster")}
    try:
        if not (isinstance(args, tuple | list) and isinstance(kwargs, dict)):
            raise TypeError("its arguments can't be read")
        with transaction.atomic():
            async_task(task.func, *args, **kwargs, q_options=options)
    except (OperationalError, InterfaceError):
        raise  # the database is away
    except Exception as error:  # whatever its function and arguments may be
        log.warning("%s can't be queued again: %s", task.name, one_line(error))
        return False
    return True


def delete_records(keys: list[str], by: str) -> int:
    return int(Task.objects.filter(pk__in=among(keys)).delete()[0])


# --- what waits or runs ---------------------------------------------------------------------


def withdraw_all(queue_ids: list[int], by: str) -> Done:
    """Remove queued tasks, whose jobs are cancelled."""
    jobs = Job.objects.filter(queue_id__in=among(queue_ids, int)).order_by()
    groups = dict(jobs.values_list("queue_id", "group"))
    rows = ((queue_id, groups.get(queue_id, "")) for queue_id in queue_ids)
    return carry_out(withdraw, by_group(rows), by)


def withdraw(queue_ids: list[int], by: str) -> int:
    jobs = Job.objects.filter(queue_id__in=among(queue_ids, int))
    count = jobs.cancel(f"cancelled by {by}")
    without_job, _ = OrmQ.objects.filter(pk__in=among(queue_ids, int)).delete()
    return count + int(without_job)


def cancel_all(keys: list[str], by: str) -> Done:
    jobs = Job.objects.filter(pk__in=among(keys)).unsettled().order_by()
    return carry_out(cancel, by_group(jobs.values_list("pk", "group")), by)


def cancel(keys: list[str], by: str) -> int:
    return Job.objects.filter(pk__in=among(keys)).cancel(f"cancelled by {by}")


def retry_all(keys: list[str], by: str) -> Done:
    return carry_out(retry, batched(keys), by)


def retry(keys: list[str], by: str) -> int:
    return Job.objects.filter(pk__in=among(keys)).retry()
