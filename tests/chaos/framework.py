"""Chaos among Django's own tasks: at once, for later, of every priority, and rolled back."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.utils import timezone

from tests.processes import wait_until

#: Seconds between two tasks.
TASK_S = 0.5
#: Seconds for which one is deferred, at most.
LATER_S = 5


class Framework:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.due = time.monotonic()
        self.done: Counter[str] = Counter()
        #: What each has to come to; None if it has to fail.
        self.expected: dict[str, int | None] = {}
        self.rolled_back: list[str] = []

    def step(self) -> None:
        """Enqueue one, if it is time."""
        from django.db import InterfaceError, OperationalError, connection

        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + TASK_S
        with contextlib.suppress(Undone):
            try:
                self.enqueue()
            except (OperationalError, InterfaceError):  # nobody knows if it is there
                connection.close()

    def enqueue(self) -> None:
        from django.db import transaction

        from tests.chaos import tasks

        n = self.random.randrange(1_000_000, 8_000_000)
        task: Any = self.random.choice((tasks.total, tasks.total, tasks.one_by_one, tasks.fail))
        task = task.using(priority=self.random.choice((-50, 0, 0, 50)))
        if self.random.random() < 0.4:
            seconds = self.random.uniform(0, LATER_S)
            task = task.using(run_after=timezone.now() + timedelta(seconds=seconds))
            self.done["deferred"] += 1
        with transaction.atomic():
            result = task.enqueue(n)
            if self.random.random() < 0.1:
                self.rolled_back.append(result.id)
                self.done["rolled back"] += 1
                raise Undone
        self.expected[result.id] = None if task.name == "fail" else n * (n + 1) // 2
        self.done["enqueued"] += 1

    def check(self, deaths: Counter[str]) -> Iterator[str]:
        """Each has come to what it has to; one that was killed three times does by a retry."""
        from compute.queue.models import Job

        for job in Job.objects.filter(pk__in=self.expected, state="failed"):
            if job.error_class == "WorkerDied" and deaths[job.pk] >= 3 and job.retry():
                this = Job.objects.filter(pk=job.pk)
                with contextlib.suppress(AssertionError):
                    wait_until(lambda: not this.unsettled().exists(), 60)  # noqa: B023
        for task_id, total in self.expected.items():
            yield from self.check_result(task_id, total)
        for job in Job.objects.filter(pk__in=self.rolled_back):
            yield f"{job}: was rolled back, and is there"

    def check_result(self, task_id: str, total: int | None) -> Iterator[str]:
        from compute.queue.backend.framework import task_backends
        from compute.queue.models import Job

        result = task_backends["default"].get_result(task_id)
        attempt = Job.objects.get(pk=task_id).attempt
        about = f"{result.task.name} {task_id}: {result.status} in attempt {attempt}"
        if any(each.startswith("unknown") for each in result.worker_ids):
            yield f"{about}, and was started by {result.worker_ids}"
        if total is None:
            if result.status != "FAILED" or result.errors[-1].exception_class is not LookupError:
                yield f"{about}, and should have failed: {result.errors}"
        elif result.status != "SUCCESSFUL" or result.return_value[0] != total:
            yield f"{about}, and should have come to {total}: {result.errors}"
        elif result.return_value[1] not in (None, attempt):
            yield f"{about}, and came to {result.return_value}"
        due_at, began = result.task.run_after, result.started_at
        if due_at and began and began < due_at - timedelta(milliseconds=5):
            yield f"{about}, began at {began}, before {due_at}"

    def lines(self) -> Iterator[str]:
        counts = ", ".join(f"{count} {what}" for what, count in sorted(self.done.items()))
        yield f"Django's own tasks: {counts}"


class Undone(Exception):
    """Takes a transaction back."""
