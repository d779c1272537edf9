"""Limits of what may be unfinished and added, by all together and by one; more is refused.

The limits protect the database and the patience of others. A visitor is held to those of
his share (compute/web/shares.py). Staff is held to the limits of all together, and not to those
of work; commands in a terminal are held to none, for only the operator can give one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import ceil

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from django_q.models import OrmQ

from ..models import Run
from ..models.estimates import NOTHING, Cost
from ..models.notes import unfinished
from ..queue import room
from ..queue.models import Job, Node
from ..queue.text import number_of
from ..templatetags.amounts import duration
from .bodies import MIB
from .shares import Share, shares_of
from .work import unfinished_work

#: Seconds after which somebody who was refused may try again, at least and at most.
RETRY_AFTER_S, RETRY_AT_MOST_S = 10, 3600
#: How long an addition counts.
HOUR = timedelta(hours=1)


class TooMuch(Exception):
    """A limit would be exceeded. Its text says which, and what to do."""

    def __init__(self, detail: str, seconds: float = 0) -> None:
        super().__init__(detail)
        #: Seconds until one may come back.
        self.retry_after = min(max(RETRY_AFTER_S, ceil(seconds)), RETRY_AT_MOST_S)


@contextmanager
def within_limits(request: HttpRequest, cost: Cost) -> Iterator[None]:
    """A transaction that starts something; if it exceeds a limit, TooMuch, and nothing starts.

    The estimate is checked before, because a refusal has to be cheap, and the rows are checked
    after, before the commit. On SQLite one such transaction waits for the other, so no limit is
    ever exceeded. On Postgres they don't see each other until they commit: starts at the same
    moment can exceed a limit, by one run for each web process at most. With a lock everybody
    would wait for the one that queues ten thousand chunks.
    """
    ensure_room(request, cost)
    with transaction.atomic():
        yield
        check(request, NOTHING)


def ensure_room(request: HttpRequest, cost: Cost) -> None:
    """TooMuch if there is no room for that much more.

    It is no reservation: others who ask at the same moment are told the same.
    """
    try:
        check(request, cost)
    except TooMuch:
        unfinished()  # notes the end of runs that a killed node left behind
        check(request, cost)


def check(request: HttpRequest, cost: Cost) -> None:
    """TooMuch if so much more would exceed any of the limits."""
    shares = shares_of(request)
    check_kept()
    check_counts(shares, cost)
    check_added(shares, cost)
    if not request.user.is_staff:
        check_work(shares, cost)


def check_kept() -> None:
    """TooMuch if the database holds as much as it may."""
    if room.used() >= 1:
        raise TooMuch(
            f"The site is full: its database holds the {settings.MAX_KEPT_MB:,g} MB that it may; "
            "come back when old runs have been removed.",
            RETRY_AT_MOST_S,
        )


def check_counts(shares: list[Share], cost: Cost) -> None:
    """TooMuch if there were too many runs or chunks unfinished."""
    active = Run.objects.filter(state=Run.State.IN_PROGRESS)
    counts = active.aggregate(
        runs=models.Count("pk"),
        **{f"runs{i}": models.Count("pk", filter=each.runs) for i, each in enumerate(shares)},
        **{f"chunks{i}": models.Sum("chunks", filter=each.runs) for i, each in enumerate(shares)},
    )
    if counts["runs"] + cost.runs > settings.MAX_ACTIVE_RUNS:
        raise TooMuch(
            f"All visitors together have {number_of(counts['runs'], 'unfinished run')}, and may "
            f"have {settings.MAX_ACTIVE_RUNS:,}; come back when one has ended."
        )
    if OrmQ.objects.count() + cost.chunks > settings.MAX_QUEUED_CHUNKS:
        raise TooMuch(
            f"With this more than {number_of(settings.MAX_QUEUED_CHUNKS, 'chunk')} of all visitors "
            "would be queued; take a larger chunk_size, or come back when fewer wait."
        )
    for i, share in enumerate(shares):
        most = share.of(settings.MAX_CLIENT_RUNS)
        if counts[f"runs{i}"] + cost.runs > most:
            raise TooMuch(
                f"{share.whose} has {number_of(counts[f'runs{i}'], 'unfinished run')}, and may "
                f"have {most:,}; cancel one, or come back when one has ended."
            )
        # Counted one by one only if there could be too many: some of them may have ended.
        most = share.of(settings.MAX_CLIENT_CHUNKS)
        if (counts[f"chunks{i}"] or 0) + cost.chunks > most:
            groups = active.filter(share.runs).values("task_id")
            unsettled = Job.objects.filter(group__in=groups).unsettled().count()
            if unsettled + cost.chunks > most:
                raise TooMuch(
                    f"{share.whose} would have more than {number_of(most, 'chunk')} queued; take "
                    "a larger chunk_size, or come back when some have ended."
                )


def check_added(shares: list[Share], cost: Cost) -> None:
    """TooMuch if more were added to the database in an hour than one may."""
    most = settings.MAX_CLIENT_MB_PER_HOUR * MIB
    if not (shares and most):
        return
    whose = models.Q()
    for share in shares:
        whose |= share.runs
    lately = Run.objects.filter(whose, created_at__gt=Now() - HOUR)
    counts = lately.aggregate(
        **{
            f"added{i}": models.Sum("kept_bytes", filter=share.runs)
            for i, share in enumerate(shares)
        }
    )
    for i, share in enumerate(shares):
        added = counts[f"added{i}"] or 0
        if added + cost.bytes > most:
            first = lately.filter(share.runs).aggregate(at=models.Min("created_at"))["at"]
            wait = (first + HOUR - timezone.now()).total_seconds() if first else 0
            raise TooMuch(
                f"{share.whose} may add {most / MIB:,g} MB to the database within an hour, has "
                f"added {added / MIB:,.1f}, and this would be {cost.bytes / MIB:,.1f} more; take a "
                "larger chunk_size, or come back later.",
                wait,
            )


def check_work(shares: list[Share], cost: Cost) -> None:
    """TooMuch if the workers would have to work too long at what visitors have unfinished."""
    if not (settings.MAX_WORK_MINUTES or settings.MAX_CLIENT_WORK_MINUTES):
        return
    minute = 60 * (Node.objects.workers() or settings.Q_WORKERS)
    works = unfinished_work()
    for share in shares:
        most = settings.MAX_CLIENT_WORK_MINUTES * minute * share.part
        mine = sum(work for run, work in works if share.has(run))
        check_one_work(share.whose, most, mine, cost)
    everything = sum(work for _, work in works)
    check_one_work("All visitors", settings.MAX_WORK_MINUTES * minute, everything, cost)


def check_one_work(whose: str, most: float, unfinished: float, cost: Cost) -> None:
    if most and unfinished + cost.work > most:
        raise TooMuch(too_long(whose, most, unfinished, cost), RETRY_AFTER_S)


def too_long(whose: str, most: float, unfinished: float, cost: Cost) -> str:
    """The sentence that tells of too much work, and what would fit."""
    had = f", {duration(unfinished)} of it are in use" if unfinished else ""
    fits = rounded_down((most - unfinished) * cost.speed)
    if cost.seconds is None:
        each = settings.UNKNOWN_CHUNK_SECONDS
        advice = f"Nothing is known of its speed, so a chunk counts {each:g} s: take a larger one"
    elif fits > 0:
        unit = "" if cost.field else f" {cost.unit}"
        advice = f"A value of {cost.field}" if cost.field else "A size"
        advice += f" of at most about {fits:,}{unit} would fit"
    else:
        advice = "Take less"
    return (
        f"{whose} may have {duration(most)} of work unfinished{had}, and this would add "
        f"{duration(cost.work)}. {advice}; or come back when something has ended."
    )


def rounded_down(number: float) -> int:
    """To two digits, as an estimate is told."""
    whole = max(0, int(number))
    step: int = 10 ** max(0, len(str(whole)) - 2)
    return whole // step * step
