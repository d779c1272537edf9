"""How much a database reads, which is the same whatever else the machine does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


class Read:
    #: Rows on Postgres, and steps of its machine on SQLite, which takes some for a row.
    amount = 0


@contextmanager
def reading() -> Iterator[Read]:
    """Inside a transaction, or Postgres would tell of it later."""
    read = Read()
    if connection.vendor == "postgresql":
        before = rows_read()
        yield read
        read.amount = rows_read() - before
        return

    def step() -> None:
        read.amount += 1

    connection.ensure_connection()
    connection.connection.set_progress_handler(step, 1)
    try:
        yield read
    finally:
        connection.connection.set_progress_handler(None, 1)


def rows_read() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables"
        )
        return int(cursor.fetchone()[0])
