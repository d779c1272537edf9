"""Keeps SQLite's write-ahead log short on a site that never rests.

SQLite copies its log into the database every thousand pages, and starts the log anew as
soon as nobody reads from it. Busy workers and pages leave no such moment, and then it
grows: measured, 34 MB after 25 seconds of tiny tasks beside one page after the other.
"""

from __future__ import annotations

import logging
from pathlib import Path

from django.db import Error, connection

from .turns import patience

log = logging.getLogger(__name__)

#: Bytes from which on the log is cut: about what SQLite by itself lets it come to.
LONG_B = 4 * 1024 * 1024
#: Milliseconds to wait for a moment without a write, and in it for readers to be through.
PATIENCE_MS = 300


def cut() -> None:
    """Empty the log if it is long.

    What does not succeed is tried again in the next round, so for a few seconds the log
    can be several times as long.
    """
    try:
        file = Path(f"{connection.settings_dict['NAME']}-wal")
        if not file.exists() or file.stat().st_size < LONG_B:
            return
        with patience(PATIENCE_MS), connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except (Error, OSError) as error:
        log.warning("the log of SQLite stays long: %s", " ".join(str(error).split()))
