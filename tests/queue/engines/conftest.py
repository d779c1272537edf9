"""Another session of Postgres, for what two do at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from compute.queue.engines.postgres.sessions import own_connection


@pytest.fixture
def other(transactional_db: None) -> Iterator[Any]:
    """Another session, in a transaction; the tests' own waits for its locks a moment only."""
    with own_connection() as other:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
        other.execute("BEGIN")
        yield other
        other.execute("ROLLBACK")
    connection.close()
