"""Thousands of requests made to break something: no 5xx, and what is refused starts nothing.

A few hundred with every run of the tests; `bin/test --long tests/test_hostile.py -s` makes
20,000 and says so.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.test import Client
from django_q.models import OrmQ
from hypothesis import HealthCheck, Phase, given, settings

from compute.models import Run, Sweep
from compute.models.notes import unfinished
from compute.queue.models import Job
from tests import hostile
from tests.conftest import run_jobs, started
from tests.hostile import Hostile
from tests.processes import Process, Processes

#: How many of each kind: quickly, and with --long.
WILD, REFUSED, RAW = (250, 14_000), (100, 3_000), (100, 3_000)


@pytest.fixture(autouse=True)
def nothing_is_logged() -> Iterator[None]:
    """Django warns of each that it refuses."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def many(examples: int) -> Callable[[Any], Any]:
    """Hypothesis without its database and shrinking of thousands, and without a deadline."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def rows() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Run, Sweep, Job, OrmQ))


@contextmanager
def one_connection() -> Iterator[None]:
    """A request's end does not close the connection, which is in the test's transaction."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def known(db: None, admin: Client, settings: Any) -> dict[str, str]:
    """What a hostile client may know: a session of its own and a member of staff's."""
    settings.SENDS_MAIL = True
    client = Client(headers={"accept": "text/html"})
    client.post("/split-sum-start/", {"n": 10, "chunk_size": 5})
    client.post("/bug-sum-start/", {"n": 1234567})
    run_jobs()
    unfinished()
    return {
        "session": configured.SESSION_COOKIE_NAME,
        "csrf": configured.CSRF_COOKIE_NAME,
        "junk": "x" * 32,
        "token": "t" * 32,
        "real": client.cookies[configured.SESSION_COOKIE_NAME].value,
        "staff": admin.cookies[configured.SESSION_COOKIE_NAME].value,
    }


def filled(value: str, known: dict[str, str]) -> str:
    for name, real in known.items():
        value = value.replace(f"{{{name}}}", real)
    return value


def ask(request: Hostile, known: dict[str, str]) -> int:
    """Hand it to what the web server calls; the status of the reply, which is read whole."""
    from sumsite.wsgi import application

    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "10.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": request.length(),
        "wsgi.input": BytesIO(request.body),
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "testserver",
    }
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = filled(value, known)
    statuses: list[int] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], error: Any = None, /
    ) -> Callable[[bytes], object]:
        statuses.append(int(status[:3]))
        return print  # which WSGI wants, and nobody calls

    response = application(environ, start_response)
    try:
        assert isinstance(b"".join(response), bytes)
    finally:
        getattr(response, "close", lambda: None)()
    return statuses[0]


def wild(known: dict[str, str], examples: int) -> Counter[int]:
    seen: Counter[int] = Counter()

    @many(examples)
    @given(request=hostile.requests())
    def test(request: Hostile) -> None:
        with one_connection(), transaction.atomic():
            before = rows()
            status = ask(request, known)
            seen[status] += 1
            assert status < 500 or (request.path, status) == ("/readyz", 503)
            if status >= 400:
                assert rows() == before
            transaction.set_rollback(True)

    test()
    return seen


def refused(examples: int) -> Counter[int]:
    seen: Counter[int] = Counter()
    client = Client(raise_request_exception=False)

    @many(examples)
    @given(asked=hostile.refused())
    def test(asked: tuple[str, str, dict[str, str]]) -> None:
        method, path, parameters = asked
        before = rows()
        if method == "POST":
            reply = client.post(path, parameters)
        else:
            reply = client.generic(method, path, query_params=parameters)
        seen[reply.status_code] += 1
        assert reply.status_code in (400, 404, 405)
        assert method == "HEAD" or list(reply.json()) == ["detail"]
        assert rows() == before

    test()
    return seen


# --- over a socket ------------------------------------------------------------------------


def as_bytes(request: Hostile, known: dict[str, str]) -> bytes:
    """The request as it goes over the wire, with whatever breaks the rules of HTTP left in."""
    target = f"{request.path}?{request.query}" if request.query else request.path
    given = {"Host": "localhost", "X-Forwarded-Proto": "https", **dict(request.headers)}
    if request.length():
        given["Content-Length"] = request.length()
    head = [f"{request.method} {target} HTTP/1.1"]
    head += [f"{name}: {filled(value, known)}" for name, value in given.items()]
    head += ["Connection: close", "", ""]
    return "\r\n".join(head).encode("latin-1", "replace") + request.body


def in_production(processes: Processes) -> tuple[Process, str]:
    return processes.web(
        DEBUG="0",
        ALLOWED_HOSTS="localhost",
        WEB_CONCURRENCY="2",
        DJANGO_SETTINGS_MODULE="tests.plain_static",
    )


def status_over(site: str, data: bytes) -> int:
    """What the server answers; 0 if it hangs up without a word."""
    where = urlsplit(site)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has heard enough
        reply = b""
        try:
            while chunk := connection.recv(65536):
                reply += chunk
        except ConnectionResetError:
            pass
    while reply.startswith(b"HTTP/1.1 100 "):  # "go on", before what counts
        reply = reply.partition(b"\r\n\r\n")[2]
    return int(reply[9:12]) if reply.startswith(b"HTTP/1.") else 0


def over_a_socket(site: str, examples: int) -> Counter[int]:
    seen: Counter[int] = Counter()
    known = {"session": "__Host-sessionid", "csrf": "__Host-csrftoken", "junk": "x" * 32}
    known |= {"token": "t" * 32, "real": "y" * 32, "staff": "z" * 32}

    @many(examples)
    @given(request=hostile.requests())
    def test(request: Hostile) -> None:
        before = rows()
        status = status_over(site, as_bytes(request, known))
        seen[status] += 1
        assert status < 500 or (request.path, status) == ("/readyz", 503)
        if status >= 400:
            assert rows() == before

    test()
    return seen


# --- the tests ----------------------------------------------------------------------------


@pytest.mark.thorough
def test_nothing_breaks(known: dict[str, str]) -> None:
    seen = wild(known, WILD[0])
    assert len(seen) > 4, seen


@pytest.mark.thorough
def test_nothing_breaks_where_runs_are_private(known: dict[str, str], settings: Any) -> None:
    settings.RUNS_PRIVATE = True
    assert len(wild(known, WILD[0])) > 4


@pytest.mark.thorough
def test_what_the_contract_refuses_starts_nothing(known: dict[str, str]) -> None:
    assert set(refused(REFUSED[0])) == {400, 404, 405}


def test_nothing_breaks_over_a_socket(processes: Processes) -> None:
    web, site = in_production(processes)
    assert 400 in over_a_socket(site, RAW[0])
    assert "Internal Server Error" not in web.text()


@pytest.mark.long
def test_20000_hostile_requests(known: dict[str, str], capsys: Any) -> None:
    seen = wild(known, WILD[1]) + refused(REFUSED[1])
    with capsys.disabled():
        print(f"\n{seen.total():,} requests in this process: {dict(seen.most_common())}")
    assert seen.total() >= WILD[1] + REFUSED[1]


@pytest.mark.long
def test_3000_of_them_over_a_socket(processes: Processes, capsys: Any) -> None:
    web, site = in_production(processes)
    User.objects.create_superuser("boss", password="boss-password")
    started("/split-sum-start/", n=10)
    seen = over_a_socket(site, RAW[1])
    with capsys.disabled():
        print(f"\n{seen.total():,} requests over a socket: {dict(seen.most_common())}")
    assert seen.total() >= RAW[1]
    assert "Internal Server Error" not in web.text()
