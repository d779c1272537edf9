"""Whether the site can do its work."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import Error, OperationalError, connection

from ..queue import pauses, schema
from ..queue.models import Node

#: Seconds that the database has for its answers.
PATIENCE_S = 3


def missing() -> str | None:
    """One sentence about what keeps the site from its work; None if nothing does.

    It takes a few seconds at most, even if the database is frozen or the network is cut.
    """
    try:
        with impatience():
            if schema.lacking():
                return "The database lacks migrations: run `./manage.py migrate`."
            if not Node.objects.alive().exists():
                return "No queue server is running: start one with `./manage.py qcluster`."
    except Error:
        return "The database does not answer."
    return None


def held_back() -> dict[str, Any]:
    """What keeps queue servers that are alive from beginning with anything, because somebody has
    asked for it: how many drain, and since when the queue is paused. Empty if nothing does.

    The site is ready all the same. It serves, takes what is started, and loses nothing; whoever
    routes requests would make an outage of what was meant as none.
    """
    with suppress(Error), impatience():
        draining = Node.objects.alive().filter(draining=True).count()
        paused = pauses.pauses().filter(kind="").values_list("since", flat=True).first()
        said = {"draining": draining, "paused": paused}
        return {name: value for name, value in said.items() if value}
    return {}


def missing_here() -> str | None:
    """The same of this host's queue server."""
    host = socket.gethostname()
    try:
        with impatience():
            if Node.objects.alive().filter(host=host).exists():
                return None
    except Error:
        return "The database does not answer."
    silence = Node.DEAD_AFTER.total_seconds()
    return f"No queue server of {host} gave a sign of life in the last {silence:.0f} seconds."


@contextmanager
def impatience() -> Iterator[None]:
    """Meanwhile a query that Postgres does not answer in time fails, as if it had hung up.

    A server that is frozen or cut off keeps its clients waiting: for a connection as long as
    `connect_timeout` says, but for an answer for ever, or for the many seconds that TCP takes.
    """
    connection.ensure_connection()
    if connection.vendor != "postgresql":  # a file answers at once
        yield
        return
    with hanging_up() as over:
        usable = connection.is_usable()
    if over.is_set():
        raise OperationalError("the database says nothing")
    if not usable:  # it was open, and the server has been restarted since
        connection.close()
        connection.ensure_connection()
    # Django's own health check would come inside the block, and wait for a new connection.
    connection.health_check_done = True  # type: ignore[attr-defined]
    with hanging_up():
        yield


@contextmanager
def hanging_up() -> Iterator[threading.Event]:
    """Meanwhile the connection is shut after PATIENCE_S, and the event is set."""
    over = threading.Event()
    with socket.socket(fileno=os.dup(connection.connection.fileno())) as ours:

        def hang_up() -> None:
            over.set()
            ours.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(PATIENCE_S, hang_up)
        timer.start()
        try:
            yield over
        finally:
            timer.cancel()
            timer.join()
            if over.is_set():
                connection.close()
