"""Transactions that a task has left open in its worker: no outcome is written within one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

log = logging.getLogger(__name__)


class Before:
    """The states in which this thread's connections are, for a return to them."""

    def __init__(self) -> None:
        every = connections.all(initialized_only=True)
        self.states = {each.alias: state(each) for each in every}

    def restore(self, name: str) -> bool:
        """Replace each connection that is in another state by now; whether one was.

        What was written in a transaction that was left open is lost, as the task that did not
        commit it has it; the log says so.
        """
        found = False
        for each in connections.all(initialized_only=True):
            if state(each) != self.states.get(each.alias, CLEAN):
                log.warning("%s left a transaction open, what it wrote in it is lost", name)
                replace(each)
                found = True
        return found


@contextmanager
def removed(name: str) -> Iterator[None]:
    """Have each connection in the state that it was in before, however this ends."""
    before = Before()
    try:
        yield
    finally:
        before.restore(name)


def state(connection: BaseDatabaseWrapper) -> tuple[bool, bool, int, bool]:
    """In a block of Django's, its autocommit off, the depth; in a transaction of the driver's."""
    return (
        connection.in_atomic_block,
        connection.connection is not None and not connection.autocommit,
        len(connection.savepoint_ids),
        in_transaction(connection.connection),
    )


CLEAN = (False, False, 0, False)


def in_transaction(driver: Any) -> bool:
    """Whether a driver's connection is in a transaction, begun with or without Django; or can't
    tell, as SQLite's that has been closed, with which nothing can be done any more."""
    if driver is None:
        return False
    try:
        return bool(driver.in_transaction)
    except AttributeError:
        pass
    except Exception:  # a driver's own, which none of ours need know
        return True
    # A project may have databases of further kinds: of those that do not tell nothing is known.
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    return getattr(status, "name", "UNKNOWN") not in ("IDLE", "UNKNOWN")


def replace(connection: BaseDatabaseWrapper) -> None:
    """Close a connection, whatever Django believes of it, and have a fresh one in its place."""
    with suppress(Exception):  # whatever a broken one may raise
        connection.connection.close()
    del connections[connection.alias]
