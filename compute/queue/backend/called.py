"""The function of a task of Django's framework, as it travels through the queue, and its call."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from ..asked import Asked
from ..call import Call
from ..coroutines import awaited
from .framework import Task, TaskContext, TaskResult, TaskResultStatus, normalize_json, signals
from .results import is_heard, result_of, result_with, rows, task_of


class TaskCall(Call):
    """The function of such a task, as it travels through the queue."""

    def __init__(self, asked: Asked, enqueued_at: datetime) -> None:
        super().__init__(asked.path)
        self.was_there = True
        self.asked = asked
        self.enqueued_at = enqueued_at

    def __getstate__(self) -> dict[str, Any]:
        asked = {"asked": self.asked._asdict(), "enqueued_at": self.enqueued_at}
        return {**super().__getstate__(), **asked}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.asked, self.enqueued_at = Asked.kept(state["asked"]), state["enqueued_at"]

    def bound(self, task: dict[str, Any], attempt: int) -> Callable[..., Any]:
        task["backend"] = self.asked.backend  # by which others know such a task
        return partial(self.run, task_of(self.asked), task, attempt)

    def run(
        self,
        called: Task[..., Any],
        task: dict[str, Any],
        attempt: int,
        /,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Call the function, and make of what it returns what JSON has of that."""
        if called.takes_context or is_heard(signals.task_started, logging.INFO):
            result = self.at_start(called, task, attempt)
            signals.task_started.send_robust(type(called.get_backend()), task_result=result)
            if called.takes_context:
                args = (TaskContext(task_result=result), *args)
        return plain(awaited(called.func(*args, **kwargs)))

    def at_start(
        self, called: Task[..., Any], task: dict[str, Any], attempt: int
    ) -> TaskResult[..., Any]:
        """The result while the task runs. For that of a first attempt no database is asked."""
        if attempt > 1 and (row := next(rows([task["id"]]), None)):
            return result_of(row)
        return result_with(
            called,
            task["id"],
            status=TaskResultStatus.RUNNING,
            enqueued_at=self.enqueued_at,
            started_at=task["started"],
            last_attempted_at=task["started"],
            args=list(task["args"]),
            kwargs=task["kwargs"],
            worker_ids=[f"{task.get('node') or '-'}-{os.getpid()}"],
        )


def plain(value: Any) -> Any:
    """What JSON has of a value: a tuple is a list. TypeError or ValueError for what it has not."""
    return json.loads(json.dumps(normalize_json(value), allow_nan=False))
