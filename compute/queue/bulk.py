"""Many rows changed at once by a person: in the request as far as it has time, the rest as tasks.

Ten thousand rows take half a second. A step is done once however often it is asked for, so two
people who press at once, or a task that is run again, do no harm.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django_q.models import Failure, OrmQ, Success, Task
from django_q.tasks import async_task

from .away import is_away
from .fanout import async_iter
from .models import Job
from .signals import groups_changed
from .text import number_of, one_line
from .transitions import BATCH, batched

log = logging.getLogger(__name__)

#: Seconds after which a request begins no further step.
PATIENCE_S = 0.5
#: How many keys make a step if each takes a moment of its own: a new task, or a group that
#: somebody shows.
FEW = 100

#: How long queued tasks are held back that are to be removed; then they are up again.
HELD = timedelta(hours=1)

#: Does something to the rows of these keys, on behalf of a person; how many it changed.
Step = Callable[[list[Any], str], int]


class Done(NamedTuple):
    """How many rows were changed, and how many are left to tasks."""

    changed: int
    left: int = 0

    def told(self, noun: str, what: str) -> str:
        """In words, as "2 tasks queued again.", of a noun that takes an s."""
        later = ""
        if self.left == 1:
            later = " 1 more is left to a task, which is queued now."
        elif self.left:
            later = f" {self.left:,} more are left to tasks, which are queued now."
        return f"{number_of(self.changed, noun)} {what}.{later}"


def carry_out(by: str, *steps: tuple[Step, Iterable[list[Any]]]) -> Done:
    """Do to the keys of each batch what its step does, the first in any case.

    When there is no time for more, a task is queued for each batch that is left. Of `tell`
    nobody counts the keys.
    """
    until = time.monotonic() + PATIENCE_S
    left = [(step, batch) for step, batches in steps for batch in batches]
    changed = 0
    while left:
        step, batch = left.pop(0)
        changed += step(batch, by)
        if time.monotonic() > until:
            break
    if left:
        async_iter(take, [(step, batch, by) for step, batch in left], task_name=f"for {by}")
    return Done(changed, sum(len(batch) for step, batch in left if step is not tell))


def take(step: Step, keys: list[Any], by: str) -> int:
    return step(keys, by)


def tell(groups: list[str], by: str) -> int:
    """Say that these groups have changed, where that was left until later."""
    groups_changed.send(sender=Job, groups=set(groups))
    return 0


# --- failed tasks, and records of others ---------------------------------------------------


def resubmit_all(keys: list[str], by: str) -> Done:
    """Queue failed tasks again: the very job of each, or else a task like it."""
    has_job = Exists(Job.objects.filter(pk=OuterRef("pk")))
    without = Failure.objects.filter(~has_job, pk__among=keys).order_by()
    others = list(without.values_list("pk", flat=True))
    of_jobs = list(set(keys).difference(others)) if others else keys
    return carry_out(by, (resubmit, batched(of_jobs)), (resubmit, batched(others, FEW)))


def resubmit(keys: list[str], by: str) -> int:
    jobs = Job.objects.filter(pk__among=keys)
    count = jobs.retry()
    others = Failure.objects.filter(pk__among=keys).exclude(pk__in=jobs.values("pk"))
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
    return carry_out(by, (run_again, batched(keys, FEW)))


def run_again(keys: list[str], by: str) -> int:
    tasks = Success.objects.filter(pk__among=keys).defer("result")
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
    except Exception as error:  # whatever its function and arguments may be
        if is_away(error):
            raise
        log.warning("%s can't be queued again: %s", task.name, one_line(error))
        return False
    return True


def delete_all(keys: list[str], by: str) -> Done:
    return carry_out(by, (delete, batched(keys)))


def delete(keys: list[str], by: str) -> int:
    return int(Task.objects.filter(pk__among=keys).delete()[0])


# --- what waits or runs ---------------------------------------------------------------------


def withdraw_all(queue_ids: list[int], by: str) -> Done:
    """Remove queued tasks, whose jobs are cancelled.

    What is not removed in the first step nobody starts meanwhile: the tasks that see to it
    would come behind it.
    """
    later = OrmQ.objects.filter(pk__among=queue_ids[BATCH:], lock__lte=Now())
    if later.update(lock=Now() + HELD):
        Job.objects.filter(queue_id__among=queue_ids[BATCH:]).update(due_at=Now() + HELD)
    jobs = Job.objects.filter(queue_id__among=queue_ids).unsettled().order_by()
    groups = list(jobs.values_list("group", flat=True).distinct())
    return carry_out(by, (withdraw, batched(queue_ids)), (tell, batched(groups, FEW)))


def withdraw(queue_ids: list[int], by: str) -> int:
    jobs = Job.objects.filter(queue_id__among=queue_ids)
    count = jobs.withdraw(f"cancelled by {by}")
    without_job, _ = OrmQ.objects.filter(pk__among=queue_ids).delete()
    return count + int(without_job)


def cancel_all(keys: list[str], by: str) -> Done:
    """Cancel jobs, those that have not ended."""
    jobs = Job.objects.filter(pk__among=keys).unsettled().order_by()
    groups = list(jobs.values_list("group", flat=True).distinct())
    open_ = list(jobs.values_list("pk", flat=True))
    return carry_out(by, (cancel, batched(open_)), (tell, batched(groups, FEW)))


def cancel(keys: list[str], by: str) -> int:
    return Job.objects.filter(pk__among=keys).withdraw(f"cancelled by {by}")


def retry_all(keys: list[str], by: str) -> Done:
    """Queue failed jobs again."""
    return carry_out(by, (retry, batched(keys)))


def retry(keys: list[str], by: str) -> int:
    return Job.objects.filter(pk__among=keys).retry()
