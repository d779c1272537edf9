"""A write transaction of the queue's own, which on SQLite waits for its turn in short steps.

SQLite has one writer at a time. Whoever finds it busy sleeps 1, 2, 5, 10 ms and so on
before another look, while a claim or an outcome takes a fraction of one: workers of tiny
tasks slept half of their time. So for a moment this looks more often; then SQLite waits
as it always does, for as long as DATABASES says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from traceback import clear_frames

from django.db import OperationalError, connection, transaction

#: Seconds between two looks, and how many there are.
STEP, STEPS = 0.0001, 100


@contextmanager
def write() -> Iterator[None]:
    """A transaction, or a part of the caller's; without a savepoint, so it stands or falls whole.

    OperationalError if the database stays locked for too long.
    """
    with ExitStack() as stack:
        if connection.vendor == "sqlite" and not connection.in_atomic_block:
            look_often(stack)
        else:
            stack.enter_context(transaction.atomic(savepoint=False))
        yield


def look_often(stack: ExitStack) -> None:
    """Enter a transaction as soon as there is no other."""
    connection.ensure_connection()
    patience = connection.settings_dict["OPTIONS"].get("timeout", 5)  # as Python's sqlite3
    sqlite = connection.connection  # a statement of Django's would take longer than the wait
    sqlite.execute("PRAGMA busy_timeout = 0")
    try:
        for _ in range(STEPS):
            try:
                stack.enter_context(transaction.atomic())
            except OperationalError as error:
                # Its frames, which refer to each other, have a cursor: until they are collected
                # as garbage, a connection that is closed meanwhile keeps its file open.
                clear_frames(error.__traceback__)
                time.sleep(STEP)
            else:
                return
    finally:
        sqlite.execute(f"PRAGMA busy_timeout = {1000 * patience}")
    stack.enter_context(transaction.atomic())
