"""How much the database may hold: its share of MAX_KEPT_MB, and what one content may have.

Asked of the database itself, at most every few seconds in a process: SQLite knows at once,
Postgres looks at each of its files. SQLite's free pages don't count, for new rows fill them.
Postgres keeps the room of removed rows in its files, where new ones take it, until VACUUM
FULL gives it back; so there this is the most that was ever kept, but for contents, which count
by what they hold.
"""

from __future__ import annotations

import time

from .defaults import settings
from .engines import engine

#: Seconds for which an answer holds.
HOLDS_S = 5
#: Bytes that a content may have beyond MAX_RESULT_MB: what a pickle adds to what is in it.
MARGIN_BYTES = 64 * 1024

_last = (0.0, 0)  # when it was asked, and the answer


class TooLargeError(ValueError):
    """More than MAX_RESULT_MB; the text says so."""


class FullError(RuntimeError):
    """The database holds MAX_KEPT_MB already; the text says so, and what to do."""


def size() -> int:
    """Bytes that the database holds, as of lately."""
    global _last
    at, found = _last
    if not at or time.monotonic() - at > HOLDS_S:
        found = ask()
        _last = (time.monotonic(), found)
    return found


def ask() -> int:
    return engine().size()


def used() -> float:
    """The share of MAX_KEPT_MB that is taken; 0 if there is no such limit."""
    return size() / (settings.MAX_KEPT_MB * 2**20) if settings.MAX_KEPT_MB else 0.0


def check() -> None:
    """FullError if the database holds as much as it may."""
    if used() >= 1:
        raise FullError(
            f"the database holds the {settings.MAX_KEPT_MB:,g} MB that it may (MAX_KEPT_MB), so "
            "nothing large is kept; make room, and retry"
        )


def most_bytes() -> int:
    """How many a content may have."""
    return int(settings.MAX_RESULT_MB * 1024 * 1024) + MARGIN_BYTES


def check_size(count: int, most: int) -> None:
    """TooLargeError if so many bytes are more than that."""
    if count > most:
        raise TooLargeError(
            f"the result has over {most:,} bytes, and MAX_RESULT_MB "
            f"({settings.MAX_RESULT_MB:g}) allows no more; return less"
        )
