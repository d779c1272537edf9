"""What the job of a task of Django's framework keeps beside that of any other: how it was asked
for, who has started it, and what it has raised. Of a task that was not asked for so it is empty.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import models

from .signals import ended_elsewhere

#: Jobs that wait for a time.
LATER = models.Q(state="queued", due_at__isnull=False)


class Tried(models.Model):
    """These columns of a job. SQL writes them by their names."""

    asked = models.TextField(
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Of a task of Django's framework: how it was asked for, as JSON.",
    )
    trials = models.TextField(
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Of such a task: each start, by its number, node, worker and time.",
    )
    errors = models.TextField(
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Of such a task: class and traceback of each of its errors, as JSON.",
    )

    objects: Any = models.Manager()

    class Meta:
        abstract = True


class Trial(NamedTuple):
    """A start of a task, by a worker."""

    node: str
    worker: int
    #: None if an older node started it, which has noted nothing.
    at: datetime | None

    @property
    def worker_id(self) -> str:
        return f"{self.node}-{self.worker}"


#: A start of which nothing is known.
UNKNOWN = Trial("unknown", 0, None)


def trials_of(text: str, attempts: int) -> list[Trial]:
    """The starts of a task, as many as there were attempts, the first one first. One that was
    taken back, for it had not begun, has its number again."""
    known = {}
    for line in text.split(",")[:-1]:
        number, node, worker, seconds = line.split()
        known[int(number)] = Trial(node, int(worker), datetime.fromtimestamp(float(seconds), UTC))
    return [known.get(number, UNKNOWN) for number in range(1, attempts + 1)]


def with_error(errors: str, kind: str, report: str) -> str:
    """The errors of a task, as its job keeps them, with one more: by the path of its class, or a
    word of the queue's."""
    return json.dumps([*errors_of(errors), [kind, report]])


def errors_of(errors: str) -> list[tuple[str, str]]:
    """Class and traceback of each, the first one first."""
    return [(kind, report) for kind, report in json.loads(errors or "[]")]


@contextmanager
def told_of(jobs: models.QuerySet[Any]) -> Iterator[None]:
    """Tell who listens of the jobs of such tasks, which end meanwhile."""
    task_ids = jobs.exclude(asked="").order_by().values_list("pk", flat=True)
    found = list(task_ids)
    yield
    tell(found)


def tell(task_ids: Collection[str]) -> None:
    """Tell who listens, in the caller's transaction, that these may have ended."""
    if task_ids:
        ended_elsewhere.send(sender=Tried, task_ids=task_ids)
