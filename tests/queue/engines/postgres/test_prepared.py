from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DataError, NotSupportedError, connection, transaction
from django_q.tasks import async_task

from compute.queue.engines import sql
from compute.queue.engines.postgres import prepared, sessions

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

#: After so many times Postgres has a plan for all values.
MANY = 12
ASK = "SELECT %(number)s + 1 FROM queue_job"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Each test with a session of its own."""
    connection.close()
    async_task("math.sqrt", 4)
    yield
    connection.close()


def kept() -> list[tuple[Any, ...]]:
    """What the session has prepared: the statement, and how often it was asked by one plan."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement, generic_plans FROM pg_prepared_statements")
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def ask(many: int = MANY) -> set[tuple[Any, ...]]:
    return {row for number in range(many) for row in prepared.fetch(ASK, {"number": number})}


def test_what_is_asked_often_is_planned_once() -> None:
    assert ask() == {(number + 1,) for number in range(MANY)}
    ((statement, planned),) = kept()
    assert statement.startswith("SELECT $1 + 1 FROM queue_job")
    assert planned > 0


def test_what_is_asked_seldom_is_not_prepared() -> None:
    ask(prepared.OFTEN)
    assert kept() == []


def test_a_statement_is_planned_anew_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    ask()
    monkeypatch.setattr(prepared, "PLANNED_S", time.monotonic() / 2)  # so long have passed twice
    ask()
    assert [planned > 0 for _, planned in kept()] == [True, True]


def test_no_more_is_kept_than_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "KEPT", 1)
    for number in range(5):
        for _ in range(MANY):
            prepared.fetch(f"SELECT %s + {number}", [1])
    assert len(kept()) <= 2


def test_others_statements_are_as_they_were() -> None:
    ask()
    for _ in range(MANY):
        sql.fetch("SELECT %s", [1])
    assert len(kept()) == 1
    assert connection.connection.prepare_threshold is None


def test_nothing_is_prepared_behind_a_pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which tells its clients of another process than the server's."""
    connection.close()
    monkeypatch.setattr(sessions, "BEGIN", sessions.BEGIN.replace("()", "() + 1", 1))
    assert ask() == {(number + 1,) for number in range(MANY)}
    assert kept() == []


def test_who_has_lost_a_statement_asks_without() -> None:
    ask()
    connection.connection.execute("SELECT 1")
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert ask(1) == {(1,)}
    assert connection.connection not in sessions.direct
    ask()
    assert kept() == []


def test_a_transaction_that_has_failed_is_left_to_its_owner() -> None:
    ask()
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    with pytest.raises(Exception, match="does not exist"), transaction.atomic():
        ask(1)
    assert ask(1) == {(1,)}


def test_when_a_column_has_changed_it_is_asked_anew() -> None:
    """As in a release, while nodes of the version before still run."""
    statement = "SELECT worker FROM queue_job WHERE %s > 0"
    for _ in range(MANY):
        prepared.fetch(statement, [1])
    alter = "ALTER TABLE queue_job ALTER worker TYPE {}"
    try:
        with connection.cursor() as cursor:
            cursor.execute(alter.format("bigint"))
        assert prepared.fetch(statement, [1]) == [(None,)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute(alter.format("integer"))


def test_what_the_database_refuses_is_djangos_error() -> None:
    with pytest.raises(DataError):
        prepared.fetch("SELECT 1 / %s::int", [0])
    with pytest.raises(NotSupportedError):
        prepared.fetch("SELECT count(*) FROM queue_job WHERE %s > 0 FOR UPDATE", [1])
