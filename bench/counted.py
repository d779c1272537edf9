"""`manage.py` with every SQL statement of every process noted: a letter in one of two files
of the folder BENCH_COUNTS for each, which no two processes can mix up."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from django.core.management import execute_from_command_line
from django.db.backends.signals import connection_created

WRITES = ("INSERT", "UPDATE", "DELETE")


def note(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
    words = sql.split(maxsplit=1)[0].upper() if isinstance(sql, str) and sql.strip() else ""
    # A claim of Postgres is one WITH that may write; with nothing to claim it does not.
    kind = "writes" if words in WRITES else "reads"
    path = os.path.join(os.environ["BENCH_COUNTS"], kind)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b".")
    os.close(descriptor)
    return execute(sql, *rest)


def wrap(connection: Any, **_: Any) -> None:
    if note not in connection.execute_wrappers:
        connection.execute_wrappers.append(note)


connection_created.connect(wrap)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
