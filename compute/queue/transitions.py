"""A job's life: every arrow from one state to another, and what decides which it takes.

Nothing else writes a job's `state`. Each arrow is one conditional write that only one caller
can win; `delivery` rises whenever a job is handed to a worker or taken back, so what belongs to
an older delivery changes nothing. docs/architecture.md has the picture.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from django.db.models import TextChoices

from .defaults import settings
from .engines import Lease, Share, engine
from .engines.values import FREE, NEXT, UP, Entry, Held, Outcome, Then, Values

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


def enter(queue: str, payload: str, task: dict[str, Any], share: Share) -> int:
    """→ queued: a package and the job of its task, in its flow; the package's id."""
    return engine().enter(queue, payload, (entry_of(task, payload), share))


def enter_alone(queue: str, payload: str) -> int:
    """Queue a package that nobody here has made, without a job; its id."""
    return engine().enter(queue, payload)


def enter_all(
    queue: str, group: str, packages: list[tuple[dict[str, Any], str]], share: Share
) -> None:
    """→ queued: the tasks of a group, each with its package, in the order of their positions."""
    if packages:
        engine().enter_all(queue, group, [entry_of(*package) for package in packages], share)


def entry_of(task: dict[str, Any], payload: str) -> Entry:
    """What has to be known of it, and how and for when it was asked for. It waits from then on."""
    queued_at, due_at = task["started"], task.get("due_at")
    queued_at = max(queued_at, due_at) if due_at else queued_at
    return Entry(payload, task["id"], task["name"], queued_at, due_at, task.get("asked", ""))


# --- to a worker -------------------------------------------------------------------------


def claim(
    queue: str,
    limit: int,
    node: str | None,
    held: Collection[int] = (),
    *,
    again_first: bool = True,
    interrupted: bool = False,
    limited: bool | None = True,
    uncharged: Mapping[int, float] | None = None,
) -> list[tuple[Lease, str]]:
    """queued → running, and running → running where a lease has ended: what is next in a queue, as
    `Engine.claim` says, each leased for `Q_LEASE` seconds. A worker that dies from here on may have
    died of it. What the node's workers have, by their packages' ids (`held`), is not taken over.
    """
    return engine().claim(
        queue=queue,
        limit=limit,
        node=node,
        worker=os.getpid() if node else None,
        lease_s=settings.Q_LEASE,
        held=list(held),
        again_first=again_first,
        interrupted=interrupted,
        limited=limited,
        uncharged=uncharged or {},
    )


def claim_more(
    queue: str, limit: int, node: str, held: Collection[int], flow: int
) -> list[tuple[Lease, str]]:
    """queued → running: the next of one flow, as `claim` does, for a worker of this process."""
    return engine().claim_more(
        queue=queue,
        limit=limit,
        node=node,
        worker=os.getpid(),
        lease_s=settings.Q_LEASE,
        held=list(held),
        flow=flow,
    )


def admit(lease: Lease, task: dict[str, Any], queue: str, node: str | None) -> Lease:
    """→ running: the job of a claimed task that has none, and the lease with it; the lease as it
    is, if there is a job of that id."""
    job = {
        "task_id": task["id"],
        "name": task["name"],
        "queue": queue,
        "queue_id": lease.queue_id,
        "node": node,
        "worker": os.getpid(),
    }
    made = engine().admit(job)
    return lease._replace(delivery=1, attempt=1, starts=1) if made else lease


def start_in_request(task_id: str) -> None:
    """queued → running, for a task that the request itself runs: it has no package."""
    engine().start(task_id, os.getpid())


# --- and back ----------------------------------------------------------------------------


def give_back(held: Collection[Held], pause: timedelta = timedelta(), first: bool = False) -> int:
    """queued or running → queued, for every node, after a pause; how many were still held so.

    A worker that still runs one of them has lost it: its outcome won't count. What has had its turn
    is to be claimed `first`, whoever's turn it is now.
    """
    up = NEXT if first else FREE
    return engine().give_back(held, pause.total_seconds(), up) if held else 0


def recover(queue: str, held: Collection[int] = ()) -> int:
    """running → queued where the lease of a task has ended, and due again where its pause has:
    the former to be claimed first, and each at its old place in its flow. Not what the node's own
    workers have (`held`); how many. An idle worker does not wait for that.
    """
    lost, due = engine().recoverable(queue, held)
    return sum(engine().give_back(jobs, 0, up) for jobs, up in ((lost, UP), (due, FREE)) if jobs)


def look_for_strays(queue: str) -> int:
    """Have packages claimed that wait in no line; how many there were (`Engine.stray`)."""
    return engine().stray(queue)


def postpone(held: Held, starts: int) -> bool:
    """running → queued, for nodes of other code. False, and nothing done, if it has been tried
    often enough, or was lost meanwhile."""
    return starts < UNKNOWN_TRIES and give_back([held], UNKNOWN_PAUSE) > 0


def leave(held: Held, pause: timedelta) -> bool:
    """running → queued, for others, as if it had not been started here; False if it was lost."""
    return leave_all([held], pause) > 0


def leave_all(held: Collection[Held], pause: timedelta = timedelta()) -> int:
    """running → queued, of what was not begun here; how many. If some of it was lost meanwhile, the
    starts of all are counted."""
    count = give_back(held, pause)
    if count == len(held):
        engine().uncount_starts([task_id for task_id, _ in held])
    return count


def survives(task_id: str, deaths: int) -> bool:
    """A death of its worker more, which may be its doing: whether it may be tried again. If so, it
    is counted, and the job is to be given back; else it has to fail."""
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


def settle_done(outcomes: Sequence[Outcome], then: Then = None) -> set[str]:
    """running → done, of several tasks that are no one else's by now, as `settle` does of one; the
    ids of those that count. Of what somebody has locked meanwhile nothing is written."""
    return engine().settle_done(outcomes, then)


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
    return engine().requeue(task_ids, JobState.FAILED.value)


def go_on(task_ids: list[str]) -> list[tuple[str, str]]:
    """cancelled → queued, in the same way. A worker that was at work when it was cancelled, and is
    still, has lost it."""
    return engine().requeue(task_ids, JobState.CANCELLED.value)
