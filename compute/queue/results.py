"""The results of a group, for whoever makes one of them: read in pages, or only if plain.

Results are pickles, and reading one runs code of what it holds. So a worker reads them;
a web request reads no more than plain data, and none that is large (`large`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from django.db import models
from django.db.models.functions import Cast, Substr
from picklefield.fields import dbsafe_decode

from .away import is_away, persistently
from .large import SHORT_CHARS, Aside, Reference, plain, put_aside, reference_in
from .models import Job, JobState
from .room import TooLargeError
from .text import one_line

#: Rows read at a time.
PAGE = 200

#: The pickle of a result as its rows keep it, or as it waits to be written apart from them.
Stored = str | Aside | None
#: A function's result, and its pickle.
Returned = tuple[Any, Stored]

#: The pickle of a result, as it is stored; and no more of it than of a short one.
STORED = Cast("result", models.TextField())
BEGUN = Substr(STORED, 1, SHORT_CHARS + 1)


def and_stored(result: Any) -> Returned:
    return result, pickled(result)


def pickled(result: Any) -> Stored:
    """A result's pickle, tested that it can be read again: as its rows keep it if it is short.

    Already pickled, a result that happens to be a query is stored and not run. TooLargeError over
    MAX_RESULT_MB.
    """
    if result is None:
        return None
    try:
        aside = put_aside(result)
    except TooLargeError:
        raise
    except Exception as error:
        raise TypeError(f"the result can't be pickled: {one_line(error)}") from error
    return aside.short() if aside.is_short else aside


def in_order(group: str) -> Iterator[Any]:
    """The results of a group that is done, in the order of its arguments, each made when it is
    asked for."""
    for position, stored in stored_in_order(group):
        yield decoded(stored, position)


def short_results(group: str) -> list[Any] | None:
    """The same for a web request: None if one of them is large, and none of these is loaded."""
    results = []
    for position, stored in stored_in_order(group):
        if reference_in(stored):
            return None
        results.append(decoded(stored, position))
    return results


def stored_in_order(group: str) -> Iterator[tuple[int, str | None]]:
    """Place and pickle of each.

    Between two pages no cursor is open and no transaction, however long the caller takes. A
    database that is away is waited for, a minute at most.
    """
    last = -1
    while page := persistently(partial(page_after, group, last)):
        last = page[-1][0]
        yield from page


def page_after(group: str, position: int) -> list[tuple[int, str | None]]:
    done = Job.objects.filter(group=group, state=JobState.DONE, position__gt=position)
    return list(done.order_by("position").values_list("position", STORED)[:PAGE])


def decoded(stored: str | None, position: int) -> Any:
    """A result as it was returned. django-q2's field would give the pickle's text instead of
    what can't be unpickled, as where a class was removed; ValueError, which says that."""
    if stored is None:
        return None
    try:
        return dbsafe_decode(stored)
    except Exception as error:  # whatever a pickle may raise
        if is_away(error):
            raise
        raise ValueError(
            f"the result of chunk {position + 1:,} can't be read: {one_line(error)}"
        ) from error


def plain_result(task_id: str) -> tuple[Any] | None:
    """The result of a job that is done, in a tuple, if it is short and plain data.

    Nothing of any class is made of it: it is None, a number, a text, bytes, or a list,
    tuple, set or dict of these.
    """
    stored = Job.objects.filter(pk=task_id, state=JobState.DONE).values_list(BEGUN).first()
    return None if stored is None else plainly(*stored)


def plain_in_order(group: str) -> Iterator[tuple[str, int, tuple[Any] | None]]:
    """Of each job of a group that is done its id, its place, and its result in the same way.

    Between two pages no cursor is open and no transaction, however long the caller takes.
    """
    last, done = -1, Job.objects.filter(group=group, state=JobState.DONE).order_by("position")
    columns = done.values_list("pk", "position", BEGUN)
    while page := list(columns.filter(position__gt=last)[:PAGE]):
        last = page[-1][1]
        for task_id, position, stored in page:
            yield task_id, position, plainly(stored)


def plainly(stored: str | None) -> tuple[Any] | None:
    if stored is None:
        return (None,)
    if len(stored) > SHORT_CHARS:
        return None
    try:
        result = plain(stored)
    except Exception:  # whatever is no plain data, or no pickle
        return None
    return None if isinstance(result, Reference) else (result,)
