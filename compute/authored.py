"""What an author gives as it is looked at: what it takes, if it can travel, how it is written."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from math import inf
from numbers import Real
from typing import Any

from .queue.text import shorten


def cannot_take(function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> str | None:
    """Why a function refuses such a call; None if it takes it, or won't tell (builtins)."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*arguments, **keywords)
    except TypeError as error:
        return str(error)
    return None


def takes_keyword(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes a keyword of this name; True if it won't tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return any(
        each.kind is each.VAR_KEYWORD or (each.name == name and each.kind in named)
        for each in parameters
    )


def is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function)


def is_positive(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < inf


def survives(value: object) -> bool:
    """Whether it can be sent to a worker."""
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:
        return False
    return True


def shown(value: object) -> str:
    """As its author wrote it, in one line."""
    try:
        text = value.__qualname__ if inspect.isroutine(value) else repr(value)
    except Exception:  # whatever a __repr__ may raise
        text = f"<{type(value).__name__}>"
    return shorten(" ".join(text.split()), 100)
