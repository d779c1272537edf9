"""A request's memory is bounded: what is too long gets 413, what is long enough works."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from io import BytesIO
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import SkipFile
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.test.client import BOUNDARY, encode_multipart

from compute.models import Run, Upload
from compute.queue.contents import Content
from compute.web.bodies import NO_FORM, NO_UTF_8, PutAside, too_large
from tests.addresses import nothing_started
from tests.processes import Processes, wait_until
from tests.uploads.data import csv, declared

pytestmark = pytest.mark.once

FORM = "application/x-www-form-urlencoded"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
JSON = "application/json"
LIMIT = 1024 * 1024
ADDRESSES = ["/", "/sum-start/", "/sum-sync/", "/compute/sum/cancel/", "/login/", "/admin/login/"]


def test_a_body_as_long_as_may_be_is_taken_and_a_byte_more_is_not(db: None) -> None:
    body = b"n=10&more=".ljust(LIMIT, b"x")
    assert Client().post("/sum-sync/", body, content_type=FORM).json() == {"total": 55}
    reply = Client().post("/sum-sync/", body + b"x", content_type=FORM)
    assert reply.status_code == 413
    assert reply.json() == {"detail": "This is too long: a request's body may have 1,024 KB."}


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "patch"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_refuses_by_what_the_length_says(
    db: None, browser_client: Client, address: str, method: str
) -> None:
    for length in (str(LIMIT + 1), "2097152000", "9" * 30, "9" * 5000, "0" * 4400 + "1048577"):
        reply = getattr(Client(), method)(address, CONTENT_LENGTH=length)
        page = getattr(browser_client, method)(address, CONTENT_LENGTH=length)
        assert reply.status_code == page.status_code == 413
        assert list(reply.json()) == ["detail"]
        assert reply.json()["detail"].replace("'", "&#x27;") in page.content.decode()
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "address",
    [
        *("/sum-sync/", "/split-sum-start/", "/compute/primes/start/", "/compute/primes/estimate/"),
        *("/compute/sum/again/", "/compute/sum/share/", "/compute/sum/note/", "/nodes/pause/"),
    ],
)
@pytest.mark.parametrize("kind", [JSON, "text/plain", ""])
def test_a_body_that_is_no_form_is_refused(
    db: None, browser_client: Client, address: str, kind: str
) -> None:
    """It would count as a form with everything left out."""
    with nothing_started():
        reply = Client().post(f"{address}?n=10", b'{"n": 10}', content_type=kind)
        page = browser_client.post(f"{address}?n=10", b'{"n": 10}', content_type=kind)
    assert reply.status_code == page.status_code == 415
    assert reply.json() == {"detail": NO_FORM}
    assert "curl -d" in page.content.decode()


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", [FORM, MULTIPART])
@pytest.mark.parametrize("charset", ["utf-16", "utf-7", "latin-1", "nosuch"])
def test_a_form_in_another_charset_is_refused_before_it_is_read(
    db: None,
    browser_client: Client,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    charset: str,
    kind: str,
    debug: bool,
) -> None:
    """Django would raise whenever its fields are asked for, and its page of errors asks again."""
    settings.DEBUG = debug
    monkeypatch.setattr(HttpRequest, "_load_post_and_files", None)  # nothing calls it
    body = b"n=10" if kind == FORM else encode_multipart(BOUNDARY, {"n": "10"})
    said = f"{kind}; charset={charset}"
    with nothing_started():
        for address in ("/sum-start/", "/login/", "/nowhere/"):
            reply = Client().generic("POST", address, body, content_type=said)
            assert (reply.status_code, reply.json()) == (415, {"detail": NO_UTF_8})
        page = browser_client.generic("POST", "/sum-start/", body, content_type=said)
        assert page.status_code == 415


@pytest.mark.parametrize("charset", ["UTF-8", "utf8", '"utf-8"', "us-ascii", ""])
def test_a_form_that_is_said_to_be_in_utf_8_is_taken(db: None, charset: str) -> None:
    for kind in (FORM, MULTIPART):
        body = b"n=10" if kind == FORM else encode_multipart(BOUNDARY, {"n": "10"})
        said = f"{kind}; charset={charset}"
        reply = Client().generic("POST", "/sum-sync/", body, content_type=said)
        assert reply.json() == {"total": 55}


def test_an_address_is_read_in_utf_8_whatever_its_body_is_in(db: None) -> None:
    for kind in (FORM, "text/plain"):
        said = f"{kind}; charset=utf-16"
        reply = Client().generic("GET", "/sum-sync/?n=%31%30", content_type=said, CONTENT_TYPE=said)
        assert reply.json() == {"total": 55}


def test_an_empty_body_or_one_that_nobody_reads_is_of_any_kind(db: None) -> None:
    assert Client().post("/sum-sync/?n=10", b"", content_type=JSON).json() == {"total": 55}
    assert Client().generic("GET", "/sum-sync/?n=10", b"{}", content_type=JSON).json() == {
        "total": 55
    }
    for address, status in (("/nodes/", 405), ("/nowhere/", 404), ("/admin/login/", 200)):
        assert Client().post(address, b"{}", content_type=JSON).status_code == status


@pytest.mark.thorough
def test_a_long_parameter_works_by_post_where_a_short_one_does(db: None) -> None:
    digits = "0" * 100_000 + "10"  # leading zeros are fine
    for kind in (FORM, MULTIPART):
        body = f"n={digits}" if kind == FORM else encode_multipart(BOUNDARY, {"n": digits})
        assert Client().post("/sum-sync/", body, content_type=kind).json() == {"total": 55}
        reply = Client().post("/split-sum-start/", body, content_type=kind)
        assert reply.status_code == 200, reply.content
    assert Run.objects.filter(parameters__n=10).count() == 2


@pytest.mark.thorough
@pytest.mark.parametrize("kind", [FORM, MULTIPART])
def test_too_many_fields_are_bad_input(db: None, admin: Client, kind: str) -> None:
    fields = {"n": "10", **{f"field{number}": "" for number in range(2000)}}
    body = "&".join(f"{name}={value}" for name, value in fields.items())
    data = body if kind == FORM else encode_multipart(BOUNDARY, fields)
    for client in (Client(), admin):
        for address in ("/sum-start/", "/login/", "/admin/compute/run/"):
            assert client.post(address, data, content_type=kind).status_code in (302, 400)
    assert not Run.objects.exists()


def test_files_are_left_out_and_the_fields_beside_them_are_not(db: None) -> None:
    """Also one that is transferred as base64, and fields after it."""
    file = "".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; name={each}\r\n\r\n{value}\r\n"
        for each, value in (
            ('"file"; filename="a.bin"', "x" * 300_000),
            ('"other"; filename="b.bin"\r\nContent-Transfer-Encoding: base64', "eHh4" * 30_000),
            ('"n"', "10"),
        )
    )
    reply = Client().post("/sum-sync/", f"{file}--{BOUNDARY}--\r\n", content_type=MULTIPART)
    assert reply.json() == {"total": 55}


def test_what_takes_a_file_takes_a_longer_body(db: None, declare: Any, settings: Any) -> None:
    declared(declare)
    settings.MAX_UPLOAD_MB = 2
    address = "/compute/columns/start/"
    data = csv(25_000)  # over 1 MB, which MAX_BODY_KB allows
    assert len(data) > LIMIT

    def post(where: str, **more: Any) -> Any:
        sent = {"file": SimpleUploadedFile("a.csv", data), "chunk_size": "500000"}
        return Client().post(where, sent, **more)

    assert post(address).status_code == 200
    assert Upload.objects.get().size == len(data)
    assert b"".join(Content.objects.get().read()) == data
    for length in (3 * LIMIT + 1, 10**20):
        reply = post(address, CONTENT_LENGTH=str(length))
        assert reply.status_code == 413
        assert reply.json() == {"detail": too_large()}
    form = f"file=x&more={'x' * LIMIT}"
    assert Client().post(address, form, content_type=FORM).status_code == 413, "it has no file"
    assert post("/compute/primes/start/").status_code == 413
    assert post("/nowhere/").status_code == 413
    settings.MAX_UPLOAD_MB = 0
    assert post(address).status_code == 413


def test_a_request_that_nobody_knows_has_its_files_left_out() -> None:
    with pytest.raises(SkipFile):
        PutAside().new_file("file", "a.csv", "text/csv", None)


def test_the_parser_reads_in_small_steps(rf: RequestFactory) -> None:
    """Without a handler it would read 2 GB at once: as much as the server has."""
    steps: list[int] = []

    class Body(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            steps.append(size or -1)
            return b""

    request = rf.post("/", data=b"x", content_type=MULTIPART, CONTENT_LENGTH="2000000000")
    request._stream = Body()
    assert not request.POST
    assert steps
    assert max(steps) <= 2**16
    assert min(steps) > 0


# --- over a socket ------------------------------------------------------------------------


@pytest.fixture
def site(processes: Processes) -> tuple[Any, str]:
    return processes.web(WEB_CONCURRENCY="2")


def memory(web: Any) -> int:
    """Bytes that the web server's processes have, of their own."""
    return sum(process.memory_info().rss for process in web.family())


def upload(site: str, size: int, head: str, start: bytes) -> bytes:
    """Send a body piece by piece, as long as nothing is answered; what is."""
    where = site.removeprefix("http://").partition(":")
    piece, sent = b"x" * 2**18, len(start)
    with socket.create_connection((where[0], int(where[2])), timeout=20) as connection:
        connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode() + start)
        while sent < size and not select.select([connection], [], [], 0)[0]:
            sent += connection.send(piece)
        reply = b""
        while part := connection.recv(2**16):
            reply += part
    return reply


def test_two_gigabytes_are_refused_unread_and_take_no_memory(site: tuple[Any, str]) -> None:
    web, address = site
    with urlopen(f"{address}/healthz"):
        before = peak = memory(web)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, memory(web))

    watching = threading.Thread(target=watch)
    watching.start()
    multipart = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="n"'
    for kind, start in (
        (FORM, b"n="),
        (MULTIPART, f"{multipart}\r\n\r\n".encode()),
        (MULTIPART, f'{multipart}; filename="a"\r\n\r\n'.encode()),
    ):
        head = f"POST /sum-start/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        for _ in range(3):
            reply = upload(address, 2_000_000_000, head, start)
            assert reply.startswith(b"HTTP/1.1 413 "), reply[:200]
            assert b'{"detail": "This is too long' in reply
    done.set()
    watching.join()
    print(f"web processes: {before / 1e6:.0f} MB before, {peak / 1e6:.0f} at most meanwhile")
    assert peak - before < 40e6
    assert not Run.objects.exists()


def test_who_sends_it_all_before_reading_is_told_too(site: tuple[Any, str]) -> None:
    _, address = site
    request = Request(f"{address}/sum-start/", data=b"n=" + b"1" * 20_000_000)
    with pytest.raises(HTTPError) as error:
        urlopen(request, timeout=20)
    assert error.value.code == 413
    error.value.close()


def test_a_body_in_chunks_is_read_as_far_as_it_may_go(site: tuple[Any, str]) -> None:
    """It says no length; Django would take it for empty."""
    web, address = site
    where = address.removeprefix("http://")

    def ask(pieces: Any, kind: str = FORM) -> tuple[int, Any]:
        connection = HTTPConnection(where, timeout=20)
        headers = {"Content-Type": kind}
        connection.request("POST", "/sum-sync/", pieces, headers, encode_chunked=True)
        reply = connection.getresponse()
        found = reply.status, json.load(reply)
        connection.close()
        return found

    def endless() -> Iterator[bytes]:
        yield b"n="
        for _ in range(20):
            yield b"1" * 2**18

    assert ask(iter([b"n=", b"1", b"0"])) == (200, {"total": 55})
    data = encode_multipart(BOUNDARY, {"n": "10"})
    assert ask(iter([data[:20], data[20:]]), MULTIPART) == (200, {"total": 55})
    before = memory(web)
    assert ask(endless())[0] == 413
    assert memory(web) - before < 20e6


def test_chunks_that_are_none_harm_nobody(site: tuple[Any, str]) -> None:
    web, address = site
    where = address.removeprefix("http://").partition(":")
    head = (
        f"POST /sum-sync/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    for body in ("zzz\r\n", "5\r\nn=", "-1\r\nn=10\r\n0\r\n\r\n", "f" * 40 + "\r\n"):
        with socket.create_connection((where[0], int(where[2])), timeout=20) as connection:
            connection.sendall((head + body).encode())
            connection.shutdown(socket.SHUT_WR)
            reply = connection.recv(2**16)
        assert not reply or reply.split()[1] == b"400", reply
    assert "Traceback" not in web.text()


def test_a_form_whose_line_is_cut_starts_nothing(site: tuple[Any, str]) -> None:
    web, address = site
    where = address.removeprefix("http://").partition(":")
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="n"\r\n\r\n1000\r\n'
    for kind, said, body in (
        (FORM, "Content-Length: 11", "n=1000"),
        (FORM, "Transfer-Encoding: chunked", "6\r\nn=1000\r\n"),
        (MULTIPART, "Content-Length: 200", f"{field}--{BOUNDARY}\r\n"),
        (MULTIPART, f"Content-Length: {len(field)}", field),
    ):
        head = f"POST /sum-start/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{said}"
        with socket.create_connection((where[0], int(where[2])), timeout=20) as connection:
            connection.sendall(f"{head}\r\n\r\n{body}".encode())
            connection.shutdown(socket.SHUT_WR)
            reply = b"".join(iter(lambda: connection.recv(2**16), b""))
        assert reply.startswith(b"HTTP/1.1 400 "), (kind, said, reply)
        assert b"only a part has come; send it again" in reply
    assert "Traceback" not in web.text()
    assert not Run.objects.exists()


def test_a_client_that_keeps_silent_after_the_refusal_is_let_go(site: tuple[Any, str]) -> None:
    _, address = site
    where = address.removeprefix("http://").partition(":")
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 * LIMIT}\r\n\r\n"
    with socket.create_connection((where[0], int(where[2])), timeout=20) as connection:
        connection.sendall(head.encode())
        began = time.monotonic()
        wait_until(lambda: not connection.recv(2**16), 10)
        assert time.monotonic() - began < 5
