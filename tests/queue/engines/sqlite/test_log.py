"""How SQLite's log is kept short although somebody always reads from it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator

import pytest
from django.db import OperationalError, connection

from compute.queue.engines import engine
from compute.queue.engines.sqlite import log, turns
from compute.queue.engines.sqlite.log import LONG_B, PATIENCE_MS
from tests.conftest import without_database
from tests.queue.conftest import failing


@pytest.fixture
def reader(transactional_db: None) -> Iterator[Callable[[], sqlite3.Connection]]:
    """Makes connections that are in the middle of reading."""
    made = []

    def reader() -> sqlite3.Connection:
        made.append(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None))
        made[-1].execute("BEGIN")
        made[-1].execute("SELECT count(*) FROM queue_job").fetchall()
        return made[-1]

    yield reader
    for each in made:
        each.close()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bulk")


def size() -> int:
    return os.path.getsize(f"{connection.settings_dict['NAME']}-wal")


def write(megabytes: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bulk (data)")
        for _ in range(megabytes):
            cursor.execute("INSERT INTO bulk VALUES (zeroblob(1000000))")


@pytest.mark.sqlite
def test_a_log_that_always_has_a_reader_is_emptied(
    reader: Callable[[], sqlite3.Connection], caplog: pytest.LogCaptureFixture
) -> None:
    with connection.cursor() as cursor:
        (patience,) = cursor.execute("PRAGMA busy_timeout").fetchone()
    assert patience != PATIENCE_MS
    current = reader()
    for _ in range(3):
        write(5)
        following = reader()
        current.close()
        current = following
    assert size() > 2 * LONG_B
    engine().cut_log()  # while somebody reads what it would take away
    assert size() > 2 * LONG_B
    current.close()
    engine().cut_log()
    assert size() == 0
    assert not caplog.records
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA busy_timeout").fetchone() == (patience,)


@pytest.mark.sqlite
def test_a_short_log_is_left_alone(reader: Callable[[], sqlite3.Connection]) -> None:
    engine().cut_log()
    write(1)
    before = size()
    engine().cut_log()
    assert 0 < before == size()


@pytest.mark.sqlite
@pytest.mark.parametrize("error", [OperationalError("database is\nlocked"), OSError("no disk")])
def test_a_log_that_cannot_be_cut_is_no_reason_to_die(
    reader: Callable[[], sqlite3.Connection],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    write(5)
    before = size()
    monkeypatch.setattr(log, "patience", failing(1, turns.patience, error))
    engine().cut_log()
    assert size() == before
    assert f"the log of SQLite stays long: {' '.join(str(error).split())}" in caplog.text
    engine().cut_log()
    assert size() == 0


@pytest.mark.sqlite
def test_where_there_is_no_log_there_is_nothing_to_cut(
    transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    with without_database():
        engine().cut_log()
    assert not caplog.records
