"""Django's own tasks, queued here: the backend that TASKS names.

A task that is enqueued is a job like any other. Its row keeps how it was asked for, so its result
can be told for as long as there is the row.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from uuid import uuid4

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.utils import timezone
from django_q.conf import Conf
from django_q.signals import pre_enqueue

from .. import packages
from ..asked import DEFAULT, Asked
from ..asking import check_options
from ..call import UnknownHereError, check_returns, default_name
from ..text import shown
from ..transitions import enter
from .called import TaskCall, plain
from .framework import (
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskResult,
    TaskResultDoesNotExist,
    signals,
)
from .results import located, result_of, result_with, rows


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class QueueTask(Task):  # type: ignore[type-arg]
    """A task of this backend: `@task(timeout=…, at_once=…)` says more of it."""

    #: Seconds after which it fails; None for Q_TIMEOUT, -1 for no limit.
    timeout: float | None = None
    #: How many of it may be at work at once, over all nodes; None for any number.
    at_once: int | None = None


class QueueBackend(BaseTaskBackend):
    """`TASKS = {"default": {"BACKEND": "compute.queue.backend.QueueBackend"}}`

    Without `QUEUES` there are "default" and those that Q_CLUSTER names in ALT_CLUSTERS.
    """

    task_class = QueueTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        named = getattr(settings, "Q_CLUSTER", {}).get("ALT_CLUSTERS", {})
        super().__init__(alias, {"QUEUES": {DEFAULT, *named}, **params})

    def validate_task(self, task: Task[..., Any]) -> None:
        """Raise InvalidTask for what the framework refuses, and a wrong `timeout` or `at_once`."""
        super().validate_task(task)
        asked = Asked.of(task)
        try:
            limit = {} if asked.timeout is None else {"timeout": asked.timeout}
            check_returns(task.func)
            check_options({"name": task.name, "cluster": asked.queue_name, **limit})
        except (TypeError, ValueError) as error:
            raise InvalidTask(str(error)) from error
        if asked.at_once is not None and (type(asked.at_once) is not int or asked.at_once < 1):
            raise InvalidTask(
                f"at_once is {shown(asked.at_once)}; give 1 or more, or None for no limit"
            )

    def enqueue(  # type: ignore[override]
        self, task: Task[..., Any], args: Any, kwargs: Any
    ) -> TaskResult[..., Any]:
        """Queue a task, in the caller's transaction if there is one. Its result, as it is now.

        InvalidTask, and TypeError or ValueError for an argument that JSON has not.
        """
        self.validate_task(task)
        args, kwargs = plain([args, kwargs])
        asked, now = Asked.of(task), timezone.now()
        try:
            located(asked.path)
        except UnknownHereError as error:
            raise InvalidTask(f"{error}, nor for a worker; define it in a module") from error
        call = TaskCall(asked, now)
        queued = {
            "id": uuid4().hex,
            "name": default_name(call, tuple(args), kwargs),
            "func": call,
            "args": tuple(args),
            "kwargs": kwargs,
            "started": now,
            "ack_failure": Conf.ACK_FAILURES,
        }
        if asked.timeout is not None:
            queued["timeout"] = asked.timeout
        pre_enqueue.send(sender="django_q", task=queued)
        package = packages.write(queued)
        kept = {**asked._asdict(), "enqueued_at": now.isoformat(), "args": args, "kwargs": kwargs}
        queued["asked"] = json.dumps(kept)
        queued["due_at"] = task.run_after if task.run_after and task.run_after > now else None
        enter(asked.queue, package, queued, asked.share())
        result = result_with(task, queued["id"], enqueued_at=now, args=args, kwargs=kwargs)
        signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> TaskResult[..., Any]:
        """As the job's row has it. TaskResultDoesNotExist if there is none (any more), or if its
        function is not in this code."""
        row = next(rows([str(result_id)]), None) if str(result_id).isalnum() else None
        if row is None or json.loads(row["asked"])["backend"] != self.alias:
            raise TaskResultDoesNotExist(result_id)
        try:
            return result_of(row)
        except UnknownHereError as error:
            raise TaskResultDoesNotExist(f"{result_id}: {error}") from error

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        found: list[CheckMessage] = []
        if not apps.is_installed("compute.queue"):
            found.append(
                Error(
                    f"TASKS[{self.alias!r}] queues in tables of an app that is not there.",
                    hint="Put 'compute.queue' before 'django_q' in INSTALLED_APPS.",
                    id="queue.E004",
                )
            )
        if self.options:
            found.append(
                Warning(
                    f"TASKS[{self.alias!r}]['OPTIONS'] is not looked at: {shown(self.options)}",
                    hint="Say it in Q_CLUSTER, or of a task: @task(timeout=…, at_once=…).",
                    id="queue.W003",
                )
            )
        return found
