"""The times of Postgres' statements, by the database's clock."""

from __future__ import annotations

from ..values import FREE, NEXT, UP

NOW = "statement_timestamp()"
#: In seconds since 1970.
NOW_S = "extract(epoch FROM clock_timestamp())::float8"
#: So many seconds from now.
LATER = f"{NOW} + make_interval(secs => {{}})"
#: Times past, for the ends of leases.
PAST = {time: f"'{time}'::timestamptz" for time in (FREE, UP, NEXT)}
NEVER, UP_AGAIN, UP_NEXT = PAST.values()
