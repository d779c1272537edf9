"""/healthz answers for the process, /readyz for all that the site needs."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import InterfaceError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from compute.queue.models import Node
from compute.web import health
from tests import recipes
from tests.conftest import database_url
from tests.processes import Processes, free_port

NO_QUEUE_SERVER = "No queue server is running: start one with `./manage.py qcluster`."


def assert_not_ready(detail: str) -> None:
    assert health.missing() == detail
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"detail": detail}
    assert int(response["Retry-After"]) > 0


def test_healthz_touches_no_database() -> None:
    # Without the `db` fixture any query fails the test.
    assert Client().get("/healthz").json() == {"status": "ok"}


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


@pytest.mark.parametrize("app", ["compute", "queue", "auth"])
def test_a_migration_that_is_not_applied_is_missed(queue_server: Node, app: str) -> None:
    MigrationRecorder(connection).migration_qs.filter(app=app).latest("name").delete()
    assert_not_ready("The database lacks migrations: run `./manage.py migrate`.")


def test_without_a_database_the_site_is_not_ready_but_healthy(database_away: None) -> None:
    assert_not_ready("The database does not answer.")
    assert Client().get("/healthz").status_code == 200


def test_the_platforms_plain_requests_are_not_sent_to_https(
    queue_server: Node, settings: Any
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/healthz").status_code == 200
    assert Client().get("/readyz").status_code == 200
    assert Client().get("/").status_code == 301


@pytest.mark.parametrize("address", ["/healthz", "/readyz", "/metrics"])
def test_nothing_is_posted_to_them(address: str) -> None:
    assert Client().post(address).status_code == 405


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

    monkeypatch.setattr(health.schema, "lacking", closed)
    assert_not_ready("The database does not answer.")


# --- a database that is there and says nothing ----------------------------------------


@pytest.mark.postgres
def test_a_frozen_database_does_not_answer_either(
    transactional_db: None, queue_server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's process behind this connection is stopped, as a suspended machine would."""
    monkeypatch.setattr(health, "PATIENCE", 0.5)
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


# --- manage.py health_check -----------------------------------------------------------


@pytest.fixture
def web_process(settings: Any) -> Iterator[HTTPServer]:
    """What listens at PORT answers with its `status`, and keeps the `hosts` it was asked by."""

    class Web(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.hosts.append(self.headers["Host"])  # type: ignore[attr-defined]
            self.send_response(server.status if self.path == "/healthz" else 404)  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Web)
    server.status, server.hosts = 200, []  # type: ignore[attr-defined]
    settings.PORT = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("allowed", "asked"), [([".a.example", "b.example"], "a.example"), (["*"], None), ([], None)]
)
def test_a_web_process_that_answers_is_healthy(
    web_process: Any, settings: Any, allowed: list[str], asked: str | None, capsys: Any
) -> None:
    settings.ALLOWED_HOSTS = allowed
    call_command("health_check")
    assert capsys.readouterr().out == "The site answers.\n"
    assert web_process.hosts == [asked or f"127.0.0.1:{settings.PORT}"]


def test_a_web_process_in_trouble_is_not(web_process: Any) -> None:
    web_process.status = 500
    with pytest.raises(CommandError, match="does not answer: HTTP Error 500"):
        call_command("health_check")


def test_no_web_process_is_not_healthy(settings: Any) -> None:
    settings.PORT = free_port()
    with pytest.raises(CommandError, match=r"/healthz does not answer: .*refused"):
        call_command("health_check")


def test_a_worker_is_healthy_while_this_hosts_queue_server_lives(db: None, capsys: Any) -> None:
    here = recipes.node.make(host=socket.gethostname())
    recipes.node.make(host="elsewhere")
    call_command("health_check", "--worker")
    assert capsys.readouterr().out == "The queue server works.\n"
    Node.objects.filter(pk=here.pk).update(stopped_at=Now())
    with pytest.raises(CommandError, match=r"No queue server of .* in the last 10 seconds"):
        call_command("health_check", "--worker")


def test_without_a_database_a_worker_is_not_healthy(database_away: None) -> None:
    with pytest.raises(CommandError, match="The database does not answer"):
        call_command("health_check", "--worker")


def test_containers_are_told_by_an_exit_code_and_one_line(processes: Processes) -> None:
    sick = processes.manage("health_check", "--worker")
    assert sick.popen.wait(30) == 1
    assert sick.text().count("\n") == 1
    assert sick.text().startswith("CommandError: No queue server of ")
    _, site = processes.web()
    processes.node()
    port = site.rpartition(":")[2]
    for arguments in ([], ["--worker"]):
        well = processes.manage("health_check", *arguments, PORT=port, DEBUG="1")
        assert well.popen.wait(30) == 0, well.text()
        assert well.text().count("\n") == 1
