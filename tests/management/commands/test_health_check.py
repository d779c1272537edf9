"""`manage.py health_check`: for containers, which are told by an exit code."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from compute.queue.models import Node
from tests import recipes
from tests.processes import Processes, free_port
from tests.servers import serving


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
    with serving(server):
        yield server


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
