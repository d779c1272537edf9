"""Rings the bell when a commit may have queued something, so that nobody waits for a poll.

On Postgres a NOTIFY of the queueing transaction arrives over a connection of its own.
On SQLite whoever has queued something touches a file beside the database. (The database's
own files tell of every write, most of which end tasks: a process that has to look at each
takes time from the workers.) A worker looks once a second by itself, so what is missed
here, as when a process dies between its commit and the touch, costs a second and no more.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connection, transaction

from . import kernel

if TYPE_CHECKING:
    from .channels import Bell

log = logging.getLogger(__name__)

CHANNEL = "compute_queue"
#: Seconds after which a silent connection is asked whether it still is one.
PATIENCE = 1.0
#: Seconds between two looks where nothing tells of a commit.
FAST_POLL = 0.1
#: Seconds after a commit in which more of them need no wake-up of their own.
COALESCE = 0.002


def notify() -> None:
    """Inside a transaction that queues something: have its commit wake the nodes."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
    else:
        transaction.on_commit(touch)


def touch() -> None:
    if database_file().exists():  # one in memory has a name only
        with contextlib.suppress(OSError):  # queued it is, and found within a second
            kernel.touch(bell_file())


def database_file() -> Path:
    return Path(str(connection.settings_dict["NAME"]))


def bell_file() -> Path:
    return Path(f"{database_file()}-bell")


def listen(bell: Bell) -> None:  # pragma: no cover - the pusher's process
    """Ring the bell for ever; a database that is away is tried again every second."""
    commits = postgres_commits if connection.vendor == "postgresql" else sqlite_commits
    while True:
        try:
            for _ in commits():
                bell.ring()
        except (DatabaseError, OSError) as error:
            connection.close()
            log.warning("no wake-ups, workers poll: %s", " ".join(str(error).split()))
            time.sleep(1)


def postgres_commits() -> Iterator[None]:
    """Yield whenever a transaction has notified the channel."""
    with own_connection() as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        if not echoes(listener):
            log.warning(
                "NOTIFY does not reach this connection (a transaction-pooling proxy?): "
                "polling every %s s instead",
                FAST_POLL,
            )
            while True:
                time.sleep(FAST_POLL)
                kernel.end_if_orphaned()
                yield
        yield  # what was queued before LISTEN
        while True:
            for _ in listener.notifies(timeout=PATIENCE, stop_after=1):
                yield
            listener.execute("SELECT 1")  # notices a connection that is gone
            kernel.end_if_orphaned()


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


def echoes(listener: Any) -> bool:
    """Whether a notification sent by another connection arrives on this one."""
    with own_connection() as sender:
        sender.execute("SELECT pg_notify(%s, 'echo')", [CHANNEL])
    return any(True for _ in listener.notifies(timeout=2, stop_after=1))


def sqlite_commits() -> Iterator[None]:
    """Yield whenever a commit has queued something, and once for what was queued before."""
    for _ in kernel.touches(bell_file()):  # pragma: no branch
        yield
        time.sleep(COALESCE)
