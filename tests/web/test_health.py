"""/healthz answers for the process, /readyz for all that the site needs."""

from __future__ import annotations

import os
import signal
import socket
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from compute.queue import pauses, schema
from compute.queue.models import Node
from compute.web import health
from tests.conftest import database_url

NO_QUEUE_SERVER = "No queue server is running: start one with `./manage.py qcluster`."


def assert_not_ready(detail: str) -> None:
    assert health.missing() == detail
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"detail": detail}
    assert int(response["Retry-After"]) > 0


def test_a_site_that_lacks_nothing_is_ready(queue_server: Node) -> None:
    assert health.missing() is None
    response = Client().get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_without_a_queue_server_the_site_is_not_ready(db: None) -> None:
    assert_not_ready(NO_QUEUE_SERVER)


def test_a_queue_server_that_fell_silent_does_not_count(queue_server: Node) -> None:
    silence = Node.DEAD_AFTER + timedelta(seconds=1)
    Node.objects.update(seen_at=timezone.now() - silence)
    assert_not_ready(NO_QUEUE_SERVER)


def test_a_queue_server_that_said_goodbye_does_not_count(queue_server: Node) -> None:
    Node.objects.update(stopped_at=Now())
    assert_not_ready(NO_QUEUE_SERVER)


def test_of_several_queue_servers_one_is_enough(queue_server: Node) -> None:
    Node.objects.update(stopped_at=Now())
    Node.objects.create(
        id="1" * 32,
        name="another",
        host="there",
        pid=2,
        started_at=timezone.now(),
        seen_at=timezone.now() + timedelta(hours=1),
    )
    assert health.missing() is None


# --- what an operator has asked for ----------------------------------------------------


def test_a_site_whose_queue_servers_drain_or_are_paused_is_ready_and_says_so(
    queue_server: Node,
) -> None:
    Node.objects.update(draining=True)
    response = Client().get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "draining": 1})
    pauses.pause("a computation")
    pauses.pause()
    since = pauses.pauses()[0].since
    assert health.held_back() == {"draining": 1, "paused": since}
    response = Client().get("/readyz")
    assert response.status_code == 200
    assert parse_datetime(response.json()["paused"]) == since.replace(
        microsecond=since.microsecond // 1000 * 1000  # as JSON has it
    )
    Node.objects.update(stopped_at=Now())
    pauses.resume()
    assert health.held_back() == {}


def test_a_queue_server_that_drains_is_healthy(queue_server: Node) -> None:
    """Its container is not to be started anew."""
    Node.objects.update(draining=True, host=socket.gethostname())
    assert health.missing_here() is None


def test_a_database_that_goes_away_in_between_holds_nothing_back(database_away: None) -> None:
    assert health.held_back() == {}


@pytest.mark.parametrize("app", ["compute", "queue", "auth"])
def test_a_migration_that_is_not_applied_is_missed(queue_server: Node, app: str) -> None:
    MigrationRecorder(connection).migration_qs.filter(app=app).latest("name").delete()
    assert_not_ready("The database lacks migrations: run `./manage.py migrate`.")


def test_without_a_database_the_site_is_not_ready_but_healthy(database_away: None) -> None:
    assert_not_ready("The database does not answer.")
    assert Client().get("/healthz").status_code == 200


def test_a_database_without_tables_lacks_migrations(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MigrationRecorder, "has_table", lambda recorder: False)
    assert_not_ready("The database lacks migrations: run `./manage.py migrate`.")


def test_a_connection_that_has_been_closed_is_a_database_that_does_not_answer(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: Any) -> None:
        raise InterfaceError("the connection is closed")

    monkeypatch.setattr(schema, "lacking", closed)
    assert_not_ready("The database does not answer.")


# --- a database that is there and says nothing ----------------------------------------


@pytest.mark.postgres
def test_a_frozen_database_does_not_answer_either(
    transactional_db: None, queue_server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's process behind this connection is stopped, as a suspended machine would."""
    monkeypatch.setattr(health, "PATIENCE_S", 0.5)
    assert health.missing() is None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    os.kill(backend, signal.SIGSTOP)
    began = time.monotonic()
    try:
        assert health.missing() == "The database does not answer."
    finally:
        os.kill(backend, signal.SIGCONT)
    assert time.monotonic() - began < 5
    assert health.missing() is None, "the next one asks over a new connection"


@pytest.mark.postgres
def test_a_connection_that_a_restart_has_cut_is_made_anew(
    transactional_db: None, queue_server: Node
) -> None:
    assert health.missing() is None
    cut_off(connection)
    assert health.missing() is None


def cut_off(connection: Any) -> None:
    """End its server's process, as a restart of the server does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    with psycopg.connect(database_url(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
