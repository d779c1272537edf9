"""The proxies before the web server: a slow or silent client holds none of its processes."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from compute.models import Run
from tests import proxies
from tests.processes import ROOT, Processes, wait_until
from tests.proxies import Proxy

HALVES = [
    "",
    "GET /sum-sync/?n=5 HTTP/1.1\r\nHost: local",
    "POST /sum-start/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nn=",
    "POST /sum-start/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nn=\r\n",
]
NGINX = pytest.param("nginx", marks=pytest.mark.proxy)


@pytest.fixture(params=[NGINX, "caddy"])
def site(request: pytest.FixtureRequest, processes: Processes, tmp_path: Path) -> Proxy:
    """A proxy as deploy/ has it, before a site as a host runs it."""
    _, web = processes.web(
        DEBUG="0",
        ALLOWED_HOSTS="localhost",
        DJANGO_SETTINGS_MODULE="tests.plain_static",
        WEB_CONCURRENCY="3",
        PROXIES="2" if request.param == "nginx" else "1",
        MAX_CLIENT_RUNS="1",
    )
    start = proxies.nginx if request.param == "nginx" else proxies.caddy
    return start(processes, f"127.0.0.1:{web.rpartition(':')[2]}", tmp_path)


def connection_to(site: Proxy, by: str = "127.0.0.1") -> HTTPConnection:
    """From an address of this machine."""
    if site.tls:
        return HTTPSConnection(
            "localhost", site.port, timeout=20, source_address=(by, 0), context=site.tls
        )
    return HTTPConnection("localhost", site.port, timeout=20, source_address=(by, 0))


def ask(
    site: Proxy,
    path: str,
    forwarded: str = "203.0.113.7",
    by: str = "127.0.0.1",
    body: bytes | Iterator[bytes] | None = None,
) -> tuple[int, Any]:
    """Status and JSON of a reply; before nginx stands what has ended TLS."""
    with contextlib.closing(connection_to(site, by)) as connection:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": forwarded, "Accept": "*/*"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request("GET" if body is None else "POST", path, body, headers)
        reply = connection.getresponse()
        text = reply.read()
        return reply.status, json.loads(text)


def test_half_requests_hold_nobody_up(site: Proxy) -> None:
    with ExitStack() as stack:
        for half in HALVES * 5:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", site.port)))
            if site.tls:
                client = site.tls.wrap_socket(client, server_hostname="localhost")
                stack.enter_context(client)
            client.sendall(half.encode())
        for path in ("/healthz", "/sum-sync/?n=5", "/", "/sum-start/?n=5"):
            began = time.monotonic()
            status, _ = ask(site, path)
            assert status == 200
            assert time.monotonic() - began < 10
    assert Run.objects.count() == 1


@pytest.mark.parametrize("site", [NGINX], indirect=True)
def test_behind_two_proxies_a_client_is_told_apart_by_what_both_say(site: Proxy) -> None:
    """The one before nginx saw the client, nginx saw that one; what the client says is ignored."""
    said = "1.1.1.1, 203.0.113.7:4711"
    assert ask(site, "/sum-start/?n=5", said)[0] == 200
    assert ask(site, "/sum-start/?n=5", said.replace("1.1.1.1", "2.2.2.2"))[0] == 429
    status, reply = ask(site, "/sum-start/?n=5", "203.0.113.8")
    assert (status, reply["task_progress"][:18]) == (200, "https://localhost:")


@pytest.mark.parametrize("site", ["caddy"], indirect=True)
def test_behind_caddy_alone_a_client_is_the_one_that_asks_it(site: Proxy) -> None:
    """Whatever it writes into X-Forwarded-For."""
    assert ask(site, "/sum-start/?n=5", "1.1.1.1")[0] == 200
    assert ask(site, "/sum-start/?n=5", "2.2.2.2")[0] == 429
    status, reply = ask(site, "/sum-start/?n=5", "1.1.1.1", by="127.0.0.2")
    assert (status, reply["task_progress"][:18]) == (200, "https://localhost:")


def test_what_is_too_long_goes_no_further(site: Proxy) -> None:
    status, reply = ask(site, "/sum-start/", body=b"n=5&x=" + b"1" * 2_000_000)
    assert status == 413, reply
    assert "This is too long: the body of a request may have" in reply["detail"]
    with contextlib.suppress(OSError, ValueError):  # who answers is open: the proxy, or the site
        assert ask(site, "/sum-start/", body=iter([b"n=5&x=", b"1" * 2_000_000]))[0] == 413
    assert not Run.objects.exists(), "not the part of it that was let through, either"
    assert ask(site, "/sum-start/", body=b"n=5&x=" + b"1" * 1_000_000)[0] == 200


@pytest.mark.parametrize("cut", [1, 0.5])
def test_of_a_request_that_breaks_off_nothing_is_started(site: Proxy, cut: float) -> None:
    """Not by its first part, either: MAX_CLIENT_RUNS would refuse the whole one then."""
    body = b"n=5&x=" + b"1" * 100_000
    for _ in range(5):
        with contextlib.closing(connection_to(site)) as connection:
            connection.putrequest("POST", "/sum-start/")
            for name, value in (
                ("X-Forwarded-Proto", "https"),
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("Content-Length", str(len(body) + 1)),
            ):
                connection.putheader(name, value)
            connection.endheaders()
            connection.send(body[: int(len(body) * cut)])
    assert ask(site, "/sum-start/?n=5")[0] == 200
    assert Run.objects.count() == 1


class Upstream:
    """A web server that serves one request at a time, from first byte to last, as a sync worker."""

    def __init__(self, server: socket.socket, reply: bytes) -> None:
        self.server, self.reply = server, reply
        self.address = f"127.0.0.1:{server.getsockname()[1]}"
        #: What it was asked, but for its health, and how many of these replies it got rid of.
        self.asked: list[bytes] = []
        self.sent = 0

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.server.accept()
                with client:
                    self.answer(client)

    def answer(self, client: socket.socket) -> None:
        request = client.recv(1 << 16)
        if b"/healthz" in request:
            client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            return
        self.asked.append(request)
        client.sendall(self.reply)
        self.sent += 1


@contextlib.contextmanager
def upstream(reply: bytes) -> Iterator[Upstream]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Upstream(server, reply)
        thread = threading.Thread(target=made.serve)
        thread.start()
        yield made
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("name", [NGINX, "caddy"])
def test_a_request_whose_process_is_killed_is_not_sent_again(
    name: str, processes: Processes, tmp_path: Path
) -> None:
    """A GET may start a run."""
    with upstream(b"") as web:
        site = getattr(proxies, name)(processes, web.address, tmp_path)
        with contextlib.closing(connection_to(site)) as connection:
            connection.request("GET", "/sum-start/?n=5")
            assert connection.getresponse().status == 502
        assert len(web.asked) == 1


@pytest.mark.parametrize("name", [NGINX, "caddy"])
def test_a_client_that_does_not_read_holds_nobody_up(
    name: str, processes: Processes, tmp_path: Path
) -> None:
    """A reply as large as one can be: a result of 16 MB. Connections hold a few of them."""
    reply = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"1" * 16_000_000
    with upstream(reply) as web, ExitStack() as stack:
        site = getattr(proxies, name)(processes, web.address, tmp_path)
        for _ in range(3):
            connection = stack.enter_context(contextlib.closing(connection_to(site)))
            connection.request("GET", "/")
        wait_until(lambda: web.sent == 3, 20, "all replies")


def test_it_lets_through_what_the_site_takes() -> None:
    example = (ROOT / ".env.example").read_text()
    assert re.search(r"^MAX_BODY_KB=1024$", example, re.M)
    nginx = (ROOT / "deploy" / "nginx.conf").read_text()
    assert "client_max_body_size 1m;" in nginx
    caddy = (ROOT / "deploy" / "Caddyfile").read_text()
    assert "max_size {$MAX_BODY_KB:1024}KiB" in caddy
    for text, name in ((nginx, "proxy_read_timeout"), (caddy, "response_header_timeout")):
        timeout = re.search(rf"{name} (\d+)s", text)
        assert timeout
        assert int(timeout[1]) > 30  # WEB_TIMEOUT


def test_a_file_may_be_longer_than_other_bodies(site: Proxy) -> None:
    """The proxies let it through to where files go in; what the site says of it is its own."""
    part = b"x" * 2_000_000
    for path in ("/compute/columns/upload/", "/compute/primes/start/"):
        status, reply = ask(site, path, body=part)
        assert "the body of a request may have" not in reply["detail"], (status, reply)


@pytest.mark.parametrize("site", ["caddy"], indirect=True)
def test_what_is_too_long_for_caddy_is_to_go_in_parts(site: Proxy) -> None:
    with contextlib.suppress(OSError):  # it may close before all is sent
        status, reply = ask(site, "/compute/columns/upload/", body=b"x" * 17_000_000)
        assert (status, "in parts of at most 16 MB" in reply["detail"]) == (413, True)
