"""Postgres' sessions: given up when their client is gone, and some beside Django's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

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
BEGIN = "SELECT pg_backend_pid(), " + ", ".join(
    f"set_config('{name}', '{value}', false)" for name, value in LIMITS.items()
)

#: psycopg's connections whose server process is the one that they were told of when they began. A
#: pooler tells each client of one that there is not, to know it by when it asks to be cancelled.
direct: WeakSet[Any] = WeakSet()


def begin(connection: Any) -> None:
    """Set the limits of a new session, and note whether it is the server's own."""
    with connection.cursor() as cursor:
        cursor.execute(BEGIN)
        process, *_ = cursor.fetchone()
    if process == connection.connection.info.backend_pid:
        direct.add(connection.connection)


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
