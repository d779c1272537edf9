"""Uploads in parts: exact or refused with a sentence, whoever sends what, and from where."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client

from compute.models import Run, Upload
from compute.queue import appending, room
from compute.queue.contents import PART_BYTES, Content, remove
from compute.web import uploads
from compute.web.arriving import body
from tests.conftest import run_jobs
from tests.hostile import NASTY
from tests.uploads.data import csv, declared, stored, totals

BEGIN = "/compute/columns/upload/"
START = "/compute/columns/start/"
DATA = csv(30_000)  # more than two parts
HTML = {"accept": "text/html"}


@pytest.fixture(autouse=True)
def columns(db: None, declare: Any) -> None:
    declared(declare)


def begin(client: Client, size: int = len(DATA), **more: Any) -> Any:
    reply = client.post(BEGIN, {"name": "data.csv", "size": size, "type": "text/csv", **more})
    assert reply.status_code == 201, reply.content
    return reply.json()


def send(client: Client, at: str, offset: int | str, data: bytes, **more: Any) -> Any:
    headers = {"Upload-Offset": str(offset)}
    return client.patch(at, data, "application/octet-stream", headers=headers, **more)


def detail(reply: Any, status: int) -> str:
    assert reply.status_code == status, reply.content
    assert list(reply.json()) == ["detail"]
    return str(reply.json()["detail"])


def content() -> Content:
    return Content.objects.get()


# --- to its end ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [len(DATA), PART_BYTES, 100_000, 7 * PART_BYTES // 5])
def test_it_arrives_exactly_whatever_its_parts_are(size: int) -> None:
    client = Client()
    begun = begin(client)
    at = begun["at"]
    upload = Upload.objects.get()
    assert begun == {
        "upload": upload.pk,
        "name": "data.csv",
        "size": len(DATA),
        "offset": 0,
        "complete": False,
        "at": f"http://testserver{BEGIN}{upload.pk}/",
    }
    for offset in range(0, len(DATA), size):
        assert client.head(at)["Upload-Offset"] == str(offset)
        reply = send(client, at, offset, DATA[offset : offset + size])
        assert reply.status_code == 200, reply.content
    assert reply.json() == {**begun, "offset": len(DATA), "complete": True} == client.get(at).json()
    assert (reply["Upload-Offset"], reply["Upload-Length"]) == (str(len(DATA)), str(len(DATA)))
    assert content().digest == hashlib.sha256(DATA).hexdigest()
    assert b"".join(content().read()) == DATA
    assert client.post(START, {"file": upload.pk, "chunk_size": "100000"}).status_code == 200
    run_jobs()
    assert Run.objects.get().result == totals(30_000)


def test_its_address_is_told_in_a_header_too() -> None:
    reply = Client().post(BEGIN, {"size": 5})
    assert reply["Location"] == reply.json()["at"]
    assert (reply["Upload-Offset"], reply["Upload-Length"]) == ("0", "5")
    assert reply["Cache-Control"] == "no-store"


def test_one_of_no_bytes_is_complete_at_once_and_one_of_a_byte_with_that() -> None:
    client = Client()
    assert begin(client, 0)["complete"]
    begun = begin(client, 1)
    assert not begun["complete"]
    assert send(client, begun["at"], 0, b"x").json()["complete"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("größe.csv", "größe.csv"),
        ('say "no".csv', "say _no_.csv"),
        ("../../x.csv", "x.csv"),
        ("a\r\nSet-Cookie: b.csv", "a_Set-Cookie_ b.csv"),
        ("x" * 300 + ".csv", "x" * 196 + ".csv"),
        ("\0", "upload.bin"),
        (".", "upload.bin"),
        ("..", "upload.bin"),
        (" ", "upload.bin"),
        ("", "upload.bin"),
    ],
)
def test_odd_names_come_out_safe(name: str, kept: str) -> None:
    reply = Client().post(BEGIN, {"name": name, "size": 1})
    assert reply.json()["name"] == kept
    assert Upload.objects.get().name == kept


# --- refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["", "-1", "x", "1e9", "1.5", "٣", "-" + "9" * 16])
def test_a_size_has_to_be_a_number(size: str) -> None:
    say = "Give the size of the file in bytes as `size`."
    assert detail(Client().post(BEGIN, {"name": "a", "size": size}), 400) == say


def test_one_over_the_limit_is_refused_before_it_comes(settings: Any) -> None:
    settings.MAX_UPLOAD_MB = 1
    assert begin(Client(), 1024 * 1024)
    refused = Client().post(BEGIN, {"name": "a", "size": 1024 * 1024 + 1})
    assert "a file may have 1 MB here" in detail(refused, 413)
    for size in (10**15, 10**30):
        assert detail(Client().post(BEGIN, {"size": size}), 413) == refused.json()["detail"]
    page = Client().post(BEGIN, {"size": 1024 * 1024 + 1}, headers=HTML)
    assert page.status_code == 413
    assert "a file may have 1 MB here" in page.content.decode()


def test_a_site_without_uploads_says_so(settings: Any) -> None:
    settings.MAX_UPLOAD_MB = 0
    assert "takes no files" in detail(Client().post(BEGIN, {"size": 1}), 404)


@pytest.mark.parametrize("name", ["primes", "gone"])
def test_what_takes_no_file_takes_no_upload(name: str) -> None:
    reply = Client().post(f"/compute/{name}/upload/", {"size": 1})
    assert detail(reply, 404) == "No computation of this name takes a file."


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head"])
def test_other_methods_are_refused(method: str) -> None:
    assert getattr(Client(), method)(BEGIN).status_code == 405
    at = begin(Client())["at"]
    assert Client().post(at).status_code == Client().delete(at).status_code == 405


def test_a_wrong_offset_is_told_the_right_one() -> None:
    client = Client()
    at = begin(client)["at"]
    send(client, at, 0, DATA[:1000])
    for offset in (0, 999, 1001, 10**14):
        reply = send(client, at, offset, b"x")
        assert detail(reply, 409) == "This upload has 1,000 bytes; go on at byte 1000."
        assert reply["Upload-Offset"] == "1000"
    for said in ("", "x", "-1", "1.0", "9" * 16):
        reply = send(client, at, said, b"x")
        assert "in the header Upload-Offset" in detail(reply, 400)
    assert b"".join(content().read()) == DATA[:1000]


def test_more_than_was_said_is_refused() -> None:
    client = Client()
    at = begin(client, 10)["at"]
    assert detail(send(client, at, 0, b"x" * 11), 413) == (
        "This upload lacks 10 bytes, and the part has 11."
    )
    assert send(client, at, 0, b"x" * 10).json()["complete"]
    assert send(client, at, 10, b"").json()["complete"], "nothing more is nothing wrong"
    assert detail(send(client, at, 10, b"x"), 413) == (
        "This upload is complete, and takes no more bytes."
    )
    at = begin(client, 1)["at"]
    assert detail(send(client, at, 0, b"xy"), 413) == (
        "This upload lacks 1 byte, and the part has 2."
    )


def test_a_part_that_is_cut_off_is_kept_as_far_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    at = begin(client)["at"]
    with monkeypatch.context() as cut:
        cut.setattr(uploads, "body", lambda request: iter([DATA[:700_000]]))
        reply = send(client, at, 0, DATA[:900_000])
    assert detail(reply, 408) == (
        "Of this part 700,000 bytes came in time, and are kept; go on at byte 700000, in smaller "
        "parts."
    )
    assert reply["Upload-Offset"] == "700000"
    assert b"".join(content().read()) == DATA[:700_000]
    assert send(client, at, 700_000, DATA[700_000:]).json()["complete"]
    assert b"".join(content().read()) == DATA


def test_who_writes_at_the_same_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    at = begin(client)["at"]
    arriving = body

    def overtaken(request: Any) -> Any:
        yield from arriving(request)
        monkeypatch.setattr(uploads, "body", arriving)
        assert send(client, at, 0, DATA[:600_000]).status_code == 200

    monkeypatch.setattr(uploads, "body", overtaken)
    reply = send(client, at, 0, b"x" * 1000)
    assert detail(reply, 409) == "This upload has 600,000 bytes; go on at byte 600000."
    assert b"".join(content().read()) == DATA[:600_000]


def test_a_process_that_died_before_it_said_that_all_is_there_is_made_up_for() -> None:
    client = Client()
    begun = begin(client, 10)
    appending.append(content(), [b"0123456789"])
    assert not Upload.objects.stored([begun["upload"]])
    assert client.head(begun["at"])["Upload-Offset"] == "10"
    assert Upload.objects.stored([begun["upload"]])


def test_one_that_is_removed_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    at = begin(client, 1000)["at"]

    def removing(request: Any) -> Any:
        remove([content().pk])
        yield b"x"

    monkeypatch.setattr(uploads, "body", removing)
    say = "No upload of yours has this id, or it is removed; begin another."
    assert detail(send(client, at, 0, b"x"), 404) == say
    assert detail(client.get(at), 404) == say
    assert detail(send(client, at, 0, b"x"), 404) == say
    Upload.objects.all().delete()
    assert detail(client.get(at), 404) == say
    assert detail(client.get(f"{BEGIN}{'0' * 32}/"), 404) == say
    assert client.get(at, headers=HTML).status_code == 404


def test_another_s_is_unknown() -> None:
    at = begin(Client())["at"]
    stranger = Client(headers={"X-Forwarded-For": "192.0.2.77"})
    assert detail(stranger.get(at), 404) == detail(send(stranger, at, 0, b"x"), 404)
    assert content().size == 0


def test_a_full_site_takes_nothing_more(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    client = Client()
    at = begin(client)["at"]
    monkeypatch.setattr(room, "used", lambda: 1.0)
    for reply in (client.post(BEGIN, {"size": 1}), send(client, at, 0, b"x")):
        assert "The site is full" in detail(reply, 429)
        assert reply["Retry-After"] == "3600"
    monkeypatch.setattr(room, "used", lambda: 0.0)
    settings.MAX_CLIENT_UPLOAD_MB = 3
    assert "Your address may keep 3 MB of uploads" in detail(
        client.post(BEGIN, {"size": 2_000_000}), 429
    )
    assert Upload.objects.count() == 1


def test_a_session_needs_a_token_to_change_something(settings: Any) -> None:
    User.objects.create_user("ann", password="ann-password")
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get())
    assert client.post(BEGIN, {"size": 1}).status_code == 403
    client.get("/compute/columns/", headers=HTML)
    token = {"X-CSRFToken": client.cookies[settings.CSRF_COOKIE_NAME].value}
    reply = client.post(BEGIN, {"size": 1}, headers={**token, "HX-Request": "true"})
    assert reply.status_code == 201
    at = reply.json()["at"]
    assert send(client, at, 0, b"x").status_code == 403
    reply = client.patch(at, b"x", headers={**token, "Upload-Offset": "0"})
    assert reply.json()["complete"]


def test_a_page_without_a_session_gets_one_and_goes_on_from_another_address(settings: Any) -> None:
    phone = Client(enforce_csrf_checks=True)
    reply = phone.post(BEGIN, {"size": 2}, headers={"HX-Request": "true"})
    at, token = reply.json()["at"], {"X-CSRFToken": reply["X-CSRFToken"]}
    assert {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME} <= phone.cookies.keys()
    assert send(phone, at, 0, b"x").status_code == 403
    elsewhere = {"X-Forwarded-For": "192.0.2.77", **token}
    reply = phone.patch(at, b"x", headers={**elsewhere, "Upload-Offset": "0"})
    assert reply.json()["offset"] == 1
    stranger = Client()
    assert stranger.get(at, headers=elsewhere).status_code == 404
    again = phone.post(BEGIN, {"size": 2}, headers={"HX-Request": "true", **token})
    assert again.status_code == 201
    assert len(set(Upload.objects.values_list("client", flat=True))) == 1
    assert "X-CSRFToken" not in Client().post(BEGIN, {"size": 2})


def test_another_site_s_page_changes_nothing() -> None:
    at = begin(Client())["at"]
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Upload-Offset": "0"}
    assert Client().patch(at, b"x", headers=foreign).status_code == 403


@pytest.mark.thorough
def test_whatever_is_said_none_of_it_is_an_error_of_the_site_s(run: Run) -> None:
    client = Client()
    at = begin(client)["at"]
    for text in NASTY:
        about = urlencode({"name": text, "size": text, "type": text}, errors="replace")
        reply = client.post(BEGIN, about, content_type="application/x-www-form-urlencoded")
        assert reply.status_code in (201, 400, 413), (text, reply.content)
        query = urlencode({"task_id": run.task_id, "file": text}, errors="replace")
        assert client.get(f"/compute/columns/file/?{query}").status_code == 404
        assert client.get(START, {"file": text.encode(errors="replace")}).status_code == 400
        header = text.encode("ascii", "replace").decode().replace("\r", "").replace("\n", "")
        assert send(client, at, header, b"").status_code in (200, 400, 409)
        assert client.get(f"{BEGIN}{quote(text, errors='replace')}/").status_code in (404, 405)


# --- taken from a run's page --------------------------------------------------------------


@pytest.fixture
def run() -> Run:
    pk = stored(csv(100), "größe.csv").id
    run = Run.objects.create(
        task_id="1" * 32, computation="columns", parameters={}, given={"file": [pk]}
    )
    run.uploads.add(Upload.objects.get(pk=pk))
    return run


def take(run: Run, client: Client | None = None, **more: Any) -> Any:
    query = {"task_id": run.task_id, "file": run.uploads.get().pk, **more}
    return (client or Client()).get("/compute/columns/file/", query)


def test_a_run_s_file_is_an_attachment(run: Run) -> None:
    reply = take(run)
    assert reply.status_code == 200
    assert b"".join(reply.streaming_content) == csv(100)
    assert reply["Content-Type"] == "text/csv"
    assert reply["Content-Disposition"] == "attachment; filename*=utf-8''gr%C3%B6%C3%9Fe.csv"
    assert reply["X-Content-Type-Options"] == "nosniff"
    assert reply["Content-Length"] == str(len(csv(100)))
    assert "sandbox" in reply["Content-Security-Policy"]
    address = f"/compute/columns/file/?task_id={run.task_id}&file={run.uploads.get().pk}"
    part: Any = Client().get(address, headers={"Range": "bytes=6-9"})
    assert part.status_code == 206
    assert b"".join(part.streaming_content) == csv(100)[6:10]
    assert Client().get(address, headers={"Range": f"bytes={len(csv(100))}-"}).status_code == 416


def test_it_is_for_those_who_may_look_at_the_run(run: Run, settings: Any, admin: Client) -> None:
    settings.RUNS_PRIVATE = True
    assert take(run).status_code == 404
    assert take(run, admin).status_code == 200


def test_what_a_run_was_not_given_is_not_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    say = "This run was given no such file, or it is removed."
    for pk in ("", "x", "0" * 32, stored(b"1").id, "\0" * 32):
        assert detail(take(run, file=pk), 404) == say
    held = run.uploads.get()

    def removed(*args: Any) -> None:
        raise Content.DoesNotExist

    monkeypatch.setattr(uploads, "sent", removed)
    assert "just been removed" in detail(take(run), 404)
    Content.objects.filter(holder=held.pk).delete()
    assert detail(take(run), 404) == say
    assert Client().get("/compute/columns/file/", {"task_id": "x"}).status_code == 404
