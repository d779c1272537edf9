"""How the queue's own writes wait for their turn, in short steps.

SQLite has one writer at a time. A connection that finds it busy sleeps 1, 2, 5, 10 ms and so
on before another look, while a claim or an outcome takes a fraction of one: workers of tiny
tasks slept half of their time. So for a moment a turn looks more often; then SQLite waits as
it always does, for as long as DATABASES says. A write that took no turns would be left behind
by those that do, so all that a node writes often does: its signs of life and leases, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from traceback import clear_frames

from django.db import OperationalError, connection, transaction

#: Seconds between two looks, and how many there are.
STEP_S, STEPS = 0.0001, 100


@contextmanager
def turn() -> Iterator[None]:
    """A transaction, or a part of the caller's, which stands or falls whole."""
    with ExitStack() as stack:
        if not connection.in_atomic_block:
            look_often(stack)
        yield


def look_often(stack: ExitStack) -> None:
    """Enter a transaction as soon as there is no other."""
    with patience(0):
        for _ in range(STEPS):
            try:
                stack.enter_context(transaction.atomic())
            except OperationalError as error:
                # Its frames, which refer to each other, have a cursor: until they are collected
                # as garbage, a connection that is closed meanwhile keeps its file open.
                clear_frames(error.__traceback__)
                time.sleep(STEP_S)
            else:
                return
    stack.enter_context(transaction.atomic())


@contextmanager
def patience(milliseconds: int) -> Iterator[None]:
    """Let SQLite wait no longer than that for others, meanwhile."""
    connection.ensure_connection()
    sqlite = connection.connection  # a statement of Django's would take longer than the wait
    (usual,) = sqlite.execute("PRAGMA busy_timeout").fetchone()
    sqlite.execute(f"PRAGMA busy_timeout = {milliseconds}")
    try:
        yield
    finally:
        sqlite.execute(f"PRAGMA busy_timeout = {usual}")
