"""LISTEN: a NOTIFY of the queueing transaction arrives over a connection of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from ... import kernel
from .sessions import own_connection

log = logging.getLogger(__name__)

CHANNEL = "compute_queue"
#: Seconds after which a silent connection is asked whether it still is one.
PATIENCE_S = 1.0
#: Seconds between two looks where nothing tells of a commit.
FAST_POLL_S = 0.1


def commits() -> Iterator[None]:
    """Yield whenever a transaction has notified the channel."""
    with own_connection() as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        if not echoes(listener):
            log.warning(
                "NOTIFY does not reach this connection (a transaction-pooling proxy?): "
                "polling every %s s instead",
                FAST_POLL_S,
            )
            while True:
                time.sleep(FAST_POLL_S)
                kernel.end_if_orphaned()
                yield
        yield  # what was queued before LISTEN
        while True:
            for _ in listener.notifies(timeout=PATIENCE_S, stop_after=1):
                yield
            listener.execute("SELECT 1")  # notices a connection that is gone
            kernel.end_if_orphaned()


def echoes(listener: Any) -> bool:
    """Whether a notification sent by another connection arrives on this one."""
    with own_connection() as sender:
        sender.execute("SELECT pg_notify(%s, 'echo')", [CHANNEL])
    return any(True for _ in listener.notifies(timeout=2, stop_after=1))
