from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder

from compute.queue import schema


def unapply(app: str = "queue") -> str:
    """As the database is before the latest migration; what that one was called."""
    latest = MigrationRecorder(connection).migration_qs.filter(app=app).latest("name")
    latest.delete()
    return f"{app}.{latest.name}"


def test_a_database_that_is_up_to_date_lacks_nothing(db: None) -> None:
    assert schema.lacking() == []


@pytest.mark.parametrize("app", ["compute", "queue", "django_q"])
def test_what_is_lacking_is_named(db: None, app: str) -> None:
    assert unapply(app) in schema.lacking()


def test_what_a_newer_version_has_applied_is_none_of_ours(db: None) -> None:
    MigrationRecorder(connection).record_applied("queue", "9999_of_the_future")
    assert schema.lacking() == []


def pauses(
    monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]
) -> list[Callable[[], object]]:
    """What happens in the pauses of a wait, one after the other."""
    left = list(steps)
    monkeypatch.setattr("compute.queue.schema.time.sleep", lambda seconds: left.pop(0)())
    return left


def test_waiting_for_what_is_there_takes_no_time(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses(monkeypatch)
    schema.wait(stopped=lambda: False)
    assert caplog.messages == []


def test_a_node_waits_for_its_migrations_and_says_so_once(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    name = unapply()
    app, _, short = name.partition(".")
    recorder = MigrationRecorder(connection)
    left = pauses(monkeypatch, lambda: None, lambda: recorder.record_applied(app, short))
    schema.wait(stopped=lambda: False)
    assert left == []
    waiting, ready = caplog.messages
    assert waiting.startswith("waiting: the database lacks ")
    assert name in waiting
    assert ready == "the database is ready, starting"


def test_a_node_that_waits_can_be_stopped(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    unapply()
    signals = []
    pauses(monkeypatch, lambda: signals.append(1))
    schema.wait(stopped=lambda: signals)
    assert signals == [1]


def test_a_node_waits_for_a_database_that_is_away(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [OperationalError("no\nroute"), None]

    def lacking() -> list[str]:
        error = answers.pop(0)
        if error:
            raise error
        return []

    monkeypatch.setattr(schema, "lacking", lacking)
    monkeypatch.setattr(connection, "close", lambda: None)
    pauses(monkeypatch, lambda: None)
    schema.wait(stopped=lambda: False)
    assert caplog.messages[0] == (
        "waiting: the database does not answer: OperationalError: no route"
    )
