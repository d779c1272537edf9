"""The times of SQLite's statements, by the machine's clock, which is the database's."""

from __future__ import annotations

from ..values import FREE, NEXT, UP

NOW = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"
#: In seconds since 1970.
NOW_S = "((julianday('now') - 2440587.5) * 86400)"
#: So many seconds from now.
LATER = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', {} || ' seconds')"
#: Times past, for the ends of leases.
PAST = {time: f"'{time.replace(tzinfo=None)}'" for time in (FREE, UP, NEXT)}
NEVER, UP_AGAIN, UP_NEXT = PAST.values()
