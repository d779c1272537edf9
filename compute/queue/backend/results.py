"""The result of a task of Django's framework, as its job's row has it, and who is told of that."""

from __future__ import annotations

import dataclasses
import json
import logging
import pydoc
from collections.abc import Collection, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from ..asked import Asked
from ..call import UnknownHereError
from ..failing import Cancelled, class_path
from ..models import UNSETTLED, Job, JobState
from ..results import STORED, decoded
from ..trials import errors_of, trials_of
from .framework import Task, TaskError, TaskResult, TaskResultStatus, signals, task_backends

log = logging.getLogger(__name__)

STATUS = {
    JobState.QUEUED.value: TaskResultStatus.READY,
    JobState.RUNNING.value: TaskResultStatus.RUNNING,
    JobState.DONE.value: TaskResultStatus.SUCCESSFUL,
    JobState.FAILED.value: TaskResultStatus.FAILED,
    JobState.CANCELLED.value: TaskResultStatus.FAILED,
}
#: The columns of a job that a result is made of.
COLUMNS = (
    *("task_id", "state", "attempt", "started_at", "finished_at", "error"),
    *("asked", "trials", "errors"),
)


@lru_cache(maxsize=1000)
def located(path: str) -> Any:
    """What stands under this path; UnknownHereError if nothing does, which is not remembered."""
    found = pydoc.locate(path)
    if found is None:
        raise UnknownHereError(f"there is no {path} here")
    return found


@lru_cache(maxsize=1000)
def task_of(asked: Asked) -> Task[..., Any]:
    """The task that was asked for; UnknownHereError if this code has no such function. It is not
    validated again, for the settings may be others by now."""
    found = located(asked.path)
    usual = task_backends[asked.backend].task_class
    task = object.__new__(type(found) if isinstance(found, Task) else usual)
    known = {**asked._asdict(), "func": getattr(found, "func", found), "run_after": asked.due_at}
    for field in dataclasses.fields(task):
        object.__setattr__(task, field.name, known[field.name])
    return task


def result_with(task: Task[..., Any], task_id: str, **known: Any) -> TaskResult[..., Any]:
    """A result of which no more is known."""
    nothing = dict.fromkeys(("enqueued_at", "started_at", "last_attempted_at", "finished_at"))
    new = {"status": TaskResultStatus.READY, "errors": [], "worker_ids": []}
    known = {"backend": task.backend, **nothing, **new, **known}
    return TaskResult(task=task, id=task_id, **known)


def rows(task_ids: Collection[str]) -> Iterator[dict[str, Any]]:
    """Of those among these jobs that are such tasks what a result is made of."""
    jobs = Job.objects.filter(pk__in=task_ids).exclude(asked="").order_by("queued_at")
    yield from jobs.values(*COLUMNS, stored=STORED)


def result_of(row: dict[str, Any]) -> TaskResult[..., Any]:
    """The result that a job's row tells of. UnknownHereError if its function is not here, and
    another ValueError if what it has returned can't be read."""
    kept, state = json.loads(row["asked"]), row["state"]
    enqueued_at = datetime.fromisoformat(kept["enqueued_at"])
    trials = trials_of(row["trials"], row["attempt"])
    last = (row["started_at"] or trials[-1].at) if trials else None
    first = (trials[0].at if len(trials) > 1 else None) or last
    errors = errors_of(row["errors"])
    if state == JobState.CANCELLED:
        errors.append((Cancelled.__name__, row["error"]))
    result = result_with(
        task_of(Asked.kept(kept)),
        row["task_id"],
        status=STATUS[state],
        enqueued_at=enqueued_at,
        started_at=first and max(first, enqueued_at),
        last_attempted_at=last and max(last, first or last, enqueued_at),
        finished_at=None if state in UNSETTLED else row["finished_at"],
        args=kept["args"],
        kwargs=kept["kwargs"],
        errors=[TaskError(exception_class_path=class_path(n), traceback=t) for n, t in errors],
        worker_ids=[trial.worker_id for trial in trials],
    )
    if state == JobState.DONE:
        object.__setattr__(result, "_return_value", decoded(row["stored"], 0))
    return result


def is_heard(signal: Any, level: int) -> bool:
    """Whether somebody hears a signal: more than the framework itself, for a log that has no line
    of this level."""
    return len(signal.receivers) > 1 or signals.logger.isEnabledFor(level)


def tell_ended(task_ids: Collection[str], level: int = logging.ERROR) -> None:
    """Send `task_finished` for those of these jobs that are such tasks and have ended; at this
    level the framework logs it."""
    if not is_heard(signals.task_finished, level):
        return
    for row in rows(task_ids):
        if row["state"] not in UNSETTLED:
            try:
                result = result_of(row)
            except ValueError as error:
                log.warning("nobody is told of the end of %s: %s", row["task_id"], error)
            else:
                backend = type(result.task.get_backend())
                signals.task_finished.send_robust(backend, task_result=result)
