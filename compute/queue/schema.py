"""Whether the database is of the version that this code needs.

A host may start a new version before its release step has migrated the database, or
beside it. Then the new code waits; what a still newer version has applied troubles nobody.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

from .text import one_line

log = logging.getLogger(__name__)

#: Seconds between two looks.
PAUSE_S = 0.5


def lacking() -> list[str]:
    """The migrations of this code that the database lacks, as "app.name"."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def what_to_do(names: list[str]) -> str:
    """The sentence for a developer or an operator."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"The database lacks {', '.join(names[:3])}{more}: run `./manage.py migrate`."


def wait(stopped: Callable[[], object]) -> None:
    """Return when the database answers and lacks nothing, or when `stopped()` is true."""
    said = ""
    while not stopped():
        try:
            names = lacking()
        except Error as error:
            connection.close()
            why = f"the database does not answer: {one_line(error)}"
        else:
            if not names:
                if said:
                    log.info("the database is ready, starting")
                return
            why = f"the database lacks {', '.join(names)}"
        if why != said:
            log.warning("waiting: %s", why)
            said = why
        time.sleep(PAUSE_S)
