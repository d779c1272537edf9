"""The function of a task, as it travels through the queue."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Callable
from typing import Any

from .text import shorten, shown


class UnknownHereError(ValueError):
    """A function that the code which queued it had, and this node's code has not."""


class Call:
    """A function by its dotted path, or any callable object.

    Every queued package names this class: a node of the version before runs it, so its name
    and what it keeps stay for as long as such nodes may be there.
    """

    #: Whether the code that queued it had the function. A path given as text says nothing of that.
    was_there = False

    def __init__(self, func: str | Callable[..., Any]) -> None:
        # As a path where there is one, so that the worker can say when it is gone.
        path = None if isinstance(func, str) else path_of(func)
        self.func = path or func
        self.was_there = path is not None

    def __str__(self) -> str:
        return str(self.func)

    def __getstate__(self) -> dict[str, Any]:
        # Nodes of the version before ask for `task`, too.
        return {"func": self.func, "was_there": self.was_there, "task": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.func, self.was_there = state["func"], state.get("was_there", False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it, as django-q2's own cluster does: a project may have gone back to that."""
        return self.resolve()(*args, **kwargs)

    @property
    def name(self) -> str:
        """Its name among people."""
        if isinstance(self.func, str):
            return self.func.rpartition(".")[2]
        return getattr(self.func, "__name__", type(self.func).__name__)

    def bound(self, task: dict[str, Any], attempt: int) -> Callable[..., Any]:
        """What a worker calls in an attempt at a task; raises as `resolve` does."""
        return self.resolve()

    def resolve(self) -> Callable[..., Any]:
        """The function itself; ValueError if there is none, UnknownHereError if there was."""
        if not isinstance(self.func, str):
            return function_of(self.func)
        found = function_of(pydoc.locate(self.func))
        if not callable(found):
            message = f"Function {self.func} is not defined"
            if self.was_there:
                raise UnknownHereError(f"{message}: this node's code is not what queued it")
            raise ValueError(message)
        return found


def path_of(func: Any) -> str | None:
    """The dotted path under which a worker will find the same callable, if there is one."""
    plain = func if callable(func) else getattr(func, "func", func)
    module, name = getattr(plain, "__module__", None), getattr(plain, "__qualname__", None)
    path = f"{module}.{name}"
    found = pydoc.locate(path) if module and name else None
    is_there = found is func or (plain is not func and getattr(found, "func", None) is plain)
    return path if found is not None and is_there else None


def function_of(found: Any) -> Callable[..., Any]:
    """The function itself, also where Django's `@task` has put an object in its place, which can't
    be called."""
    function: Callable[..., Any] = found if callable(found) else getattr(found, "func", found)
    return function


def is_generator(func: object) -> bool:
    """Whether what a call of it returns is a generator, of a `def` or an `async def`."""
    func = func if callable(func) else getattr(func, "func", func)
    return inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func)


def check_returns(func: object) -> None:
    """TypeError for a function whose result can't be kept; one that is given by its path is not
    looked at."""
    if is_generator(func):
        raise TypeError(
            f"{getattr(func, '__qualname__', shown(func))} has a `yield`, so that it returns a "
            "generator, which can't be kept; let it return a list"
        )


def label(func: object) -> str:
    """The name that a function is counted by: objects without a path count by their class."""
    func = func.func if isinstance(func, Call) else func
    kind = type(func)
    return shorten(func if isinstance(func, str) else f"{kind.__module__}.{kind.__qualname__}", 200)


def default_name(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """A task's name if nobody gives it one: its call, as one would write it."""
    return f"{call.name}({', '.join(shown_arguments(args, kwargs))})"


def shown_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    return [*map(shown, args), *(f"{key}={shown(value)}" for key, value in kwargs.items())]
