"""The proxy before the web server: a slow or silent client holds none of its processes."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from compute.models import Run
from tests import database
from tests.processes import ROOT, Processes, free_port, wait_until

pytestmark = pytest.mark.proxy

HALVES = [
    "",
    "GET /sum-sync/?n=5 HTTP/1.1\r\nHost: local",
    "POST /sum-start/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nn=",
    "POST /sum-start/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nn=\r\n",
]


@pytest.fixture
def site(processes: Processes, tmp_path: Path) -> str:
    """nginx as deploy/nginx.conf has it, before a site as a host runs it."""
    _, web = processes.web(
        DEBUG="0",
        ALLOWED_HOSTS="localhost",
        DJANGO_SETTINGS_MODULE="tests.plain_static",
        WEB_CONCURRENCY="3",
        PROXIES="2",
        MAX_CLIENT_RUNS="1",
    )
    port = free_port()
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for here, there in (
        ("server web:8000;", f"server 127.0.0.1:{web.rpartition(':')[2]};"),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("/tmp/", f"{tmp_path}/"),  # noqa: S108 - what is replaced
    ):
        assert here in text
        text = text.replace(here, there)
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(text)
    tmp_path.chmod(0o711)  # nginx, started by root, becomes another user
    nginx = database.nginx()
    assert nginx
    log = str(tmp_path / "early.log")
    options = ("-p", str(tmp_path), "-e", log, "-c", str(configuration), "-g", "daemon off;")
    process = processes.start(nginx, *options)
    address = f"http://localhost:{port}"

    def answers() -> bool:
        assert process.popen.poll() is None, process.text() + Path(log).read_text()
        with contextlib.suppress(OSError), urlopen(f"{address}/healthz"):
            return True
        return False

    wait_until(answers)
    return address


def ask(address: str, forwarded: str = "203.0.113.7", **more: str) -> tuple[int, dict[str, str]]:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": forwarded, **more}
    try:
        with urlopen(Request(address, headers=headers), timeout=20) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_half_requests_hold_nobody_up(site: str) -> None:
    port = int(site.rpartition(":")[2])
    with ExitStack() as stack:
        for half in HALVES * 5:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(half.encode())
        for path in ("/healthz", "/sum-sync/?n=5", "/", "/sum-start/?n=5"):
            began = time.monotonic()
            status, _ = ask(f"{site}{path}")
            assert status == 200
            assert time.monotonic() - began < 10
    assert Run.objects.count() == 1


def test_a_client_is_told_apart_by_what_both_proxies_say(site: str) -> None:
    """The one before nginx saw the client, nginx saw that one; what the client says is ignored."""
    said = "1.1.1.1, 203.0.113.7:4711"
    assert ask(f"{site}/sum-start/?n=5", said)[0] == 200
    assert ask(f"{site}/sum-start/?n=5", said.replace("1.1.1.1", "2.2.2.2"))[0] == 429
    status, reply = ask(f"{site}/sum-start/?n=5", "203.0.113.8")
    assert (status, reply["task_progress"][:18]) == (200, "https://localhost:")


def test_what_is_too_long_goes_no_further(site: str) -> None:
    request = Request(f"{site}/sum-start/", data=b"n=" + b"1" * 2_000_000)
    request.add_header("X-Forwarded-Proto", "https")
    with pytest.raises(HTTPError) as error:
        urlopen(request, timeout=20)
    with error.value as reply:
        assert reply.code == 413
        assert "too long" in json.load(reply)["detail"]


def test_it_lets_through_what_the_site_takes() -> None:
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    example = (ROOT / ".env.example").read_text()
    assert re.search(r"^MAX_BODY_KB=1024$", example, re.M)
    assert "client_max_body_size 1m;" in text
    timeout = re.search(r"proxy_read_timeout (\d+)s;", text)
    assert timeout
    assert int(timeout[1]) > 30  # WEB_TIMEOUT
