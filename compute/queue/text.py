"""Texts of what people and their code bring: shortened, in one line, fit for a database."""

from __future__ import annotations

from typing import Any


def shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # whatever a __repr__ may raise
        return f"<{type(value).__name__}>"


def shorten(text: str, length: int) -> str:
    """At most `length` characters, and none that a database does not store."""
    text = storable(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def storable(text: str) -> str:
    """A text that databases and pages take: what UTF-8 can't say, as \\udce9 is, escaped."""
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode()


def message_of(error: BaseException) -> str | None:
    """What an error says; None if it can't even say that."""
    try:
        return str(error)
    except Exception:  # whatever a __str__ may raise
        return None


def one_line(error: BaseException) -> str:
    """An error as one line of at most 500 characters: class and message."""
    message = " ".join((message_of(error) or "").split())
    name = type(error).__name__
    return shorten(f"{name}: {message}" if message else name, 500)
