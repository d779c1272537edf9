from __future__ import annotations

import sys
from io import BytesIO
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper

from tests.processes import Processes


def ask(content_type: str, **more: str) -> tuple[str, bytes]:
    """One request straight to what the web server calls: its status, and its body."""
    # Loading it looks for collected files, unless the settings are the tests' own.
    from sumsite.wsgi import application

    said: list[str] = []

    def start_response(status: str, headers: Any) -> None:
        said.append(status)

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/sum-sync/",
        "QUERY_STRING": "n=10",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "CONTENT_TYPE": content_type,
        "wsgi.input": BytesIO(),
        "wsgi.url_scheme": "http",
        **more,
    }
    response = application(environ, start_response)
    body = b"".join(response)
    response.close()
    return said[0], body


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain; charset=utf-8",
        "text/plain; charset=nonsense",
        "text/plain; charset=hex",
        "text/plain; charset=rot13",
        "text/plain; charset=\0",
        "application/x-www-form-urlencoded; charset=base64",
    ],
)
def test_no_charset_breaks_a_request(db: None, content_type: str) -> None:
    assert ask(content_type) == ("200 OK", b'{"total": 55}')


@pytest.mark.parametrize("length", ["", "0", "x", "-1", "1e3", "٣", "9" * 30])
def test_no_length_breaks_a_request(db: None, length: str) -> None:
    form = "application/x-www-form-urlencoded"
    status, _ = ask(form, CONTENT_LENGTH=length, REQUEST_METHOD="POST")
    assert status == ("413 Request Entity Too Large" if len(length) == 30 else "200 OK")


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("path", "query", "checks"),
    [
        ("/", "", 1),
        ("/split-sum-start/", "n=10", 1),
        ("/sum-sync/", "n=10", 0),
        ("/healthz", "", 0),
    ],
)
def test_a_request_asks_once_whether_its_connection_is_open(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, path: str, query: str, checks: int
) -> None:
    ask("")
    connection.close()
    connection.ensure_connection()
    asked = []
    is_usable = DatabaseWrapper.is_usable
    monkeypatch.setattr(
        DatabaseWrapper, "is_usable", lambda self: asked.append(1) or is_usable(self)
    )
    assert ask("", PATH_INFO=path, QUERY_STRING=query)[0] == "200 OK"
    assert len(asked) == checks


@pytest.mark.postgres
def test_a_queue_server_does_not_ask(processes: Processes) -> None:
    code = (
        "import django; django.setup()\n"
        "from django.db import connection\n"
        "connection.ensure_connection()\n"
        "print(connection.health_check_enabled)\n"
    )
    process = processes.start(sys.executable, "-c", code, DJANGO_SETTINGS_MODULE="sumsite.settings")
    assert process.popen.wait(30) == 0
    assert process.text() == "False\n"
