"""A result as people read it, where its author says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: How long a result as people read it may be.
SHOWN_CHARS = 10_000


def plain(result: Any) -> str:
    """A number with its thousands apart, names with their values and a list of texts in a line
    each; anything else as Python prints it."""
    if isinstance(result, int | float) and not isinstance(result, bool):
        return f"{result:,}"
    if isinstance(result, Mapping) and result and all(map(is_line, result.values())):
        return "\n".join(f"{name}: {plain(value)}" for name, value in result.items())
    if isinstance(result, list | tuple) and result and all(map(is_text, result)):
        return "\n".join(result)
    return str(result)


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value.strip() != ""


def is_line(value: Any) -> bool:
    return value is None or isinstance(value, int | float) or is_text(value)
