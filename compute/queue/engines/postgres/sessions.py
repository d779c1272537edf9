"""Postgres' sessions: given up when their client is gone, and some beside Django's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import connection

#: A client that is cut off, suspended or stopped has locked what nobody else can take over, and
#: by itself the server would wait two hours for it. Its machine is gone after 11 seconds, as the
#: server's is for the client (see DATABASES). One whose machine answers may leave a transaction
#: alone for a minute. Where the server has no TCP to the client, that is ignored. Set in each new
#: session: as parameters of the connection a pooler in between would refuse them.
LIMITS = {
    "tcp_keepalives_idle": "5s",
    "tcp_keepalives_interval": "2s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}


def limit(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET {name} = '{value}'" for name, value in LIMITS.items()))


@contextlib.contextmanager
def own_connection() -> Iterator[Any]:
    """psycopg's connection under one of Django's that nobody else uses."""
    django_connection = connection.copy()
    try:
        with django_connection.wrap_database_errors:
            django_connection.connect()
            yield django_connection.connection
    finally:
        django_connection.close()
