"""What the tests of Django's own tasks enqueue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from django import VERSION

from compute.queue.models import Job
from tests.queue import functions

if TYPE_CHECKING or VERSION >= (6, 0):
    from django.tasks import TaskContext, task
else:
    from django_tasks import TaskContext, task


@task
def add(a: int, b: int = 0) -> int:
    return functions.add(a, b)


@task
def give(value: Any) -> Any:
    return functions.give(value)


@task
def give_what_json_lacks() -> Any:
    return functions.give({1, 2})


@task
def fail(message: str) -> None:
    functions.fail(message)


@task
def fail_once(message: str) -> str:
    return functions.fail_once(message)


@task
def fail_in_its_own_way() -> None:
    raise functions.SpeechlessError


@task(timeout=0.3)  # type: ignore[call-overload, untyped-decorator]
async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


@task
async def count_jobs() -> int:
    return await Job.objects.acount()


@task(takes_context=True)
def with_context(context: TaskContext[Any, Any], note: str) -> list[Any]:
    result = context.task_result
    functions.ran.append(result)
    return [note, context.attempt, result.id, result.status, len(result.errors)]


@task(takes_context=True)
def fail_at_first(context: TaskContext[Any, Any]) -> int:
    if context.attempt == 1:
        raise LookupError("not yet")
    return functions.give(context.attempt)  # type: ignore[no-any-return]


@task(priority=50)
def urgent() -> None:
    """Nothing."""


@task(timeout=0.5, at_once=2)  # type: ignore[call-overload, untyped-decorator]
def limited(seconds: float) -> str:
    functions.slowly(None, seconds)
    return "in time"


@task
def wait_for_file(begun: str, go: str) -> None:
    functions.wait_for_file(begun, go)


@task
def kill_if(number: int, deadly: bool) -> int:
    return functions.kill_if(number, deadly)


@task
def options(group: str, timeout: int, task_name: str, q_options: str) -> list[Any]:
    """Has arguments that `async_task` would take for its own."""
    return [group, timeout, task_name, q_options]


def plain(value: int) -> int:
    return value


#: Found by its path is the function, and no task.
elsewhere = task(plain)
