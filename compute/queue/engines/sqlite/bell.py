"""The bell: a file beside the database, touched whenever something has been queued.

(The database's own files tell of every write, most of which end tasks: a process that has to
look at each takes time from the workers. Workers that wait for this file themselves were tried: a
start took 13 % longer.) A worker looks once a second by itself, so what is missed here, as when a
process dies between its commit and the touch, costs a second and no more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from django.db import connection, transaction

from ... import touches

#: Seconds after a commit in which more of them need no wake-up of their own.
COALESCE_S = 0.002


def ring_on_commit() -> None:
    transaction.on_commit(ring)


def ring() -> None:
    with contextlib.suppress(OSError):  # queued it is, and found within a second
        # Of a database in memory there is no file, and then no bell.
        if not touches.touch(bell_file()) and Path(database_file()).exists():
            Path(bell_file()).touch()


def database_file() -> str:
    return str(connection.settings_dict["NAME"])


def bell_file() -> str:
    return f"{database_file()}-bell"


def commits() -> Iterator[None]:
    """Yield whenever a commit has queued something, and once for what was queued before."""
    for _ in touches.touches(Path(bell_file())):  # pragma: no branch
        yield
        time.sleep(COALESCE_S)
