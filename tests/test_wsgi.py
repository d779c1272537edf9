from __future__ import annotations

import sys
from collections.abc import Iterator
from http.client import responses
from io import BytesIO
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.signals import connection_created

from tests.processes import Processes

TOO_LARGE = f"413 {responses[413]}"  # newer Pythons say "Content"


@pytest.fixture(autouse=True)
def no_other_test_is_in_a_hurry() -> Iterator[None]:
    """Loading the module makes this process a web server's, which waits for no lock for long."""
    yield
    connection_created.disconnect(dispatch_uid="sumsite.locks")
    connection.close()


def ask(content_type: str, **more: Any) -> tuple[str, bytes]:
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
    assert status == (TOO_LARGE if len(length) == 30 else "200 OK")


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


def in_chunks(body: bytes, **more: Any) -> tuple[str, bytes]:
    """A POST whose body has no length, from a server that knows where it ends."""
    return ask(
        "application/x-www-form-urlencoded",
        REQUEST_METHOD="POST",
        QUERY_STRING="",
        HTTP_TRANSFER_ENCODING="Chunked",
        **{"wsgi.input": BytesIO(body), "wsgi.input_terminated": True, **more},
    )


def test_a_body_in_chunks_is_read_up_to_the_limit(db: None) -> None:
    limit = 1024 * 1024
    body = b"n=10&m=".ljust(limit, b"x")
    assert in_chunks(body) == ("200 OK", b'{"total": 55}')
    endless = BytesIO(body + b"x" * limit)
    assert in_chunks(b"", **{"wsgi.input": endless})[0] == TOO_LARGE
    assert endless.tell() == limit + 1


def test_chunks_that_can_not_be_read_are_an_empty_body(db: None) -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError

    assert in_chunks(b"", **{"wsgi.input": Broken()})[0] == "400 Bad Request"
    # From a server that does not say where it ends, nothing is read.
    assert in_chunks(b"n=10", **{"wsgi.input_terminated": False})[0] == "400 Bad Request"
