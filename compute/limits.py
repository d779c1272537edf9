"""How much may be unfinished and added, of all together and of one: what is over is refused.

The limits protect the database and the patience of others. A visitor is held to those of
his address, and with a session to half of them besides; an account to its own, wherever it
signs in. Staff is held to the limits of all together, and not to those of work; commands in
a terminal are held to none, for whoever can give one runs the place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import ceil
from typing import Any, NamedTuple

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from django_q.models import OrmQ

from . import estimates, room
from .clients import client_of, is_this_machine
from .estimates import NOTHING, Cost
from .models import Run, Sweep
from .queue.models import Job, Node
from .queue.overview import uses
from .templatetags.amounts import duration

#: Seconds after which somebody who was refused may try again, at least and at most.
RETRY_AFTER, AT_MOST = 10, 3600
#: How long what was added counts.
HOUR = timedelta(hours=1)


class TooMuch(Exception):
    """A limit would be exceeded. Its text says which, and what to do."""

    def __init__(self, detail: str, seconds: float = 0) -> None:
        super().__init__(detail)
        #: When to come back.
        self.retry_after = min(max(RETRY_AFTER, ceil(seconds)), AT_MOST)


class Share(NamedTuple):
    """What one address, session or account may have, and which runs count for it."""

    whose: str
    field: str
    value: Any
    #: Of what MAX_CLIENT_… say.
    part: float = 1

    def of(self, most: float) -> int:
        return ceil(most * self.part)

    @property
    def runs(self) -> models.Q:
        # An account's runs count for it alone, not for others at its address.
        alone = {"account": None} if self.field == "address" else {}
        return models.Q(**{self.field: self.value}, **alone)

    def has(self, run: dict[str, Any]) -> bool:
        alone = self.field != "address" or run["account"] is None
        return bool(alone and run[self.field] == self.value)


def shares_of(request: HttpRequest) -> list[Share]:
    """The shares that the request is held to; none for staff and for a developer's own machine."""
    if request.user.is_staff or (settings.DEBUG and is_this_machine(request)):
        return []
    client = client_of(request)
    if client.account:
        return [Share("Your account", "account", client.account)]
    shares = [Share("Your address", "address", client.address)]
    if client.session:
        shares.append(Share("Your session", "client", client.session, 0.5))
    return shares


@contextmanager
def within_limits(request: HttpRequest, cost: Cost) -> Iterator[None]:
    """A transaction that starts something, unless that were too much: then TooMuch, and nothing.

    What it will add is looked at before, for to refuse has to be cheap, and what it did add
    is after, before the commit. On SQLite one such transaction waits for the other, so no
    limit is ever exceeded. On Postgres they don't see each other until they commit: a limit
    can be exceeded by what is being started in the same moment, one run for each web process
    at most. To lock them out would let everybody wait for whoever queues ten thousand chunks.
    """
    ensure_room(request, cost)
    with transaction.atomic():
        yield
        check(request, NOTHING)


def ensure_room(request: HttpRequest, cost: Cost) -> None:
    """TooMuch if there is no room for that much more.

    It is no reservation: whoever asks at the same moment is told the same.
    """
    try:
        check(request, cost)
    except TooMuch:
        Run.objects.unfinished()  # notes the end of what a node that was killed left behind
        check(request, cost)


def check(request: HttpRequest, cost: Cost) -> None:
    """TooMuch if with so much more there were too much of anything."""
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
            AT_MOST,
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
            f"{counts['runs']:,} runs of all visitors are unfinished, and there may be "
            f"{settings.MAX_ACTIVE_RUNS:,}; come back when one has ended."
        )
    if OrmQ.objects.count() + cost.chunks > settings.MAX_QUEUED_CHUNKS:
        raise TooMuch(
            f"With this more than {settings.MAX_QUEUED_CHUNKS:,} chunks of all visitors would be "
            "queued; take a larger chunk_size, or come back when fewer wait."
        )
    for i, share in enumerate(shares):
        most = share.of(settings.MAX_CLIENT_RUNS)
        if counts[f"runs{i}"] + cost.runs > most:
            raise TooMuch(
                f"{share.whose} has {counts[f'runs{i}']:,} unfinished runs, and may have {most:,}; "
                "cancel one, or come back when one has ended."
            )
        # Counted one by one only if there could be too many: some of them may have ended.
        most = share.of(settings.MAX_CLIENT_CHUNKS)
        if (counts[f"chunks{i}"] or 0) + cost.chunks > most:
            groups = active.filter(share.runs).values("task_id")
            unsettled = Job.objects.filter(group__in=groups).unsettled().count()
            if unsettled + cost.chunks > most:
                raise TooMuch(
                    f"{share.whose} would have more than {most:,} chunks queued; take a larger "
                    "chunk_size, or come back when some have ended."
                )


def check_added(shares: list[Share], cost: Cost) -> None:
    """TooMuch if more were added to the database in an hour than one may."""
    most = settings.MAX_CLIENT_MB_PER_HOUR * 1e6
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
                f"{share.whose} may add {most / 1e6:,g} MB to the database within an hour, has "
                f"added {added / 1e6:,.1f}, and this would be {cost.bytes / 1e6:,.1f} more; take a "
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
        raise TooMuch(too_long(whose, most, unfinished, cost), RETRY_AFTER)


def unfinished_work() -> list[tuple[dict[str, Any], float]]:
    """Each unfinished run of a visitor's, and the worker seconds that are left of it.

    Of a run that tries a chunk size with those of the runs that will follow it.
    """
    runs = list(
        Run.objects.filter(state=Run.State.IN_PROGRESS)
        .exclude(address="")
        .values(
            *("task_id", "combine_id", "chunks", "expected_seconds", "sweep"),
            *("address", "client", "account"),
        )
    )
    used = uses([run[name] for run in runs for name in ("task_id", "combine_id") if run[name]])
    follow = followers({run["sweep"] for run in runs if run["sweep"]})
    works = []
    for run in runs:
        use, combining = used.get(run["task_id"]), used.get(run["combine_id"])
        expected, unknown = run["expected_seconds"], settings.UNKNOWN_CHUNK_SECONDS
        work = 0.0
        if use:
            whole = unknown * run["chunks"] if expected is None else expected
            work += estimates.left(whole, use, known=expected is not None)
            work += whole * follow.get(run["sweep"], 0)
        if combining:
            work += estimates.left(unknown, combining, known=False)
        works.append((run, work))
    return works


def followers(sweeps: set[int]) -> dict[int, int]:
    """How many runs these sweeps have still to start."""
    if not sweeps:
        return {}
    found = Sweep.objects.filter(pk__in=sweeps).annotate(started=models.Count("run"))
    return {sweep.pk: max(0, len(sweep.sizes) - sweep.started) for sweep in found}


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
