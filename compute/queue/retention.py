"""Removes what ended long ago: groups of jobs, tasks without a job, dead nodes; and contents of
which nobody speaks any more.

What goes is taken in steps, each a short transaction of its own, and between two the
others get their turn. A group goes whole or stays whole; what is unfinished stays.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import Task

from .contents import removing
from .defaults import settings
from .engines import engine
from .models import Content, Flow, Job, Node
from .sharing import Slot

#: Jobs removed in one transaction, unless a single group has more.
BATCH = 500
#: Rows looked at to find a batch, in a statement that locks nothing.
LOOK_ROWS = 2_000
#: Seconds between two steps, at least.
PAUSE_S = 0.005
#: Seconds that a worker gives to it at a time.
SHARE_S = 30
#: How long ago a content was last written that has no holder, at least, if it is left over.
NEW = timedelta(hours=1)

#: How many rows a step has removed, by kind.
Removed = Counter[str]
#: Groups of these that somebody outside the queue keeps.
Kept = Callable[[Collection[str]], set[str]]


class Pruned(NamedTuple):
    """How many rows were removed, and whether none is left."""

    removed: Removed
    finished: bool


def prune(steps: Iterator[Removed], seconds: float | None = None, ease: float = 1) -> Pruned:
    """Take the steps, as many as `seconds` allow; each is followed by `ease` times its time."""
    began = time.monotonic()
    removed: Removed = Counter()
    while True:
        step_began = time.monotonic()
        if seconds is not None and step_began - began > seconds:
            return Pruned(removed, finished=False)
        step = next(steps, None)
        if step is None:
            return Pruned(removed, finished=True)
        removed += step
        time.sleep(max(PAUSE_S, ease * (time.monotonic() - step_began)))


def steps(before: datetime, kept: Kept, dry: bool = False) -> Iterator[Removed]:
    """Remove what ended before a time, except for the groups that are kept; see `prune`.

    `dry` removes nothing and counts the same.
    """
    yield from group_steps(before, kept, dry)
    yield from task_steps(before, kept, dry)
    old = Node.objects.filter(seen_at__lt=before)
    old = old.exclude(Exists(Job.objects.filter(node=OuterRef("pk"))))
    yield Counter(nodes=old.count() if dry else old.delete()[0])


def group_steps(before: datetime, kept: Kept, dry: bool) -> Iterator[Removed]:
    old = Job.objects.filter(finished_at__lt=before).order_by("finished_at", "pk")
    seen: set[str] = set()  # groups that stay, which are met again at each of their jobs
    after: tuple[Any, Any] | None = None
    while True:
        ahead = old.filter(later("finished_at", after)) if after else old
        rows = list(ahead.values_list("finished_at", "pk", "group")[:LOOK_ROWS])
        if not rows:
            return
        after = rows[-1][:2]
        met = dict.fromkeys(group for _, _, group in rows if group not in seen)
        seen.update(met)
        spared = kept(met) if met else set()
        yield Counter()  # looking takes time, too
        for batch in batches([group for group in met if group not in spared]):
            with transaction.atomic():
                removed = remove(lock(batch, before), dry)
            yield removed


def task_steps(before: datetime, kept: Kept, dry: bool) -> Iterator[Removed]:
    """Tasks without a job: queued past our signals, or the mark of a group without tasks."""
    after = ""
    while True:
        rows = Task.objects.filter(pk__gt=after).order_by("pk")
        last = list(rows.values_list("pk", flat=True)[LOOK_ROWS - 1 : LOOK_ROWS])
        window = rows.filter(pk__lte=last[0]) if last else rows
        old = window.filter(stopped__lt=before)
        old = old.exclude(Exists(Job.objects.filter(pk=OuterRef("pk"))))
        pks = list(old.values_list("pk", flat=True))
        found = Task.objects.filter(pk__in=set(pks) - (kept(pks) if pks else set()))
        yield Counter(tasks=found.count() if dry else found.delete()[0])
        if not last:
            return
        after = last[0]


def left_over_steps(kept: Kept, dry: bool = False) -> Iterator[Removed]:
    """Give up what dead workers have left: contents whose holder is gone, or that were never
    completed. `kept` is asked for holders that are no job and no group of jobs; what goes with one
    that it knows stays, complete or not."""
    after = ""
    while True:
        old = Content.objects.filter(made_at__lt=Now() - NEW, pk__gt=after).exclude(holder="")
        # No task has computed for so long since it wrote the last of it.
        long = NEW + timedelta(seconds=settings.Q_TIMEOUT)
        unfinished = Q(digest="", made_at__lt=Now() - long)
        ended = models.ExpressionWrapper(unfinished, models.BooleanField())
        rows = list(old.order_by("pk").values_list("pk", "holder", ended)[:LOOK_ROWS])
        if not rows:
            return
        after = rows[-1][0]
        ids = {holder for _, holder, _ in rows}
        there = jobs_and_groups(ids)
        others = kept(ids - there) if ids - there else set()
        lost = [
            pk
            for pk, holder, over in rows
            if holder not in others and (over or holder not in there)
        ]
        found = Content.objects.filter(pk__among=lost)
        yield Counter(contents=len(lost) if dry else found.give_up())


def jobs_and_groups(ids: set[str]) -> set[str]:
    """Which of these are a job, or a group of jobs."""
    jobs = Job.objects.filter(pk__among=ids).values_list("pk", flat=True)
    groups = Job.objects.filter(group__among=ids).order_by().values_list("group", flat=True)
    return {*jobs, *groups.distinct()}


def given_up_steps() -> Iterator[Removed]:
    """Remove the contents that were given up; they are counted already."""
    given_up = Content.objects.filter(holder="").values_list("pk", flat=True)
    while pks := list(given_up[:BATCH]):
        for _ in removing(pks):
            yield Counter()


def later(field: str, after: tuple[Any, Any]) -> Q:
    """Rows behind this one, in the order of the field and the primary key."""
    value, pk = after
    # The first condition alone is one that an index can begin with.
    return Q(**{f"{field}__gte": value}) & (Q(**{f"{field}__gt": value}) | Q(pk__gt=pk))


def batches(groups: list[str]) -> Iterator[list[str]]:
    """The groups, in batches of BATCH jobs; one that has more is a batch by itself."""
    counted = Job.objects.filter(group__in=groups).order_by().values_list("group")
    sizes = dict(counted.annotate(count=models.Count("*")))
    batch: list[str] = []
    jobs = 0
    for group in groups:
        size = sizes.get(group, 0)
        if batch and jobs + size > BATCH:
            yield batch
            batch, jobs = [], 0
        batch.append(group)
        jobs += size
    if batch:
        yield batch


def lock(groups: Collection[str], before: datetime) -> list[str]:
    """Which of the groups have ended before a time; nobody can change them until the commit.

    Whoever retries one at this moment has locked a job of it first, and keeps it. A group
    without jobs has nothing to wait for.
    """
    ended = engine().lock_ended(groups, before)
    jobs = Job.objects.filter(group__in=groups).order_by()
    sizes = dict(jobs.values_list("group").annotate(count=models.Count("*")))
    return [group for group in groups if ended[group] == sizes.get(group, 0)]


def remove(groups: Collection[str], dry: bool = False) -> Removed:
    """Remove groups that have been locked, with their flows and what django-q2 keeps of them."""
    jobs = Job.objects.filter(group__in=groups).order_by()
    tasks = Task.objects.filter(Q(pk__in=jobs.values("pk")) | Q(pk__in=groups)).order_by()
    held = Q(holder__in=jobs.values("pk")) | Q(holder__in=groups)
    contents = Content.objects.filter(held)
    if dry:
        return Counter(tasks=tasks.count(), jobs=jobs.count(), contents=contents.count())
    given_up = contents.give_up()  # `given_up_steps` removes them, in short steps
    Flow.objects.filter(key__in=groups).delete()
    Slot.objects.filter(pool__in=groups).delete()
    return Counter(tasks=tasks.delete()[0], jobs=jobs.delete()[0], contents=given_up)


def prune_old(days: float = 30, seconds: float = SHARE_S) -> dict[str, int]:
    """Remove what ended so many days ago, for `seconds` at most; how many rows, by kind.

    A function to be scheduled by a project that keeps nothing of the queue's rows itself. What
    there is no time for it removes the next time.
    """
    everything = chain(
        left_over_steps(nobodys),
        given_up_steps(),
        steps(timezone.now() - timedelta(days=days), nobodys),
        given_up_steps(),
    )
    return dict(+prune(everything, seconds).removed)


def nobodys(groups: Collection[str]) -> set[str]:
    """Of these groups none is kept by somebody outside the queue."""
    return set()
