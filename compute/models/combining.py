"""The reduce: one result of a run's chunks, made by a worker as a task of the run.

`notes.refresh` queues it once all chunks are done. It is a job like any other: listed with
its traceback if it fails, cancelled with the run, run again if its worker dies. Only a run
that is still in progress takes its result, with one conditional update, so however often it
runs, it counts once. What is large of it is written before, as it comes (`keeping`); who is not
the first discards that. A web server of the version before, which combines by itself, may have
been quicker.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models.functions import Now

from ..computation import Computation, ComputationError
from ..computations import all_computations
from ..queue import overview
from ..queue.away import persistently
from ..queue.call import UnknownHereError
from ..queue.contents import remove
from ..queue.models import JobState
from ..queue.results import in_order
from ..queue.room import TooLargeError
from ..queue.text import shorten
from ..shapes import Shape, Value, shape_of
from ..values import NotKeptError
from ..words import SHOWN_CHARS, plain
from .asked import function_of
from .keeping import Keeper, beginning, in_short, small
from .output import Output
from .run import Run
from .states import RunState

log = logging.getLogger(__name__)

#: Characters of a small result that is a table or a series up to which they stand for it in lists.
BRIEF_CHARS = 60


class Noted(NamedTuple):
    """What a run's row says of its result."""

    result: Any
    shown: str
    trouble: str = ""


def combine(task_id: str) -> None:
    """Make one result of the chunks of the run with this id, and note it on the run.

    Raises what the computation's `combine` raises, NotKeptError for a result that can't be kept,
    and TooLargeError. A computation that this node's code lacks, or has with another function, is
    left to nodes of other code: two versions need not make the same of a chunk.
    """
    run = persistently(lambda: Run.objects.get(task_id=task_id))
    name, computation = run.computation, all_computations().get(run.computation)
    if computation is None:
        raise UnknownHereError(f"the computation {name!r} is not declared in this node's code")
    here = function_of(computation)
    if run.function and run.function != here:
        raise UnknownHereError(
            f"the chunks of {name!r} called {run.function}, which is {here} in this node's code"
        )
    keeper = Keeper(run)
    try:
        result = the_result(run, computation)
        keeper.restore()
        noted = written(keeper, computation, result)
        keeper.restore()
        check_all_are_done(run)  # rows may have come from the chunks until now
        persistently(lambda: note(run, noted, keeper.outputs))
    finally:
        keeper.discard()  # what does not count


combine.__module__ = "compute.combining"  # its name in the queue, for nodes of the version before


def note(run: Run, noted: Noted, outputs: list[Output]) -> None:
    """Write result and outputs on the run, unless it has ended in another way meanwhile."""
    mine = Run.objects.filter(pk=run.pk)
    work_seconds = overview.pace(run.task_id).work
    replaced: list[str] = []
    with transaction.atomic():
        took = mine.filter(state=RunState.IN_PROGRESS).update(
            **{**noted._asdict(), "state": RunState.DONE, "finished_at": Now()},
            work_seconds=work_seconds,
        )
        if took:
            others = Output.objects.filter(run=run)
            replaced = list(others.values_list("content_id", flat=True))
            others.delete()
            for output in outputs:
                output.pk = None
            Output.objects.bulk_create(outputs)
    if replaced:
        remove(replaced)
    if not took:  # a web server of the version before has noted the result, but not this
        mine.filter(state=RunState.DONE, shown="").update(shown=noted.shown)


def the_result(run: Run, computation: Computation) -> Any:
    """The one result that `combine` makes of the chunks', which it gets one by one.

    LookupError if they are not all there, before or after it has read them in pages.
    """
    check_all_are_done(run)
    results = in_order(run.task_id)
    result = next(results) if run.chunk_size is None else computation.combine(results)
    check_all_are_done(run)
    return result


def check_all_are_done(run: Run) -> None:
    if persistently(run.jobs.filter(state=JobState.DONE).count) < run.chunks:
        raise LookupError("its chunks have been removed, or are not all done any more")


# --- what it is, and in what words ----------------------------------------------------------


def written(keeper: Keeper, computation: Computation, result: Any) -> Noted:
    """Write what `show` makes of the result, or else the result in the shape that is found.

    If `show` fails, so that the result alone is left, `trouble` says so: no result is lost by it.
    """
    if computation.show is plain:
        return in_its_shape(keeper, computation, result)
    try:
        with computation.blaming("show"):  # rows that it makes as they are written are its own, too
            shown = computation.shown_as(result)
            keeper.restore()
            if not isinstance(shown, str):
                keeper.keep(shown)
    except ComputationError as error:
        keeper.discard()
        if comes_once(result):
            raise
        log.exception("%s", error)
        noted = in_its_shape(keeper, computation, result)
        return noted._replace(trouble=str(error)[:500])
    if isinstance(shown, str):
        return in_its_shape(keeper, computation, result, shown)
    told = in_short(keeper.outputs)
    return Noted(None if comes_once(result) else beside(keeper, result), told)


def in_its_shape(
    keeper: Keeper, computation: Computation, result: Any, words: str | None = None
) -> Noted:
    """Write a result that has a shape, or that is large; a small one is the row's as well."""
    found = shape_of(result)
    if not isinstance(found, Value):
        once = comes_once(result)
        try:
            keeper.keep(found if isinstance(found, dict) else {"": found})
        except TooLargeError:  # a list of numbers is half as long without the place of each
            if once or isinstance(found, dict):
                raise
            keeper.keep({"": Value(result)})
        kept = None if once else beside(keeper, result, large=False)
        if words is None:
            brief = "" if kept is None else plain(kept)
            words = brief if 0 < len(brief) <= BRIEF_CHARS else in_short(keeper.outputs)
        return Noted(kept, words)
    kept_small = small(result)
    if kept_small is None:
        keeper.keep({"": found})
        return Noted(None, beginning(result, SHOWN_CHARS) if words is None else words)
    (kept,) = kept_small
    return in_words(computation, result, kept) if words is None else Noted(kept, words)


def beside(keeper: Keeper, result: Any, large: bool = True) -> Any:
    """The result itself, beside outputs that show it: the row has a small one, a `large` one is
    one more of them. None for what is no plain data: then the outputs are all that is kept."""
    try:
        kept = small(result)
        if kept is None and large:
            keeper.keep({"value": Value(result)})
    except NotKeptError:
        return None
    return kept[0] if kept else None


def comes_once(result: Any) -> bool:
    """Whether `combine` has given it its shape: rows and bytes may then come from a generator."""
    parts = result.values() if isinstance(result, dict) else [result]
    return any(isinstance(part, Shape) for part in parts)


def in_words(computation: Computation, result: Any, kept: Any) -> Noted:
    """A small value as Python prints it; as what is kept of it if that fails."""
    try:
        with computation.blaming("show"):
            return Noted(kept, shorten(plain(result), SHOWN_CHARS))
    except ComputationError as error:
        log.exception("%s", error)
        return Noted(kept, shorten(plain(kept), SHOWN_CHARS), str(error)[:500])
