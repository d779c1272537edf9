"""The web server's line for a request."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config

from compute.web.access import FORMAT, AccessLogger


def told(**environ: str) -> str:
    given = {
        "REMOTE_ADDR": "10.0.0.1",
        "REQUEST_METHOD": "GET",
        "RAW_URI": "/sum-start/?n=5",
        "PATH_INFO": "/sum-start/",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_USER_AGENT": "curl",
        **environ,
    }
    logger = AccessLogger(Config())
    response: Any = SimpleNamespace(status="200 OK", sent=12, headers=[])
    request = SimpleNamespace(headers=[])
    atoms = logger.atoms(response, request, given, timedelta(milliseconds=31))
    line: str = FORMAT % logger.atoms_wrapper_class(atoms)
    return line


def test_it_names_the_address_that_the_limits_go_by(settings: Any) -> None:
    assert told() == '10.0.0.1 "GET /sum-start/" 200 12 0.031000 "curl"'
    said = told(HTTP_X_FORWARDED_FOR="6.6.6.6, 203.0.113.7")
    assert said.startswith("203.0.113.7 ")


@pytest.mark.parametrize(
    ("environ", "start"),
    [
        ({"REMOTE_ADDR": ""}, '- "GET /sum-start/"'),
        ({"RAW_URI": ""}, '10.0.0.1 "GET /sum-start/"'),
        ({"RAW_URI": "/%0A?x", "PATH_INFO": "/\n"}, '10.0.0.1 "GET /%0A"'),
    ],
)
def test_whatever_it_lacks_it_is_told(environ: dict[str, str], start: str) -> None:
    assert told(**environ).startswith(start)
