"""How a write of the queue waits for its turn on SQLite."""

from __future__ import annotations

import gc
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.backends.sqlite3.base import SQLiteCursorWrapper
from django.test.utils import CaptureQueriesContext

from compute.queue.engines import engine
from compute.queue.engines.sqlite import turns


@pytest.fixture
def other(transactional_db: None) -> Iterator[sqlite3.Connection]:
    """Another writer, in the middle of its write."""
    other = sqlite3.connect(
        connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False
    )
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.rollback()
    other.close()


def usual_patience() -> Any:
    """Milliseconds that SQLite itself waits on this connection."""
    with connection.cursor() as cursor:
        return cursor.execute("PRAGMA busy_timeout").fetchone()[0]


@pytest.mark.sqlite
def test_a_write_comes_next_when_the_other_is_through(other: sqlite3.Connection) -> None:
    threading.Timer(0.005, other.rollback).start()
    with engine().turn():
        assert not other.in_transaction
        assert connection.in_atomic_block
    assert usual_patience() == 20_000


@pytest.mark.thorough
@pytest.mark.sqlite
def test_after_many_looks_sqlite_waits_as_it_does(
    other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == turns.STEPS:
            threading.Timer(0.05, other.rollback).start()

    monkeypatch.setattr(time, "sleep", look)
    with engine().turn():
        assert not other.in_transaction
    assert looks == [turns.STEP_S] * turns.STEPS


@pytest.mark.thorough
@pytest.mark.sqlite
def test_a_write_that_had_to_wait_leaves_no_cursor_for_the_garbage_collector(
    other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep the file of a connection open that has been closed."""

    def cursors() -> int:
        # By type(), for isinstance() would wake what is lazy among all those objects.
        return sum(type(each) is SQLiteCursorWrapper for each in gc.get_objects())

    looks: list[float] = []

    def look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            other.rollback()

    monkeypatch.setattr(time, "sleep", look)
    gc.collect()
    gc.disable()
    try:
        before = cursors()
        with engine().turn():
            pass
        assert len(looks) == 3
        assert cursors() == before
    finally:
        gc.enable()


@pytest.mark.thorough
@pytest.mark.sqlite
def test_a_database_that_stays_locked_is_an_error_in_time(other: sqlite3.Connection) -> None:
    began = time.monotonic()
    with turns.patience(100), pytest.raises(OperationalError, match="locked"), engine().turn():
        raise AssertionError("it has written beside the other")
    assert 0.1 <= time.monotonic() - began < 10
    assert connection.get_autocommit()


def test_within_a_transaction_it_is_a_part_of_that(transactional_db: None) -> None:
    with CaptureQueriesContext(connection) as queries, transaction.atomic(), engine().turn():
        pass
    assert len(queries) == 2  # BEGIN, COMMIT
