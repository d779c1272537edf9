"""How much may be unfinished, of all clients together and of one: what is over is refused.

The limits protect the database and the patience of others. Whoever works with this site
as staff is not held to those of one client; whoever has a shell is held to none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import models, transaction
from django.http import HttpRequest
from django_q.models import OrmQ

from .clients import client_of
from .models import Run
from .queue.models import Job

#: Seconds after which somebody who was refused may try again.
RETRY_AFTER = 10


class TooMuch(Exception):
    """A limit would be exceeded. Its text says which, and what to do."""


@contextmanager
def within_limits(request: HttpRequest, pieces: int = 1) -> Iterator[None]:
    """A transaction that starts a run, unless that were too much: then TooMuch, and nothing.

    What it will add at least is looked at before, for to refuse has to be cheap, and what
    it did add is after, before the commit. On SQLite one such transaction waits for the
    other, so no limit is ever exceeded. On Postgres they don't see each other until they
    commit: a limit can be exceeded by what is being started in the same moment, one run
    for each web process at most. To lock them out would let everybody wait for whoever
    queues ten thousand chunks.
    """
    ensure_room(request, 1, pieces)
    with transaction.atomic():
        yield
        check(counted_for(request))


def ensure_room(request: HttpRequest, runs: int, pieces: int) -> None:
    """TooMuch if there is no room for so many more unfinished runs and queued chunks.

    It is no reservation: whoever asks at the same moment is told the same.
    """
    client = counted_for(request)
    try:
        check(client, runs, pieces)
    except TooMuch:
        Run.objects.unfinished()  # notes the end of what a node that was killed left behind
        check(client, runs, pieces)


def counted_for(request: HttpRequest) -> str | None:
    """The client whose limits hold; None for staff."""
    return None if request.user.is_staff else client_of(request)


def check(client: str | None, runs: int = 0, pieces: int = 0) -> None:
    """TooMuch if with so many more there were too many; of one client, if it is given."""
    active = Run.objects.filter(state=Run.State.IN_PROGRESS)
    mine = models.Q(client=client)
    counts = active.aggregate(
        runs=models.Count("pk"),
        mine=models.Count("pk", filter=mine),
        pieces=models.Sum("chunks", filter=mine),
    )
    if counts["runs"] + runs > settings.MAX_ACTIVE_RUNS:
        raise TooMuch(
            f"{counts['runs']:,} runs are unfinished, and there may be "
            f"{settings.MAX_ACTIVE_RUNS:,}; come back when one has ended."
        )
    if OrmQ.objects.count() + pieces > settings.MAX_QUEUED_CHUNKS:
        raise TooMuch(
            f"With this more than {settings.MAX_QUEUED_CHUNKS:,} chunks would be queued; "
            "take a larger chunk_size, or come back when fewer wait."
        )
    if client is None:
        return
    if counts["mine"] + runs > settings.MAX_CLIENT_RUNS:
        raise TooMuch(
            f"{counts['mine']:,} of your runs are unfinished, and a client may have "
            f"{settings.MAX_CLIENT_RUNS:,}; cancel one, or come back when one has ended."
        )
    # Counted one by one only if there could be too many: chunks of these runs may have ended.
    if (counts["pieces"] or 0) + pieces > settings.MAX_CLIENT_CHUNKS:
        groups = active.filter(mine).values("task_id")
        left = Job.objects.filter(group__in=groups).unsettled().count()
        if left + pieces > settings.MAX_CLIENT_CHUNKS:
            raise TooMuch(
                f"With this more than {settings.MAX_CLIENT_CHUNKS:,} chunks of yours would be "
                "queued; take a larger chunk_size, or come back when some have ended."
            )
