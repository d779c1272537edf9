from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest


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
    assert status == ("400 Bad Request" if len(length) == 30 else "200 OK")
