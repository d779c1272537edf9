"""A database that is away: it is stopped, cut off, locked for too long, or can only be read."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import Error, connection

from .engines import engine
from .text import one_line

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between the tries to reach a database that is away: a minute in all.
PAUSES_S = (0.1, 0.2, 0.5, 1, 2, 4, 8, 15, 30)


def is_away(error: BaseException) -> bool:
    """Whether the database did not answer, or does not write now, so that waiting may help."""
    return isinstance(error, Error) and engine().is_away(error)


def answers() -> bool:
    """Whether the database does, now."""
    try:
        connection.ensure_connection()
    except Error:
        return False
    return connection.is_usable()


def persistently(ask: Callable[[], T]) -> T:
    """Read or write in the database, again after growing pauses while it is away.

    For about a minute; then its error is raised. Inside a caller's transaction (`sync=True`)
    there is one try, for that transaction is lost.
    """
    for pause_s in () if connection.in_atomic_block else PAUSES_S:
        try:
            return ask()
        except Error as error:
            if not is_away(error):
                raise
            log.warning("the database is away, next try in %s s: %s", pause_s, one_line(error))
            connection.close()
            time.sleep(pause_s)
    return ask()
