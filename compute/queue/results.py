"""The results of a group, for whoever makes one of them: read in pages, or only if plain.

Results are pickles, and reading one runs code of what it holds. So a worker reads them;
a web request reads no more than plain data.
"""

from __future__ import annotations

import io
import pickle
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.db import models
from django.db.models.functions import Cast
from picklefield.fields import dbsafe_decode

from .call import persistently
from .models import Job, JobState
from .text import one_line

#: Rows read at a time.
PAGE = 200
#: Characters of a stored result that is read outside of a worker, at most.
SHORT = 64 * 1024

#: The pickle of a job's result, as it is stored.
STORED = Cast("result", models.TextField())


def in_order(group: str) -> Iterator[Any]:
    """The results of a group that is done, in the order of its arguments.

    Between two pages no cursor is open and no transaction, however long the caller takes. A
    database that is away is waited for, a minute at most.
    """
    last = -1
    while page := persistently(partial(page_after, group, last)):
        last = page[-1][0]
        yield from (result for _, result in page)


def page_after(group: str, position: int) -> list[tuple[int, Any]]:
    done = Job.objects.filter(group=group, state=JobState.DONE, position__gt=position)
    rows = done.order_by("position").values_list("position", STORED)[:PAGE]
    return [(place, decoded(stored, place)) for place, stored in rows]


def decoded(stored: str | None, position: int) -> Any:
    """A result as it was returned. django-q2's field would give the pickle's text instead of
    what can't be unpickled, as where a class was removed; ValueError, which says that."""
    if stored is None:
        return None
    try:
        return dbsafe_decode(stored)
    except Exception as error:  # whatever a pickle may raise
        raise ValueError(
            f"the result of chunk {position + 1:,} can't be read: {one_line(error)}"
        ) from error


def plain_result(task_id: str) -> tuple[Any] | None:
    """The result of a job that is done, in a tuple, if it is short and plain data.

    Nothing of any class is made of it: it is None, a number, a text, bytes, or a list,
    tuple, set or dict of these.
    """
    stored = Job.objects.filter(pk=task_id, state=JobState.DONE).values_list(STORED).first()
    if stored is None:
        return None
    if stored[0] is None:
        return (None,)
    if len(stored[0]) > SHORT:
        return None
    try:
        return (PlainUnpickler(io.BytesIO(b64decode(stored[0]))).load(),)
    except Exception:  # whatever is no plain data, or no pickle
        return None


class PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain data")
