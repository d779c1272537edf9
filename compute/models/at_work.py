"""Tasks at work: for how long they have been, how much is left of them, and how long one takes."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import NamedTuple

from django.db import models
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from ..queue.models import Job
from ..queue.progress import LEAST

#: In the words of the index of what nodes hold, or SQLite would read all that they ever had.
HELD = "state IN ('queued', 'running') AND state = 'running'"
#: The least and the most that a task takes, in seconds: what is said to take over thirty years
#: is said by odd code, and has to stay a number when it is added up.
LEAST_S, MOST_S = 0.001, 1e9
#: For how much of the time that it has run a task runs on at least, as far as anybody knows.
ON = 0.1


class Task(NamedTuple):
    """One at work: for how many seconds, and how much of it is done, from 0 to 1, if it tells."""

    elapsed: float
    progress: float

    def left(self, mean: float) -> float:
        """Seconds."""
        if self.progress >= LEAST:
            return min(MOST_S, self.elapsed * (1 - self.progress) / self.progress)
        return max(mean - self.elapsed, ON * self.elapsed)


def tasks_at_work(nodes: list[str]) -> dict[int, list[Task]]:
    """What the workers of these nodes run, by flow."""
    held = Job.objects.filter(RawSQL(HELD, [], models.BooleanField()), node__in=nodes)  # noqa: S611
    found: dict[int, list[Task]] = defaultdict(list)
    rows = held.order_by().values_list("flow", "started_at", "progress", Now())
    for flow, started_at, progress, now in rows:
        found[flow].append(Task(seconds_between(started_at, now), min(1.0, progress)))
    return dict(found)


def seconds_between(started_at: datetime | None, now: datetime) -> float:
    return max(0.0, (now - started_at).total_seconds()) if started_at else 0.0


def mean_of(prior: float | None, ended: int, spent: float, at_work: list[Task]) -> float | None:
    """Seconds that a task takes, by what was expected, which counts as one, and by those that
    have ended; None if there is neither. What is at work may take longer than that, for sure."""
    if prior is None and not ended:
        return None
    mean = (spent + (prior or 0.0)) / (ended + (prior is not None))
    if at_work and not ended:
        mean = max(mean, sum(task.elapsed for task in at_work) / len(at_work))
    return min(MOST_S, max(LEAST_S, mean))
