"""How an output is sent: whole, in ranges, and not again."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest
from django.http import HttpResponseBase
from pytest_django import Settings

from compute.models import Output
from compute.models.keeping import held
from compute.shapes import SVG, File, Picture
from compute.web.sending import (
    NotThere,
    Reply,
    disposition,
    range_of,
    sent,
)
from tests.test_shapes import PNG
from tests.web.test_base import asking

DATA = bytes(range(256)) * 10


def reply(result: Any = DATA, format_: str = "file") -> Reply:
    (output,) = held(result)
    return Reply(output, format_, "text/x-test", "data.bin", attached=True)


def body(response: HttpResponseBase) -> bytes:
    return b"".join(cast(Iterable[bytes], response))


# --- ranges -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("bytes=0-", (0, 100)),
        ("bytes=5-9", (5, 10)),
        ("bytes = 5 - 9", (5, 10)),
        ("bytes=5-999", (5, 100)),
        ("bytes=99-", (99, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-999", (0, 100)),
        ("bytes=-0", (100, 100)),
        ("bytes=100-", (100, 100)),
        ("bytes=200-300", (200, 100)),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("bytes=1-2,5-6", None),
        ("lines=1-2", None),
        ("bytes=a-b", None),
        ("bytes=١-٢", None),
        ("bytes=" + "9" * 40 + "-", None),
    ],
)
def test_a_range_is_read(text: str, found: Any) -> None:
    assert range_of(text, 100) == found


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=100-", 100, 2560), ("bytes=-5", 2555, 2560)],
)
def test_a_range_is_sent(text: str, start: int, stop: int) -> None:
    response = sent(asking(range=text), reply())
    assert response.status_code == 206
    assert body(response) == DATA[start:stop]
    assert response["Content-Range"] == f"bytes {start}-{stop - 1}/2560"
    assert response["Content-Length"] == str(stop - start)
    assert response["Accept-Ranges"] == "bytes"


def test_what_has_come_is_not_sent_again() -> None:
    etag = reply().etag
    response = sent(asking(range="bytes=2000-", if_range=etag), reply())
    assert (response.status_code, body(response)) == (206, DATA[2000:])
    for other in ('"another"', f"W/{etag}", "Thu, 26 Nov 2026 13:00:00 GMT"):
        response = sent(asking(range="bytes=2000-", if_range=other), reply())
        assert (response.status_code, body(response)) == (200, DATA)


def test_a_range_of_nothing_is_refused() -> None:
    with pytest.raises(NotThere) as refused:
        sent(asking(range="bytes=2560-"), reply())
    assert refused.value.status == 416
    assert refused.value.headers == {"Content-Range": "bytes */2560"}
    with pytest.raises(NotThere):
        sent(asking(range="bytes=0-"), reply(b""))


@pytest.mark.parametrize(
    ("format_", "data"),
    [("json", b"[1,2,3]"), ("csv", b"\xef\xbb\xbfx,y\r\n0,1\r\n1,2\r\n2,3\r\n")],
)
def test_what_is_made_can_be_resumed(format_: str, data: bytes) -> None:
    made = reply([1, 2, 3], format_)
    first = sent(asking(), made)
    assert (first.status_code, body(first)) == (200, data)
    assert (first["Accept-Ranges"], first["Content-Length"]) == ("bytes", str(len(data)))
    rest = sent(asking(range="bytes=4-", if_range=made.etag), made)
    assert (rest.status_code, body(rest)) == (206, data[4:])
    assert rest["Content-Range"] == f"bytes 4-{len(data) - 1}/{len(data)}"


@pytest.mark.parametrize("format_", ["csv", "json"])
def test_what_takes_too_long_to_make_is_refused(settings: Settings, format_: str) -> None:
    settings.WEB_TIMEOUT = 1e-9
    with pytest.raises(NotThere) as refused:
        sent(asking(), reply({"too": ["late", "!"]}, format_))
    assert refused.value.status == 503
    assert f"no time or room to make {format_} of this; take jsonl or file" in str(refused.value)


def test_what_is_removed_while_it_is_measured_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Output, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        raise LookupError("part 2 of a result has been removed")

    monkeypatch.setattr(Output, "read", read)
    with pytest.raises(NotThere, match="part 2") as refused:
        sent(asking(), reply([{"just": "removed"}], "csv"))
    assert refused.value.status == 404


# --- whole --------------------------------------------------------------------------------


def test_the_whole_is_sent() -> None:
    response = sent(asking(), reply())
    assert (response.status_code, body(response)) == (200, DATA)
    assert response["Content-Length"] == "2560"
    assert response["Content-Type"] == "text/x-test"
    assert response["Content-Disposition"] == 'attachment; filename="data.bin"'
    assert response["Cache-Control"] == "private, no-cache, no-transform"
    assert response["ETag"] == reply().etag


@pytest.mark.parametrize("format_", ["file", "json"])
def test_head_has_the_headers_alone(format_: str) -> None:
    request = asking(range="bytes=0-1")
    request.method = "HEAD"
    response = sent(request, reply([1, 2, 3], format_))
    assert response.status_code == 200
    assert body(response) == b""
    assert response["ETag"] == reply([1, 2, 3], format_).etag
    assert response["Content-Length"] == {"file": "18", "json": "7"}[format_]


def test_an_etag_is_of_the_bytes_and_the_format() -> None:
    tags = {reply(data, "file").etag for data in (b"a", b"b")}
    tags |= {reply([1, 2, 3], name).etag for name in ("file", "json", "csv")}
    assert len(tags) == 5
    assert reply().etag == reply().etag


def test_what_has_not_changed_is_not_sent() -> None:
    for text in (reply().etag, "*", f'"other", {reply().etag}', f"W/{reply().etag}"):
        response = sent(asking(if_none_match=text), reply())
        assert response.status_code == 304
        assert response["ETag"] == reply().etag
        assert response["Cache-Control"] == "private, no-cache, no-transform"
    assert sent(asking(if_none_match='"other"'), reply()).status_code == 200
    assert sent(asking(if_match='"other"'), reply()).status_code == 412


@pytest.mark.parametrize(
    "made",
    [
        Picture(PNG),
        Picture(b"<svg onload='alert(1)'/>", SVG),
        File(b"<script>", media_type="text/html"),
    ],
)
def test_what_an_author_made_is_in_a_sandbox(made: Any) -> None:
    response = sent(asking(), reply(made))
    assert response["Content-Security-Policy"] == (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    )


def test_what_we_made_has_the_sites_own_policy() -> None:
    assert "Content-Security-Policy" not in sent(asking(), reply([1, 2, 3], "json"))


@pytest.mark.parametrize(
    ("name", "attached", "header"),
    [
        ("a.csv", True, 'attachment; filename="a.csv"'),
        ("a.png", False, 'inline; filename="a.png"'),
        ("Größe.csv", True, "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.csv"),
        ("a\r\nb/../c", True, 'attachment; filename="a_b_.._c"'),
    ],
)
def test_a_files_name_is_told_a_browser(name: str, attached: bool, header: str) -> None:
    assert disposition(name, attached) == header


def test_nothing_is_made_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Output, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        asked.append(start)
        yield io.BytesIO(DATA).read()

    asked: list[int] = []
    monkeypatch.setattr(Output, "read", read)
    response = sent(asking(), reply())
    assert asked == []
    body(response)
    assert asked == [0]
