"""Estimates of what a run will take, before it has: work, and room for its rows.

Nothing here promises to be right. A wrong estimate of work is corrected by what the run has
used; that of room is on the safe side.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from django.conf import settings
from django.db import models
from django.db.models.functions import Cast, Length
from django_q.models import OrmQ

from .. import chunking
from ..computation import Computation
from ..queue.models import Node
from ..queue.overview import Use
from .asked import as_kept
from .at_work import MOST_S
from .run import Run
from .speed import speed_of

#: How many of the last runs tell how long the chunks of the next take.
RUNS_ASKED = 5

#: Bytes that a run's own row and its session's take with their indexes, and each of its
#: chunks: job and package while it is queued, job and task after its end. Measured as the
#: growth of the database, with 3,000 chunks of one run and with 500 runs of one chunk, when
#: all were queued and again when all had ended: of a chunk 1,038 and 875 on SQLite, 1,242
#: and 2,053 on Postgres (where each update leaves a dead row behind); of a run of one chunk
#: 1,294 and 1,221, 1,655 and 2,523. (`bin/test tests/models/test_estimates.py -s` does it again.)
RUN_BYTES, CHUNK_BYTES = 1500, 2200
#: Characters of a package in the queue that those figures contain.
PACKAGE_CHARS = 600
#: How often longer parameters and arguments are kept: parameters with the run, as they were
#: given and as they were cleaned; a chunk's arguments with job and task.
COPIES = 2


class Cost(NamedTuple):
    """The unfinished runs, chunks and work, and the kept bytes, that a start would add."""

    runs: int = 1
    chunks: int = 1
    #: Of one worker; None if nobody knows.
    seconds: float | None = None
    bytes: int = 0
    #: How much of its length a worker does in a second, 0 if unknown; the unit of that, and
    #: the parameter that is the length, if one is.
    speed: float = 0.0
    unit: str = ""
    field: str = ""

    @property
    def work(self) -> float:
        unknown: float = settings.UNKNOWN_CHUNK_SECONDS * self.chunks
        return unknown if self.seconds is None else self.seconds


NOTHING = Cost(runs=0, chunks=0, seconds=0.0)


def cost_of(
    computation: Computation,
    parameters: dict[str, Any],
    chunk_size: int | None = None,
    whole: bool = False,
) -> Cost:
    """The cost of one run, in chunks of this size or of the one that the site would choose;
    `whole` if it is one task in any case."""
    chunks, speed, field = 1, 0.0, ""
    seconds: float | None = None
    length = computation.length_of(parameters)
    if length is not None:
        known = speed_of(computation)
        speed = known or computation.per_second or 0.0
        field = field_of(parameters, length)
        if computation.cut is not None and not whole:
            workers = Node.objects.workers() or settings.Q_WORKERS
            size = chunk_size or chunking.best_chunk_size(length, known, workers)[0]
            chunks = -(-length // size)
        if speed:
            seconds = min(MOST_S, length / speed)
    if seconds is None:
        seconds = as_lately(computation, chunks)
    return Cost(1, chunks, seconds, kept(chunks, parameters), speed, computation.unit, field)


def cost_of_sweep(computation: Computation, parameters: dict[str, Any], sizes: list[int]) -> Cost:
    """The cost of runs in all these sizes: one at a time, so the finest's chunks at most."""
    one = cost_of(computation, parameters, sizes[0])
    length = computation.length_of(parameters) or 0
    chunks = [-(-length // size) for size in sizes]
    each = one.work / one.chunks if one.chunks else 0.0
    return one._replace(
        chunks=max(chunks),
        seconds=one.work * len(sizes) if one.speed else each * sum(chunks),
        bytes=sum(kept(count, parameters) for count in chunks),
        speed=one.speed / len(sizes),
    )


def field_of(parameters: dict[str, Any], length: int) -> str:
    """The only parameter, if it is the length."""
    return next(iter(parameters)) if list(parameters.values()) == [length] else ""


def as_lately(computation: Computation, chunks: int) -> float | None:
    """Seconds of so many chunks if each takes as long as those of the slowest run lately.

    For a computation without a speed: it has no length, or its chunks are trifles.
    """
    done = Run.objects.done_lately(computation.name).filter(work_seconds__gt=0, chunks__gt=0)
    each = models.F("work_seconds") / Cast("chunks", models.FloatField())
    lately = done.order_by("-id").annotate(each=each)[:RUNS_ASKED]
    slowest = lately.aggregate(slowest=models.Max("each"))["slowest"]
    return None if slowest is None else chunks * slowest


def kept(chunks: int, parameters: dict[str, Any], packages: int = 0) -> int:
    """Bytes of a run's rows; `packages` is how many characters there are in the queue, if known."""
    given = len(json.dumps(as_kept(parameters)))
    longer = max(0, packages - chunks * PACKAGE_CHARS)
    return RUN_BYTES + chunks * CHUNK_BYTES + COPIES * (given + longer)


def note(run: Run, cost: Cost) -> None:
    """Write on a run that has just been queued what it will take."""
    queued = run.jobs.order_by().values_list("queue_id", flat=True)
    packages = OrmQ.objects.filter(pk__among=list(queued))
    length = packages.aggregate(length=models.Sum(Length("payload")))["length"]
    run.expected_seconds = cost.seconds
    run.kept_bytes = kept(run.chunks, run.parameters, length or 0)
    run.save(update_fields=["expected_seconds", "kept_bytes"])


def left(expected: float, use: Use, known: bool) -> float:
    """Worker seconds that a run still takes, by what was expected and what it has used.

    The rest goes on as it went if the run has used more than was expected, or if its speed is
    not known and a chunk has ended.
    """
    if use.seconds > expected or (use.ended and not known):
        done = use.fraction
        return use.seconds * (1 - done) / done if done else use.seconds
    return expected * (1 - use.fraction)
