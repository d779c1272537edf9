"""The reduce: one result of a run's chunks, made by a worker as a task of the run.

`notes.refresh` queues it once all chunks are done. It is a job like any other: listed with
its traceback if it fails, cancelled with the run, run again if its worker dies. Only a run
that is still in progress takes its result, in one conditional update, so however often it
runs, it counts once; a web server of the version before, which combines by itself, may
have been quicker.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db.models.functions import Now

from .. import values
from ..computation import LONGEST, Computation, ComputationError, plain
from ..computations import all_computations
from ..queue import overview
from ..queue.call import UnknownHereError, persistently
from ..queue.models import JobState
from ..queue.results import in_order
from ..queue.text import shorten
from .asked import function_of
from .run import Run
from .states import RunState

log = logging.getLogger(__name__)


def combine(task_id: str) -> None:
    """Make one result of the chunks of the run with this id, and note it on the run.

    Raises what the computation's `combine` raises, and NotKeptError for a result that JSON
    can't keep. A computation that this node's code lacks, or has with another function, is
    left to nodes of other code: those of two versions need not make the same of a chunk.
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
    result = the_result(run, computation)
    kept = values.kept(result)
    shown, trouble = in_words(computation, result, kept)
    persistently(lambda: note(run, kept, shown, trouble))


combine.__module__ = "compute.combining"  # its name in the queue, for nodes of the version before


def note(run: Run, result: Any, shown: str, trouble: str) -> None:
    """Write the result on the run, unless it has ended in another way meanwhile."""
    mine = Run.objects.filter(pk=run.pk)
    took = mine.filter(state=RunState.IN_PROGRESS).update(
        state=RunState.DONE,
        result=result,
        shown=shown,
        trouble=trouble,
        finished_at=Now(),
        work_seconds=overview.pace(run.task_id).work,
    )
    if not took:  # a web server of the version before has noted the result, but not this
        mine.filter(state=RunState.DONE, shown="").update(shown=shown)


def the_result(run: Run, computation: Computation) -> Any:
    """What `combine` makes of the chunks' results, which it gets one by one.

    LookupError if they are not all there: before, or after it has read them in pages.
    """
    check_all_are_done(run)
    results = in_order(run.task_id)
    result = next(results) if run.chunk_size is None else computation.combine(results)
    check_all_are_done(run)
    return result


def check_all_are_done(run: Run) -> None:
    if persistently(run.jobs.filter(state=JobState.DONE).count) < run.chunks:
        raise LookupError("its chunks have been removed, or are not all done any more")


def in_words(computation: Computation, result: Any, kept: Any) -> tuple[str, str]:
    """The result as people read it, and why not as `show` says, if that fails: no result is
    lost for it."""
    try:
        return computation.words_for(result), ""
    except ComputationError as error:
        log.exception("%s", error)
        return shorten(plain(kept), LONGEST), str(error)[:500]
