"""How full the database is, of what it may hold (MAX_KEPT_MB).

Asked of the database itself, at most every few seconds in a process: SQLite knows at once,
Postgres looks at each of its files. SQLite's free pages don't count, for what comes next
fills them. Postgres keeps the room of removed rows in its files, where new ones take it,
until VACUUM FULL gives it back; so there this is the most that was ever kept.
"""

from __future__ import annotations

import time

from django.conf import settings
from django.db import connection
from django.http import HttpRequest

#: Seconds for which an answer holds, and the share from which on staff is told.
HOLDS, TOLD_FROM = 5, 0.8

_last = (0.0, 0)  # when it was asked, and the answer


def size() -> int:
    """Bytes that the database holds, as of lately."""
    global _last
    at, found = _last
    if not at or time.monotonic() - at > HOLDS:
        found = ask()
        _last = (time.monotonic(), found)
    return found


def ask() -> int:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
        pages = {}
        for name in ("page_count", "freelist_count", "page_size"):
            cursor.execute(f"PRAGMA {name}")
            (pages[name],) = cursor.fetchone()
    return int((pages["page_count"] - pages["freelist_count"]) * pages["page_size"])


def used() -> float:
    """The share of MAX_KEPT_MB that is taken; 0 if there is no such limit."""
    return size() / (settings.MAX_KEPT_MB * 1e6) if settings.MAX_KEPT_MB else 0.0


def told_to(request: HttpRequest) -> float | None:
    """The same for staff, once it is worth knowing; None for all others, and before."""
    if not request.user.is_staff:
        return None
    taken = used()
    return taken if taken >= TOLD_FROM else None
