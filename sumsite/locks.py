"""How long a web process waits for a lock that another holds in the database.

A visitor who waits for 20 seconds, as nodes and commands do, holds a web process for as
long; a few such visitors hold the site. So they are answered 503 before that.
"""

from typing import Any

from django.db.backends.signals import connection_created

#: The longest wait for one lock.
WAIT_MS = 2000


def wait_briefly() -> None:
    """Wait no longer, from now on and in this process, on each connection that is made."""
    connection_created.connect(set_wait, dispatch_uid="sumsite.locks")


def set_wait(sender: Any, connection: Any, **kwargs: Any) -> None:
    postgres = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET lock_timeout = {WAIT_MS}" if postgres else f"PRAGMA busy_timeout = {WAIT_MS}"
        )
