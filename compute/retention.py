"""Removes runs that ended long ago, with their chunks, and whatever else has grown old.

Sessions that have ended go at once, whatever is kept of the runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django_q.models import Schedule

from .models import MailAsked, Run, Sweep, notes
from .queue import retention as queue
from .queue.retention import Pruned, Removed

#: What the schedule calls, by the name that a migration gave it.
SCHEDULED = "compute.retention.prune_a_share"
#: Seconds that a worker gives to it at a time, and until the next time if more is left.
SHARE, REST = 3, 60
#: How long others have their turn, as a multiple of what a step took: in a worker, which
#: cannot do anything else meanwhile, and in a process of its own, which can wait.
BRISK, GENTLE = 1, 19


def prune_a_share() -> dict[str, int]:
    """What the schedule runs: removes what it can in a moment, and comes again for the rest."""
    removed, finished = prune(settings.RUN_RETENTION_DAYS, SHARE, BRISK)
    if not finished:
        soon = timezone.now() + timedelta(seconds=REST)
        schedule = Schedule.objects.filter(func=SCHEDULED, next_run__gt=soon)
        schedule.update(next_run=soon)
    return dict(+removed)


def prune(
    days: float, seconds: float | None = None, ease: float = GENTLE, dry: bool = False
) -> Pruned:
    """Remove what ended so many days ago, 0 being for ever; no longer than `seconds`, see
    `queue.prune`."""
    return queue.prune(steps(days, dry), seconds, ease)


def steps(days: float, dry: bool = False) -> Iterator[Removed]:
    yield from session_steps(dry)
    if days:
        yield from steps_before(timezone.now() - timedelta(days=days), dry)


def session_steps(dry: bool) -> Iterator[Removed]:
    """Sessions that have ended, and what was noted for an hour only."""
    now = timezone.now()
    over: dict[str, QuerySet[Any]] = {
        "sessions": Session.objects.filter(expire_date__lt=now),
        "mail requests": MailAsked.objects.filter(asked_at__lt=now - timedelta(hours=1)),
    }
    for name, old in over.items():
        if dry:
            yield Counter({name: old.count()})
            continue
        while pks := list(old.values_list("pk", flat=True)[: queue.BATCH]):
            # The condition once more: a session may have been renewed meanwhile.
            yield Counter({name: old.filter(pk__in=pks).delete()[0]})


def steps_before(before: datetime, dry: bool) -> Iterator[Removed]:
    notes.settle()  # notes what has ended and nobody has looked at since
    yield from run_steps(before, dry)
    yield from queue.steps(before, with_a_run, dry)
    runs = Run.objects.filter(sweep=OuterRef("pk"))
    sweeps = Sweep.objects.filter(ended=True, created_at__lt=before).exclude(Exists(runs))
    yield Counter(sweeps=sweeps.count() if dry else sweeps.delete()[0])


def with_a_run(groups: Collection[str]) -> set[str]:
    """Those that are the chunks of a run, or what combines them: they go with it."""
    ids = Run.objects.of_groups(set(groups)).values_list("task_id", "combine_id")
    return {each for pair in ids for each in pair}


def old_runs(before: datetime) -> QuerySet[Run]:
    """Runs that ended before a time; those of a sweep only if all of it did."""
    ended = Run.objects.filter(finished_at__lt=before).exclude(state=Run.State.IN_PROGRESS)
    others = Run.objects.filter(sweep=OuterRef("sweep"))
    fresh = others.filter(Q(finished_at=None) | Q(finished_at__gte=before))
    return ended.filter(Q(sweep=None) | (Q(sweep__ended=True) & ~Exists(fresh)))


def run_steps(before: datetime, dry: bool) -> Iterator[Removed]:
    old = old_runs(before).order_by("finished_at", "pk")
    after = None
    while True:
        ahead = old.filter(queue.later("finished_at", after)) if after else old
        rows = list(ahead.values_list("finished_at", "pk", "task_id")[: queue.BATCH])
        if not rows:
            return
        after = rows[-1][:2]
        yield Counter()  # looking takes time, too
        for batch in queue.batches([task_id for _, _, task_id in rows]):
            with transaction.atomic():
                removed = remove(batch, before, dry)
            yield removed


def remove(task_ids: list[str], before: datetime, dry: bool) -> Removed:
    """Runs with their chunks, those that nobody is retrying at this moment.

    The chunks are locked first and the run after them, as a retry does.
    """
    runs = Run.objects.filter(task_id__in=queue.lock(task_ids, before), finished_at__lt=before)
    runs = runs.exclude(state=Run.State.IN_PROGRESS)
    if connection.features.has_select_for_update_skip_locked:
        runs = runs.select_for_update(skip_locked=True)
    ended = list(runs.values_list("task_id", "combine_id", "pk"))
    groups = {each for *ids, _ in ended for each in ids}
    removed = queue.remove(groups - {""}, dry)
    if not dry:
        Run.objects.filter(pk__in=[pk for _, _, pk in ended]).delete()
    return removed + Counter(runs=len(ended))
