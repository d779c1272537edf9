"""Has Postgres give up a session whose client is gone: cut off, suspended or stopped.

What such a client has locked nobody else can take over, and by itself the server would
wait two hours for it. Set in each new session, not as parameters of the connection, which
a pooler in between would refuse.
"""

from __future__ import annotations

from typing import Any

#: A client's machine is gone after 11 seconds, as the server's is for the client (see
#: DATABASES). One whose machine answers may leave a transaction alone for a minute.
LIMITS = {
    "tcp_keepalives_idle": "5s",
    "tcp_keepalives_interval": "2s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}


def limit(sender: Any, connection: Any, **kwargs: Any) -> None:
    """On `connection_created`. Where the server has no TCP to the client, that is ignored."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("; ".join(f"SET {name} = '{value}'" for name, value in LIMITS.items()))
