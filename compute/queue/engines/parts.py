"""The parts of large contents: half a megabyte each, and as it is on both ways."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from django.db import connection

WRITE = """
    INSERT INTO queue_part (content, number, data) VALUES (%s, %s, %s)
    ON CONFLICT (content, number) DO UPDATE SET data = excluded.data
"""
READ = "SELECT data FROM queue_part WHERE content = %s AND number = %s"


class Parts:
    def write_part(self, content: str, number: int, data: bytes) -> None:
        """Write a part at its place, over one that is there."""
        with self.bytes_cursor() as cursor, connection.wrap_database_errors:
            # Past Django's log of statements, which with DEBUG keeps all that they write.
            cursor.cursor.execute(WRITE, [content, number, data])

    def read_part(self, content: str, number: int) -> bytes | None:
        with self.bytes_cursor() as cursor:
            cursor.execute(READ, [content, number])
            found = cursor.fetchone()
        return bytes(found[0]) if found else None

    def bytes_cursor(self) -> AbstractContextManager[Any]:
        """A cursor that sends and gets bytes as they are."""
        return connection.cursor()
