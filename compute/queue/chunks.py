"""The chunks of a group as people look at them: which piece, where and when, and its error.

What was queued are pickles. Here their arguments are read as far as they are plain data: in the
place of any other object stands the name of its class, so nothing of an author's runs.
"""

from __future__ import annotations

import io
import pickle
from base64 import b64decode
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

from django.db import models
from django.db.models.functions import Cast, Length
from django.db.models.lookups import LessThanOrEqual
from django_q.models import OrmQ, Task

from . import packages
from .call import shown_arguments
from .large import SHORT_CHARS
from .models import Job
from .text import shorten

#: Chunks that are read at a time.
PAGE = 200
#: Characters of arguments that are shown, at most.
SHOWN_CHARS = 1_000

#: Classes of Python's own whose objects are data, and are made of nothing else.
DATA = (
    *(date, datetime, time, timedelta, timezone, Decimal, Fraction, UUID, range, complex),
    *(PurePosixPath, type(Path())),
)
KNOWN = {(kind.__module__, kind.__qualname__): kind for kind in DATA}


class Chunk(NamedTuple):
    """A chunk at a glance; `arguments` as one would write them, None where nobody can tell: they
    were too long to be read here, or not kept."""

    task_id: str
    number: int
    state: str
    attempt: int
    node: str | None
    worker: int | None
    #: How much of it is done, from 0 to 1, while it runs and if it tells.
    progress: float
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str
    arguments: str | None

    @property
    def seconds(self) -> float | None:
        """How long it ran; None before its end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


def chunk(group: str, number: int) -> Chunk | None:
    """One of them, by its number from 1."""
    found = chunks_of(Job.objects.filter(group=group, position=number - 1))
    return found[0] if found else None


def in_order(group: str, state: str = "") -> Iterator[Chunk]:
    """All of them, or those of a state, in the order of their numbers.

    Between two pages no cursor is open and no transaction, however long the caller takes.
    """
    jobs = Job.objects.filter(group=group)
    if state:
        jobs = jobs.filter(state=state)
    last = 0
    while page := chunks_of(jobs.filter(position__gte=last)):
        yield from page
        last = page[-1].number


def part(group: str, state: str, start: int, count: int) -> list[Chunk]:
    """So many of them after the first `start`, in the same order; PAGE at most."""
    jobs = Job.objects.filter(group=group)
    if state:
        jobs = jobs.filter(state=state)
    # First which they are: sorting is to take no payload along.
    pks = jobs.order_by("position").values_list("pk", flat=True)[start : start + count]
    return chunks_of(Job.objects.filter(pk__in=list(pks)))


def chunks_of(jobs: models.QuerySet[Job]) -> list[Chunk]:
    """The first PAGE of these jobs, in three statements."""
    columns = ("pk", "position", "state", "attempt", "node__name", "worker", "progress")
    times = ("queued_at", "started_at", "finished_at", "error")
    rows = jobs.order_by("position").values_list(*columns, *times, "queue_id", short("payload"))
    page = list(rows[:PAGE])
    arguments = arguments_of([(row[0], *row[-2:]) for row in page])
    return [
        Chunk._make([pk, position + 1, *rest, arguments.get(pk)])
        for pk, position, *rest, _, _ in page
    ]


# --- arguments -----------------------------------------------------------------------------


def arguments_of(jobs: Sequence[tuple[str, int | None, str | None]]) -> dict[str, str]:
    """The arguments of jobs, each given by its id, that of its row in the queue, and its payload.

    What waits or runs has a package in the queue, what failed or was cancelled one of its own,
    what ended well a record of django-q2's.
    """
    places = {place: pk for pk, place, payload in jobs if place is not None and not payload}
    waiting = OrmQ.objects.filter(pk__in=places).values_list("pk", short("payload"))
    packed = {pk: payload for pk, _, payload in jobs if payload}
    packed |= {places[place]: payload for place, payload in waiting if payload}
    found = {pk: written(partial(of_package, payload)) for pk, payload in packed.items()}
    left = [pk for pk, *_ in jobs if pk not in packed]
    ended = Task.objects.filter(pk__in=left).values_list("pk", short("args"), short("kwargs"))
    found |= {pk: written(partial(of_record, *stored)) for pk, *stored in ended}
    return {pk: text for pk, text in found.items() if text is not None}


def short(column: str) -> models.Case:
    """A column's text as it is stored, if it is not long."""
    text = Cast(column, models.TextField())
    return models.Case(models.When(LessThanOrEqual(Length(text), SHORT_CHARS), then=text))


def written(read: Any) -> str | None:
    """Arguments as one would write them; None for what can't be read."""
    try:
        args, kwargs = read()
        return shorten(
            ", ".join(shown_arguments(tuple(args or ()), dict(kwargs or {}))), SHOWN_CHARS
        )
    except Exception:  # whatever is no pickle, or a package of another site
        return None


def of_package(payload: str) -> tuple[Any, Any]:
    task = packages.read(payload, Readable)
    return task["args"], task["kwargs"]


def of_record(args: str | None, kwargs: str | None) -> tuple[Any, Any]:
    """LookupError for a record without them, or with long ones."""
    if args is None:
        raise LookupError
    return readable(b64decode(args)), kwargs and readable(b64decode(kwargs))


class Readable:
    """Reads a package without making anything but plain data of it."""

    def loads(self, data: bytes) -> Any:
        return readable(data)


def readable(data: bytes) -> Any:
    """What is pickled, with the name of its class in the place of any object."""
    return ReadingUnpickler(io.BytesIO(data)).load()


class ReadingUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return KNOWN.get((module, name)) or Named(name.rpartition(".")[2], (Unread,), {})


class Named(type):
    """The class of a class that is shown by its name alone."""

    def __repr__(cls) -> str:
        return cls.__name__


class Unread(metaclass=Named):
    """Stands for an object of another class, or what a function would make; keeps nothing."""

    def __new__(cls, *args: Any, **_: Any) -> Unread:
        # Python 3.11 pickles a member of an enum as an attribute of that.
        member = cls.__name__ == "getattr" and args and isinstance(args[0], Named)
        made: Unread = super().__new__(args[0] if member else cls)
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def ignore(self, *_: Any) -> None:
        pass

    def __call__(self, *_: Any) -> Unread:
        return self

    append = extend = add = __setitem__ = __setstate__ = ignore

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
