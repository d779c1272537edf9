"""Removes runs that ended long ago, with their chunks, and whatever else has grown old.

Sessions that have ended go at once, whatever is kept of the runs.
"""

from __future__ import annotations

import logging
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

from .models import MailAsked, Run, Sweep, Upload, notes
from .queue import retention as queue
from .queue.retention import Pruned, Removed
from .queue.text import number_of

log = logging.getLogger(__name__)

#: The function that the schedule calls, by the name that a migration gave it.
SCHEDULED = "compute.retention.prune_a_share"
#: A hundred years, and whatever is more: before the year 1 there is no date.
MOST_DAYS = 36_500
#: Seconds that a worker gives to it at a time, and until the next time if more is left.
SHARE_S, REST_S = 3, 60
#: How long others have their turn, as a multiple of a step's time: in a worker, which can do
#: nothing else meanwhile, and in a process of its own, which can wait.
BRISK, GENTLE = 1, 19


def prune_a_share() -> dict[str, int]:
    """The schedule's task: removes what it can in SHARE_S, and comes again for the rest."""
    removed, finished = prune(settings.RUN_RETENTION_DAYS, SHARE_S, BRISK)
    if not finished:
        soon = timezone.now() + timedelta(seconds=REST_S)
        schedule = Schedule.objects.filter(func=SCHEDULED, next_run__gt=soon)
        schedule.update(next_run=soon)
    return dict(+removed)


def prune(
    days: float,
    seconds: float | None = None,
    ease: float = GENTLE,
    dry: bool = False,
    by: str = "the schedule",
) -> Pruned:
    """Remove what ended so many days ago; 0 days keep it for ever. At most for `seconds`, see
    `queue.prune`. How many runs that were is logged, and by whom."""
    pruned = queue.prune(steps(days, dry), seconds, ease)
    if pruned.removed["runs"] and not dry:
        runs = number_of(pruned.removed["runs"], "run")
        log.info("deleted: %s that ended over %g days ago, by %s", runs, days, by)
    return pruned


def steps(days: float, dry: bool = False) -> Iterator[Removed]:
    yield from session_steps(dry)
    yield from queue.left_over_steps(with_a_run, dry)
    if not dry:  # first what an earlier share has had no time for
        yield from queue.given_up_steps()
    if days:
        yield from steps_before(timezone.now() - timedelta(days=min(days, MOST_DAYS)), dry)
    yield from upload_steps(dry)
    if not dry:
        yield from queue.given_up_steps()


def session_steps(dry: bool) -> Iterator[Removed]:
    """Sessions that have ended, and notes that are kept for an hour only."""
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


def upload_steps(dry: bool) -> Iterator[Removed]:
    """Files that nobody has started anything with for a day, or that are not whole by then."""
    stale = Upload.objects.stale()
    if dry:
        yield Counter(uploads=stale.count())
        return
    while pks := list(stale.values_list("pk", flat=True)[: queue.BATCH]):
        yield Counter(uploads=stale.filter(pk__among=pks).remove_unused())


def steps_before(before: datetime, dry: bool) -> Iterator[Removed]:
    notes.settle()  # notes runs that have ended and that nobody has looked at since
    yield from run_steps(before, dry)
    yield from queue.steps(before, with_a_run, dry)
    runs = Run.objects.filter(sweep=OuterRef("pk"))
    sweeps = Sweep.objects.filter(ended=True, created_at__lt=before).exclude(Exists(runs))
    yield Counter(sweeps=sweeps.count() if dry else sweeps.delete()[0])


def with_a_run(groups: Collection[str]) -> set[str]:
    """The groups that are a run's chunks, or its combine task, and uploads: they go with it."""
    ids = Run.objects.of_groups(set(groups)).values_list("task_id", "combine_id")
    uploads = Upload.objects.filter(pk__among=groups).values_list("pk", flat=True)
    return {*uploads, *(each for pair in ids for each in pair)}


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
    """Remove runs with their chunks, but none that somebody is retrying at this moment.

    The chunks are locked first and the run after them, as a retry does.
    """
    runs = Run.objects.filter(task_id__in=queue.lock(task_ids, before), finished_at__lt=before)
    runs = runs.exclude(state=Run.State.IN_PROGRESS)
    if connection.features.has_select_for_update_skip_locked:
        runs = runs.select_for_update(skip_locked=True)
    ended = list(runs.values_list("task_id", "combine_id", "pk"))
    groups = {each for *ids, _ in ended for each in ids}
    removed = queue.remove(groups - {""}, dry)
    pks = [pk for _, _, pk in ended]
    others = Run.objects.exclude(pk__in=pks).filter(uploads=OuterRef("pk"))
    theirs = Upload.objects.filter(runs__in=pks).exclude(Exists(others)).distinct()
    uploads = list(theirs.values_list("pk", flat=True))
    removed += Counter(uploads=len(uploads))
    if not dry:
        Run.objects.filter(pk__in=pks).delete()
        Upload.objects.filter(pk__among=uploads).remove_unused()
    return removed + Counter(runs=len(ended))
