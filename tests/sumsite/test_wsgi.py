from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from http.client import responses
from io import BytesIO
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper
from django.test import Client
from django.test.client import BOUNDARY, encode_multipart

from compute.models import Run, Upload
from compute.queue.contents import Content
from tests.processes import Processes
from tests.test_hostile import one_connection
from tests.uploads.data import csv, declared

TOO_LARGE = f"413 {responses[413]}"  # newer Pythons say "Content"
LIMIT = 1024 * 1024
FORM = "application/x-www-form-urlencoded"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
N = {"n": "1000", "m": "10"}


@pytest.fixture(autouse=True)
def it_is_loaded_anew() -> None:
    """Where a test that is not measured has loaded it, its lines did not count."""
    sys.modules.pop("sumsite.wsgi", None)


def ask(content_type: str, **more: Any) -> tuple[str, bytes]:
    """One request straight to what the web server calls: its status, and its body."""
    # Loading it looks for collected files, unless the settings are the tests' own.
    from sumsite.wsgi import application

    said: list[str] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], error: Any = None, /
    ) -> Callable[[bytes], object]:
        said.append(status)
        return print  # which WSGI wants, and nobody calls

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


@pytest.mark.parametrize("more", ["a*=nosuch''b", f"a*=nosuch''{'b' * 20_000}"])
def test_a_type_that_cannot_be_read_is_none(db: None, more: str) -> None:
    """Django's request would raise before any middleware could answer."""
    assert ask(f"text/plain; {more}") == ("200 OK", b'{"total": 55}')
    body = {"wsgi.input": BytesIO(b"n=10"), "CONTENT_LENGTH": "4", "REQUEST_METHOD": "POST"}
    status, said = ask(f"{FORM}; {more}", **body)
    assert (status, b"no form" in said) == ("415 Unsupported Media Type", True)
    status, said = ask(f"{FORM}; charset=\0", **{**body, "wsgi.input": BytesIO(b"n=10")})
    assert (status, b"in UTF-8" in said) == ("415 Unsupported Media Type", True)


@pytest.mark.parametrize("length", ["", "0", "x", "-1", "1e3", "٣", "9" * 30])
def test_no_length_breaks_a_request(db: None, length: str) -> None:
    status, _ = ask(FORM, CONTENT_LENGTH=length, REQUEST_METHOD="POST")
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

    def counted(self: DatabaseWrapper) -> bool:
        asked.append(1)
        return is_usable(self)

    monkeypatch.setattr(DatabaseWrapper, "is_usable", counted)
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
        more.pop("CONTENT_TYPE", FORM),
        **{
            "REQUEST_METHOD": "POST",
            "QUERY_STRING": "",
            "HTTP_TRANSFER_ENCODING": "Chunked",
            "wsgi.input": BytesIO(body),
            "wsgi.input_terminated": True,
            **more,
        },
    )


def test_a_body_in_chunks_is_read_up_to_the_limit(db: None) -> None:
    body = b"n=10&m=".ljust(LIMIT, b"x")
    assert in_chunks(body) == ("200 OK", b'{"total": 55}')
    endless = BytesIO(body + b"x" * LIMIT)
    assert in_chunks(b"", **{"wsgi.input": endless})[0] == TOO_LARGE
    assert endless.tell() == LIMIT + 1


@pytest.fixture
def one_db(db: None) -> Iterator[None]:
    """The database of several requests."""
    with one_connection():
        yield


class Broken(BytesIO):
    """A connection that is lost after these bytes."""

    def read(self, size: int | None = -1) -> bytes:
        if data := super().read(size):
            return data
        raise OSError


def test_chunks_that_can_not_be_read_are_refused(one_db: None) -> None:
    assert in_chunks(b"", **{"wsgi.input": Broken()})[0] == "400 Bad Request"
    # From a server that does not say where it ends, nothing is read.
    assert in_chunks(b"n=10", **{"wsgi.input_terminated": False})[0] == "400 Bad Request"


# --- a body that is cut off ---------------------------------------------------------------

START = "/compute/columns/start/"


def cut_off(reply: tuple[str, bytes]) -> bool:
    status, body = reply
    return status == "400 Bad Request" and b"only a part has come" in body and no_run_is_there()


def no_run_is_there() -> bool:
    return not Run.objects.exists() and not Upload.objects.exists()


def post(kind: str, sent: BytesIO, length: int, path: str, **more: str) -> tuple[str, bytes]:
    return ask(
        kind,
        REQUEST_METHOD="POST",
        PATH_INFO=path,
        QUERY_STRING="",
        CONTENT_LENGTH=str(length),
        **{"wsgi.input": sent, **more},
    )


@pytest.mark.parametrize("stream", [BytesIO, Broken])
@pytest.mark.parametrize("debug", [False, True])
def test_a_form_shorter_than_its_length_starts_nothing(
    one_db: None, settings: Any, stream: type[BytesIO], debug: bool
) -> None:
    settings.DEBUG = debug
    # Who has a session is asked for a token, which the form would have.
    names = settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME
    cookie = {} if debug else {"HTTP_COOKIE": "; ".join(f"{name}={'x' * 32}" for name in names)}
    for whole, kind in ((b"n=1000&m=10", FORM), (encode_multipart(BOUNDARY, N), MULTIPART)):
        for came in (0, 1, 6, len(whole) - 1):
            sent = stream(whole[:came])
            assert cut_off(post(kind, sent, len(whole), "/sum-start/", **cookie)), (kind, came)
        assert post(kind, BytesIO(whole), len(whole), "/sum-sync/")[0] == "200 OK"
        more = BytesIO(whole + b"&n=x")
        assert post(kind, more, len(whole), "/sum-sync/")[0] == "200 OK"


def test_a_multipart_form_without_its_last_boundary_starts_nothing(
    one_db: None, declare: Any, settings: Any
) -> None:
    """Also where its length says no more, and where a file in it is put aside on the disk."""
    declared(declare)
    file = SimpleUploadedFile("a.csv", csv(40_000))
    whole = encode_multipart(BOUNDARY, {"chunk_size": "500000", "file": file})
    assert len(whole) > 2 * LIMIT
    for came in (len(whole) - 4, len(whole) // 2, 200, 20):
        assert cut_off(post(MULTIPART, BytesIO(whole[:came]), came, START)), came
        assert cut_off(post(MULTIPART, BytesIO(whole[:came]), len(whole), START)), came
    small = encode_multipart(BOUNDARY, N)
    other = MULTIPART.replace(BOUNDARY, "other")
    assert cut_off(post(other, BytesIO(small), len(small), "/sum-start/"))
    assert post(MULTIPART, BytesIO(whole), len(whole), START)[0] == "200 OK"
    assert Upload.objects.get().size == file.size


def test_a_form_in_chunks_that_are_cut_off_starts_nothing(one_db: None) -> None:
    for sent in (b"", b"n=1000", b"n=1000".ljust(100_000, b"&")):
        reply = in_chunks(b"", **{"wsgi.input": Broken(sent), "PATH_INFO": "/sum-start/"})
        assert cut_off(reply), len(sent)


def test_a_file_in_chunks_over_the_limit_starts_nothing(one_db: None, declare: Any) -> None:
    declared(declare)
    file = SimpleUploadedFile("a.csv", csv(25_000))
    for fields in ({"chunk_size": "500000", "file": file}, {"file": file, "chunk_size": "500000"}):
        whole = encode_multipart(BOUNDARY, fields)
        file.seek(0)
        status, body = in_chunks(whole, CONTENT_TYPE=MULTIPART, PATH_INFO=START)
        assert status == TOO_LARGE
        assert b"send its length with it (Content-Length)" in body
        assert no_run_is_there()


def test_a_part_of_an_upload_in_chunks_is_not_taken_for_whole_if_it_is_not(
    db: None, declare: Any
) -> None:
    declared(declare)
    about = {"name": "a.csv", "size": str(3 * LIMIT)}
    at = Client().post("/compute/columns/upload/", about).json()["at"]
    path = at.removeprefix("http://testserver")

    def append(sent: BytesIO, offset: int) -> tuple[str, bytes]:
        part = {"REQUEST_METHOD": "PATCH", "HTTP_UPLOAD_OFFSET": str(offset), "PATH_INFO": path}
        return in_chunks(b"", REMOTE_ADDR="127.0.0.1", **{**part, "wsgi.input": sent})

    with one_connection():
        status, body = append(BytesIO(b"x" * 2 * LIMIT), 0)
        assert status == TOO_LARGE
        assert b"nothing of this one is kept" in body
        assert Content.objects.get().size == 0
        status, body = append(Broken(b"x" * 100_000), 0)
        assert status == "408 Request Timeout"
        assert b"go on at byte 100000" in body
        assert Content.objects.get().size == 100_000
        assert append(BytesIO(b"x" * LIMIT), 100_000)[0] == "200 OK"
        assert Content.objects.get().size == 100_000 + LIMIT
