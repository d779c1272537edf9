"""Django's own tasks, as the chaos enqueues them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import VERSION

from compute.tasks import get_sum

if TYPE_CHECKING or VERSION >= (6, 0):
    from django.tasks import task
else:
    from django_tasks import task


@task(takes_context=True)
def total(context: Any, n: int) -> list[Any]:
    """The sum, and in which attempt it was made."""
    return [get_sum(n), context.attempt]


@task(at_once=1)  # type: ignore[call-overload, untyped-decorator]
async def one_by_one(n: int) -> list[Any]:
    return [get_sum(n), None]


@task
def fail(n: int) -> None:
    get_sum(n)
    raise LookupError(str(n))
