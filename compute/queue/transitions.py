"""A job's life: every arrow from one state to another, and what decides which it takes.

Nothing else writes a job's `state`. Each arrow is one conditional write that only one caller
can win; `delivery` rises whenever a job is handed to a worker or taken back, so what belongs to
an older delivery changes nothing. docs/architecture.md has the picture.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import TextChoices

from .engines import Lease, engine
from .engines.base import Entry, Held, Then, Values

T = TypeVar("T")


class JobState(TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNSETTLED = (JobState.QUEUED, JobState.RUNNING)

#: How often a task may kill its worker before it counts as failed.
MAX_DEATHS = 3

#: A task of which a node's code lacks something is up again after this time, this often:
#: five minutes, for nodes of the version that queued it to have started.
UNKNOWN_PAUSE, UNKNOWN_TRIES = timedelta(seconds=5), 60

#: How many jobs are cancelled or retried in one transaction: all of the largest run. On SQLite
#: nobody else writes meanwhile, which takes about half a second.
BATCH = 10_000


def batched(rows: list[T], size: int = BATCH) -> Iterator[list[T]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


# --- into the queue ----------------------------------------------------------------------


def enter(queue: str, payload: str, task: dict[str, Any] | None) -> int:
    """→ queued: a package, and the job of its task if it has one; the package's id."""
    return engine().enter(queue, payload, entry_of(task, payload) if task else None)


def enter_all(queue: str, group: str, packages: list[tuple[dict[str, Any], str]]) -> None:
    """→ queued: the tasks of a group, each with its package, in the order of their positions."""
    if packages:
        engine().enter_all(queue, group, [entry_of(*package) for package in packages])


def entry_of(task: dict[str, Any], payload: str) -> Entry:
    return Entry(payload, task["id"], task["name"], task["started"])


# --- to a worker -------------------------------------------------------------------------


def claim(queue: str, limit: int, node: str | None) -> list[tuple[Lease, str]]:
    """queued → running, and running → running where a lease has ended: the oldest free packages
    of a queue, each leased for `Q_LEASE` seconds. Whoever dies from here on may have died of it.
    """
    worker, lease_s = os.getpid() if node else None, settings.Q_LEASE
    return engine().claim(queue=queue, limit=limit, node=node, worker=worker, lease_s=lease_s)


def start_in_request(task_id: str) -> None:
    """queued → running, for a task that the request itself runs: it has no package."""
    engine().start(task_id, os.getpid())


# --- and back ----------------------------------------------------------------------------


def give_back(held: Collection[Held], pause: timedelta = timedelta()) -> int:
    """queued or running → queued, for every node, after a pause; how many were still held so.

    A worker that still runs one of them has lost it: its outcome won't count.
    """
    return engine().give_back(held, pause.total_seconds()) if held else 0


def postpone(held: Held, attempt: int) -> bool:
    """running → queued, for nodes of other code. False, and nothing done, if it has been tried
    often enough, or was lost meanwhile."""
    return attempt < UNKNOWN_TRIES and give_back([held], UNKNOWN_PAUSE) > 0


def leave(held: Held, pause: timedelta) -> bool:
    """running → queued, for others, as if it had not been started here; False if it was lost."""
    left = give_back([held], pause) > 0
    if left:
        engine().uncount_start(held[0])
    return left


def survives(task_id: str, deaths: int) -> bool:
    """A death of its worker more, which may be its doing: whether it may be tried again.

    If so, it is counted, and the job is to be given back; else it has to fail.
    """
    if deaths + 1 >= MAX_DEATHS:
        return False
    engine().count_death(task_id)
    return True


# --- to its end, and again ---------------------------------------------------------------


def settle(
    task_id: str,
    lease: Lease,
    state: JobState,
    outcome: Values,
    record: Values | None,
    then: Then = None,
) -> bool:
    """queued or running → done or failed, with its package removed and django-q2's record kept.

    `outcome` and `record` are values by column, as the database takes them. False, and nothing
    is written, if the job has settled or that delivery counts no more. Where writes come one
    after another, `then` is called within this one: nothing waits for a turn of its own.
    """
    return engine().settle(task_id, lease, {"state": state.value, **outcome}, record, then)


def withdraw(task_ids: list[str], reason: str) -> int:
    """queued or running → cancelled; how many.

    A node notices within a second and ends the worker, whatever that is doing; an outcome that
    is quicker than this counts.
    """
    return sum(engine().withdraw(batch, reason) for batch in batched(task_ids))


def retry(task_ids: list[str]) -> list[tuple[str, str]]:
    """failed → queued, as the same job of the same group; task id and group of each.

    Within the caller's transaction. Of two people who press at the same time one retries; what
    is not failed (any more) stays.
    """
    return engine().requeue(task_ids)
