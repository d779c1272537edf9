"""Rings the bell when a commit may have queued something, so that nobody waits for a poll.

A worker looks once a second by itself, so what is missed here costs a second and no more.
"""

from __future__ import annotations

import logging
import time

from django.db import Error, connection

from ..engines import engine
from ..logs import seldom
from ..text import one_line
from .channels import Bell

log = logging.getLogger(__name__)


def run(bell: Bell) -> None:
    """For ever; a database that is away is tried again every second."""
    while True:
        listen(bell)
        time.sleep(1)


def listen(bell: Bell) -> None:
    """Ring the bell as long as commits are heard of."""
    try:
        for _ in engine().commits():
            bell.ring()
    except (Error, OSError) as error:
        connection.close()
        seldom(log, "no wake-ups, workers poll: %s", one_line(error))
