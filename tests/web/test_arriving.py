"""Files as requests bring them: whole, by their ids, in pieces; and for whom they are."""

from __future__ import annotations

import socket
from datetime import timedelta
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from django import forms
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import UnreadablePostError
from django.test import Client, RequestFactory
from django.utils import timezone

from compute.computation import ComputationError, the_only_one
from compute.computations import all_computations
from compute.models import Run, Upload, plans
from compute.queue import room
from compute.queue.contents import Content
from compute.queue.room import FullError
from compute.web import arriving
from compute.web.arriving import body, takes_files
from compute.words import plain
from tests.conftest import run_jobs
from tests.test_files import ManyForm
from tests.uploads.data import csv, declared, stored, totals
from tests.uploads.reading import read_them

START = "/compute/columns/start/"
HTML = "text/html"
NO_FILES = "This site takes no files (MAX_UPLOAD_MB is 0)."
ANN = {"username": "ann", "password": "ann-password"}


@pytest.fixture(autouse=True)
def columns(db: None, declare: Any) -> None:
    declared(declare)


def file(data: bytes = csv(100), name: str = "data.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, "text/csv")


def detail(reply: Any, status: int = 400) -> str:
    assert reply.status_code == status, reply.content
    return str(reply.json()["detail"])


# --- whole, in a form ---------------------------------------------------------------------


def test_a_run_is_started_with_a_file_in_one_request() -> None:
    reply = Client().post(START, {"file": file(), "chunk_size": "1000"})
    assert reply.status_code == 200, reply.content
    run_jobs()
    run = Run.objects.get()
    upload = run.uploads.get()
    assert run.result == totals(100)
    assert run.title == "columns of data.csv"
    assert run.parameters == {
        "file": {"file": upload.pk, "name": "data.csv", "size": len(csv(100))}
    }
    assert run.given == {"file": [upload.pk]}
    assert (upload.media_type, upload.size) == ("text/csv", len(csv(100)))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("größe.csv", "größe.csv"),
        ('"quoted".csv', "_quoted_.csv"),
        ("../../x.csv", "x.csv"),
        ("x" * 300 + ".csv", "x" * 196 + ".csv"),
    ],
)
def test_odd_names_come_out_safe(name: str, kept: str) -> None:
    sent = file()
    sent._name = name  # type: ignore[attr-defined]
    reply = Client().post(START, {"file": sent})
    assert reply.status_code == 200, reply.content
    assert Upload.objects.get().name == kept


def test_sizes_of_nothing_and_one_byte() -> None:
    assert detail(Client().post(START, {"file": file(b"")})) == "The submitted file is empty."
    assert "The first line has to have" in detail(Client().post(START, {"file": file(b"1")}))
    assert detail(Client().post(START, {})) == "file: This field is required."
    assert "extension “exe”" in detail(Client().post(START, {"file": file(name="a.exe")}))
    assert not Run.objects.exists()


def test_one_over_the_limit_is_refused_with_a_sentence(settings: Any) -> None:
    settings.MAX_UPLOAD_MB = 0.001
    reply = Client().post(START, {"file": file(csv(100))})
    assert detail(reply, 413) == (
        "This is too long: a file may have 0.001 MB here (MAX_UPLOAD_MB); give a smaller one."
    )
    page = Client().post(START, {"file": file(csv(100))}, headers={"accept": HTML})
    assert page.status_code == 413
    assert "a file may have 0.001 MB here" in page.content.decode()
    assert not Upload.objects.exists()


def test_a_site_without_uploads_keeps_none(settings: Any) -> None:
    settings.MAX_UPLOAD_MB = 0
    assert detail(Client().post(START, {"file": file()}), 413) == f"file: {NO_FILES}"
    assert not Upload.objects.exists()


def test_a_full_database_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "used", lambda: 1.0)
    reply = Client().post(START, {"file": file()})
    assert "The site is full" in detail(reply, 429)
    assert reply["Retry-After"] == "3600"

    def full(*args: Any, **kwargs: Any) -> None:
        raise FullError("the database is full")

    monkeypatch.setattr(room, "used", lambda: 0.0)
    monkeypatch.setattr(arriving, "keep", full)
    reply = Client().post(START, {"file": file()})
    assert detail(reply, 429) == "file: the database is full"
    assert reply["Retry-After"] == "3600"


def test_a_client_keeps_no_more_than_its_share(settings: Any) -> None:
    settings.MAX_CLIENT_UPLOAD_MB = 0.2  # small ones count 64 KB each
    for _ in range(3):
        assert Client().post(START, {"file": file()}).status_code == 200
    reply = Client().post(START, {"file": file(csv(2000))})
    assert detail(reply, 429).startswith(
        "file: Your address may keep 0.2 MB of uploads, and this would make it 0.3; come back"
    )
    other = Client(headers={"X-Forwarded-For": "192.0.2.77"})
    assert other.post(START, {"file": file(csv(2000))}).status_code == 200
    settings.MAX_CLIENT_UPLOAD_MB = 0
    assert Client().post(START, {"file": file()}).status_code == 200


def test_what_computes_without_files_takes_none(rf: RequestFactory) -> None:
    request = rf.post("/", {"file": file()})
    assert takes_files(request, "columns")
    assert not takes_files(request, "primes")
    assert not takes_files(request, "gone")
    assert not takes_files(request)
    assert not takes_files(rf.get("/"), "columns")


def test_a_form_whose_code_fails_takes_none(rf: RequestFactory, declare: Any) -> None:
    class Failing(forms.Form):
        def __init__(self, *args: Any) -> None:
            raise ZeroDivisionError

    declared(declare, form=Failing)
    assert not takes_files(rf.post("/", {"file": file()}), "columns")
    with pytest.raises(ComputationError):
        arriving.fields_of(all_computations()["columns"])


def test_a_field_of_several_files_gets_each(declare: Any) -> None:
    declared(
        declare,
        form=ManyForm,
        function=read_them,
        title=lambda pages: f"{len(pages)} pages",
        length=None,
        cut=None,
        combine=the_only_one,
        show=plain,
    )
    reply = Client().post(START, {"pages": [file(b"one", "1.txt"), file(b"two", "2.txt")]})
    assert reply.status_code == 200, reply.content
    run_jobs()
    run = Run.objects.get()
    assert (run.result, run.title) == ("onetwo", "2 pages")
    assert run.uploads.count() == 2
    ids = [upload.pk for upload in run.uploads.all()]
    assert run.given == {"pages": ids}
    assert Client().post(START, {"pages": ids}).status_code == 200


# --- by its id ----------------------------------------------------------------------------


def known_to(client: Client, pk: str) -> bool:
    reply = client.post(START, {"file": pk})
    if reply.status_code == 400:
        assert reply.json() == {
            "detail": "No upload of yours that is complete has this id; upload the file first, "
            "and give its id."
        }
    return reply.status_code == 200


def test_a_run_is_started_with_what_was_uploaded_before() -> None:
    client = Client()
    assert client.post(START, {"file": file()}).status_code == 200
    pk = Upload.objects.get().pk
    assert known_to(client, pk)
    assert Upload.objects.get().runs.count() == 2
    assert Client().get(START, {"file": pk}).status_code == 200, "GET starts work, too"


def test_another_s_is_unknown(settings: Any) -> None:
    settings.RUNS_PRIVATE = True
    User.objects.create_user(**ANN)
    ann = Client()
    ann.post("/login/", ANN)
    pk = stored(csv(5), account=User.objects.get()).id
    assert known_to(ann, pk)
    bob = Client(headers={"X-Forwarded-For": "192.0.2.77"})
    User.objects.create_user("bob", password="bob-password")
    bob.post("/login/", {"username": "bob", "password": "bob-password"})
    assert not known_to(bob, pk)
    assert not known_to(bob, "0" * 32)
    assert not known_to(bob, "hello")


def test_what_a_run_that_all_may_repeat_uses_is_for_all() -> None:
    pk = stored(csv(5), client="somebody").id
    assert not known_to(Client(), pk)
    mine = Client(headers={"X-Forwarded-For": "192.0.2.77"})
    Upload.objects.update(client=arriving_client(mine))
    assert known_to(mine, pk)
    assert known_to(Client(), pk)


def arriving_client(client: Client) -> str:
    """The name that its uploads are known by."""
    client.post(START, {"file": file()})
    return Upload.objects.latest("made_at").client


def test_a_session_s_is_its_account_s_when_it_signs_in() -> None:
    User.objects.create_user(**ANN)
    client = Client(headers={"accept": HTML})
    client.post("/sum-start/", {"n": 5})  # which gives it a session
    client.post(START, {"file": file()})
    session_s = Upload.objects.get()
    assert session_s.account is None
    client.post("/login/", ANN)
    session_s.refresh_from_db()
    assert session_s.account == User.objects.get()
    elsewhere = Client(headers={"X-Forwarded-For": "192.0.2.78"})
    elsewhere.post("/login/", ANN)
    assert known_to(elsewhere, session_s.pk)


def test_what_is_named_stays_for_another_day() -> None:
    client = Client()
    client.post(START, {"file": file()})
    Run.objects.all().delete()
    old = timezone.now() - timedelta(hours=2)
    Upload.objects.update(touched_at=old)
    client.post("/compute/columns/estimate/", {"file": Upload.objects.get().pk})
    assert Upload.objects.get().touched_at > old + timedelta(hours=1)


def test_staff_is_known_by_its_account_alone(admin: Client) -> None:
    admin.post(START, {"file": file()})
    upload = Upload.objects.get()
    assert upload.account
    assert upload.account.is_staff
    assert upload.address == ""


# --- the page -----------------------------------------------------------------------------


def test_a_form_that_is_refused_keeps_its_file(browser_client: Client) -> None:
    reply = browser_client.post(START, {"file": file(), "chunk_size": "x"})
    assert reply.status_code == 400
    page = reply.content.decode()
    upload = Upload.objects.get()
    assert f'<input type="hidden" name="file" value="{upload.pk}">' in page
    assert "data.csv is here already (" in page
    assert 'enctype="multipart/form-data"' in page
    assert 'data-upload="/compute/columns/upload/"' in page
    again = browser_client.post(START, {"file": upload.pk, "chunk_size": "1000"})
    assert again.status_code == 303


def test_an_address_fills_the_form_in_with_a_file(browser_client: Client) -> None:
    browser_client.post(START, {"file": file()})
    upload = Upload.objects.get()
    page = browser_client.get("/compute/columns/", {"file": upload.pk}).content.decode()
    assert f'name="file" value="{upload.pk}"' in page
    page = browser_client.get("/compute/columns/", {"file": "0" * 32}).content.decode()
    assert "No upload of yours" in page


@pytest.mark.parametrize("data", [b"", csv(100), b"x" * 1024 * 1024], ids=["0", "some", "large"])
@pytest.mark.parametrize("required", [True, False])
def test_a_site_that_takes_no_files_says_so(
    declare: Any, settings: Any, data: bytes, required: bool
) -> None:
    field = forms.FileField(required=required, allow_empty_file=True)
    declared(declare, form=type("AnyForm", (forms.Form,), {"file": field}))
    settings.MAX_UPLOAD_MB = 0
    assert detail(Client().post(START, {"file": file(data)}), 413).endswith(NO_FILES)
    reply = Client(headers={"accept": HTML}).post(START, {"file": file(data)})
    assert reply.status_code == 413
    assert NO_FILES in reply.content.decode()
    assert "This field is required" not in reply.content.decode()
    assert not Run.objects.exists()
    assert not Upload.objects.exists()


def test_nor_does_it_ask_for_what_it_does_not_take(browser_client: Client, settings: Any) -> None:
    pages = ["/compute/columns/", "/compute/columns/chunk-sizes/"]
    for address in (*pages, "/compute/primes/"):
        assert NO_FILES not in browser_client.get(address).content.decode()
    kept = stored(csv(10))
    settings.MAX_UPLOAD_MB = 0
    for address in pages:
        assert browser_client.get(address).content.decode().count(NO_FILES) == 1
    assert NO_FILES not in browser_client.get("/compute/primes/").content.decode()
    assert detail(Client().post(START)) == f"file: {NO_FILES}"
    assert detail(Client().post(START, {"file": "x"})).startswith("No upload of yours")
    html = browser_client.post(START, {"chunk_size": "5"}).content.decode()
    assert f'role="alert">{NO_FILES}</p>' in html
    assert "This field is required" not in html
    assert Upload.objects.get().pk == kept.id


def test_a_page_without_files_has_no_script_for_them(browser_client: Client) -> None:
    assert "upload.js" in browser_client.get("/compute/columns/").content.decode()
    assert "upload.js" in browser_client.get("/compute/columns/chunk-sizes/").content.decode()
    page = browser_client.get("/compute/primes/").content.decode()
    assert "upload.js" not in page
    assert "enctype" not in page


def test_a_run_is_done_again_with_its_file(browser_client: Client) -> None:
    browser_client.post(START, {"file": file(), "chunk_size": "1000"})
    run = Run.objects.get()
    run_jobs()
    reply = browser_client.post("/compute/columns/again/", {"task_id": run.task_id})
    assert reply.status_code == 303, reply.content
    run_jobs()
    assert [each.result for each in Run.objects.all()] == [totals(100)] * 2
    assert Upload.objects.get().runs.count() == 2
    page = browser_client.get(run.get_absolute_url()).content.decode()
    assert f"/compute/columns/file/?task_id={run.task_id}&amp;file=" in page


def test_a_file_that_goes_meanwhile_starts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Client()
    client.post(START, {"file": file()})
    planned = plans.plan

    def gone(*args: Any) -> Any:
        found = planned(*args)
        Upload.objects.all().delete()  # as if its last run were deleted at this moment
        return found

    monkeypatch.setattr(plans, "plan", gone)
    reply = client.post(START, {"file": Upload.objects.get().pk})
    assert reply.status_code == 409
    assert "A file has been removed meanwhile" in reply.json()["detail"]
    assert Run.objects.count() == 1


def test_a_run_is_changed_and_run_again_with_its_file_or_another(browser_client: Client) -> None:
    browser_client.post(START, {"file": file(), "chunk_size": "1000"})
    run = Run.objects.get()
    pk = run.uploads.get().pk
    page = browser_client.get("/compute/columns/", {"from": run.task_id}).content.decode()
    assert f'<input type="hidden" name="file" value="{pk}">' in page
    assert "data.csv is here already" in page
    kept = {"file": pk, "chunk_size": "500"}
    assert browser_client.post(START, kept).status_code == 303
    assert Run.objects.latest("id").uploads.get().pk == pk
    both = {"file": [pk, SimpleUploadedFile("other.csv", csv(7))], "chunk_size": "500"}
    reply = browser_client.post(START, both)
    assert reply.status_code == 303, reply.content
    assert Run.objects.latest("id").uploads.get().name == "other.csv"
    told = browser_client.get(run.get_absolute_url()).content.decode()
    assert f"data.csv, {len(csv(100)):,}"[:9] in told
    assert pk not in told.partition('<h2 id="parameters">')[2].partition("</table>")[0]


def test_chunk_sizes_are_compared_with_a_file(browser_client: Client, settings: Any) -> None:
    settings.MAX_WORK_MINUTES = settings.MAX_CLIENT_WORK_MINUTES = 0
    browser_client.post(START, {"file": file(), "chunk_size": "1000"})
    run = Run.objects.get()
    address = "/compute/columns/chunk-sizes/"
    page = browser_client.get(address, {"task_id": run.task_id})
    assert "data.csv is here already" in page.content.decode()
    reply = browser_client.post(address, {"file": file(csv(3000))})
    assert reply.status_code == 303, reply.content
    sweep_s = Run.objects.exclude(sweep=None).get()
    assert sweep_s.uploads.get().size == len(csv(3000))


# --- in pieces ----------------------------------------------------------------------------


def test_a_body_comes_in_small_pieces(rf: RequestFactory, settings: Any) -> None:
    data = bytes(50_000)
    settings.WEB_TIMEOUT = 0  # without a limit
    pieces = list(body(rf.patch("/", data)))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= arriving.PIECE_BYTES


def test_a_line_that_is_cut_ends_it(rf: RequestFactory) -> None:
    class Cut(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError("cut")
            return super().read(5)

    request = rf.patch("/", b"0123456789")
    request._stream = Cut(b"0123456789")
    assert list(body(request)) == [b"01234"]
    assert issubclass(UnreadablePostError, OSError)


def test_a_slow_line_is_not_waited_for_until_the_process_is_killed(
    rf: RequestFactory, settings: Any
) -> None:
    """What comes too late stays on the line: the socket has a limit while it is read."""
    settings.WEB_TIMEOUT = 1
    here, there = socket.socketpair()
    with here, there:
        request = rf.patch("/", b"x" * 100)
        request.META["gunicorn.socket"] = here

        class Line:
            def read(self, size: int) -> bytes:
                return here.recv(size)

        request._stream = Line()  # type: ignore[assignment]
        there.sendall(b"x" * 10)
        assert b"".join(body(request)) == b"x" * 10
        assert here.gettimeout() is None, "the reply takes what it takes"


def test_nothing_more_is_read_when_the_time_is_over(
    rf: RequestFactory, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEB_TIMEOUT = 10
    now = iter([100.0, 100.0, 105.0, 106.5])
    clock = SimpleNamespace(monotonic=lambda: next(now))
    monkeypatch.setattr(arriving, "time", clock)
    request = rf.patch("/", bytes(10 * arriving.PIECE_BYTES))
    assert len(b"".join(body(request))) == 2 * arriving.PIECE_BYTES


def test_there_is_a_content_for_each_upload() -> None:
    Client().post(START, {"file": file()})
    assert Content.objects.get().holder == Upload.objects.get().pk
