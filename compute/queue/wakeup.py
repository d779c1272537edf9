"""Rings the bell when a commit may have queued something, so that nobody waits for a poll.

A worker looks once a second by itself, so what is missed here costs a second and no more.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from django.db import DatabaseError, connection

from .engines import engine

if TYPE_CHECKING:
    from .channels import Bell

log = logging.getLogger(__name__)


def listen(bell: Bell) -> None:  # pragma: no cover - the pusher's process
    """Ring the bell for ever; a database that is away is tried again every second."""
    while True:
        try:
            for _ in engine().commits():
                bell.ring()
        except (DatabaseError, OSError) as error:
            connection.close()
            log.warning("no wake-ups, workers poll: %s", " ".join(str(error).split()))
            time.sleep(1)
