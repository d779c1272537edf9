"""A scan of everything the site can answer for the headers that Mozilla's Observatory asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.cookies import Morsel
from typing import Any

import pytest
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.http import HttpResponseBase
from django.test import Client
from django.urls import NoReverseMatch, reverse

from compute.models import Run
from compute.models.notes import refresh
from compute.queue.models import Job, Node
from tests.conftest import run_jobs, started, without_database
from tests.processes import ROOT
from tests.sumsite.reading import settings_with
from tests.web.test_accounts import views

pytestmark = pytest.mark.once

HTML = "text/html"
#: A request as the host's router passes it on.
ROUTED = {"x-forwarded-proto": "https"}


@pytest.fixture
def production(settings: Any) -> Any:
    """The settings as they are with DEBUG off; the tests' own take the redirect out."""
    assert settings.DEBUG is False
    settings.SENDS_MAIL = True
    settings.SECURE_SSL_REDIRECT = True
    settings.WHITENOISE_USE_FINDERS = True
    return settings


def directives(policy: str) -> dict[str, list[str]]:
    parts = [part.split() for part in policy.split(";") if part.strip()]
    return {name: values for name, *values in parts}


def assert_headers(reply: HttpResponseBase, *, https: bool = True) -> None:
    """What Observatory scores, and the isolation headers it only recommends."""
    headers = reply.headers
    policy = directives(headers["Content-Security-Policy"])
    assert policy["default-src"] == ["'none'"]
    assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert policy["form-action"] == ["'self'"]
    allowed = {value for values in policy.values() for value in values}
    assert allowed == {"'none'", "'self'"}, "no unsafe-…, no data:, no other host"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
    if https:
        seconds = int(headers["Strict-Transport-Security"].partition("max-age=")[2])
        assert seconds >= 180 * 24 * 60 * 60
    for cookie in reply.cookies.values():
        assert_careful(cookie)


def assert_careful(cookie: Morsel[str]) -> None:
    assert cookie.key.startswith("__Host-"), cookie.key
    assert cookie["secure"] is True
    assert cookie["httponly"] is True or cookie["max-age"] == 0  # that takes it away
    assert cookie["samesite"] in ("Lax", "Strict")
    assert cookie["path"] == "/"
    assert cookie["domain"] == ""


@pytest.fixture
def rows(run_with_a_failure: Run, queue_server: Node) -> dict[str, Run]:
    done = started("/split-sum-start/", n=10, chunk_size=5)
    run_jobs()
    refresh(done)
    refresh(run_with_a_failure)
    waiting = started("/sum-start/", n=5)
    return {"done": done, "failed": run_with_a_failure, "waiting": waiting}


def admin_addresses() -> Iterator[str]:
    """Every page of the admin that needs no argument, and one of each kind with."""
    for name, _ in views():
        if name.startswith("admin:") and name != "admin:logout":
            try:
                yield reverse(name)
            except NoReverseMatch:
                continue
    failed = Job.objects.filter(state="failed").values_list("pk", flat=True)[0]
    yield reverse("admin:django_q_failure_change", args=[failed])
    yield reverse("admin:queue_job_change", args=[failed])
    yield reverse("admin:compute_run_change", args=[Run.objects.latest("id").pk])
    yield reverse("admin:auth_user_password_change", args=[User.objects.get().pk])


def addresses(rows: dict[str, Run]) -> list[str]:
    runs = [f"?task_id={run.task_id}" for run in rows.values()]
    return [
        "/",
        "/?state=done&q=1",
        "/nodes/",
        "/nodes/drain/",
        "/nodes/pause/",
        "/login/",
        "/password/",
        "/password/changed/",
        "/password/forgotten/",
        "/password/forgotten/sent/",
        "/password/choose/x/y/",
        "/password/chosen/",
        "/healthz",
        "/readyz",
        "/sum-sync/?n=10",
        "/compute/sum/",
        "/tutorial/",
        "/compute/primes/estimate/?n=10",
        "/compute/primes/",
        "/compute/sum/chunk-sizes/?n=10",
        "/sum-start/?n=10",
        "/split-sum-start/?n=10",
        *(f"/sum-check/{run}" for run in runs),
        *(f"/split-sum-check/{run}" for run in runs),
        *(f"/compute/sum/check/{run}" for run in runs),
        *(f"/compute/sum/chunk/{run}&number=1" for run in runs),
        *(f"/compute/sum/chunks/{run}{more}" for run in runs for more in ("", "&as=csv")),
        # refusals
        "/sum-start/?n=x",
        "/sum-sync/?n=1000000000",
        "/sum-check/",
        "/sum-check/?task_id=x",
        "/compute/none/",
        "/compute/sum/cancel/",
        "/compute/sum/share/",
        "/nowhere/",
        "/nowhere",
        "/sum-start",
        "/static/nowhere.css",
        # files, the admin's too
        "/static/compute/compute.css",
        "/static/compute/admin.css",
        "/static/compute/compute.js",
        "/static/compute/icon.svg",
        "/static/django_htmx/htmx.min.js",
        "/static/admin/css/base.css",
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("accept", ["*/*", HTML])
def test_every_reply_has_the_headers(
    rows: dict[str, Run], production: Any, admin: Client, accept: str
) -> None:
    stranger = Client(headers={**ROUTED, "accept": accept})
    asked = 0
    for client, some in ((stranger, []), (admin, [*admin_addresses()])):
        for address in [*addresses(rows), *some]:
            for method in ("get", "head", "post", "options", "delete"):
                if method != "get" and "/static/" in address:
                    continue
                reply = getattr(client, method)(address, headers={**ROUTED, "accept": accept})
                assert reply.status_code < 500 or address == "/readyz", (method, address)
                assert_headers(reply)
                asked += 1
                if reply.streaming:
                    assert b"".join(reply.streaming_content)
    assert asked > 400


def test_what_no_view_answers_has_them_too(production: Any, admin: Client) -> None:
    admin.raise_request_exception = False
    for request in (
        {"headers": {**ROUTED, "host": "evil.example"}},  # 400
        {"headers": ROUTED, "data": b"x", "content_type": "multipart/form-data"},  # 400
        {"headers": ROUTED, "data": {"x": "1"}},
    ):
        assert_headers(admin.post("/sum-start/", **request))


@pytest.mark.parametrize("host", ["testserver", "evil.example"])
def test_by_plain_http_there_is_a_way_to_https_with_the_same_headers(
    production: Any, host: str
) -> None:
    reply = Client().get("/sum-start/?n=5", headers={"host": host})
    assert_headers(reply, https=False)
    assert "Strict-Transport-Security" not in reply
    if host == "testserver":
        assert (reply.status_code, reply["Location"]) == (301, f"https://{host}/sum-start/?n=5")
    else:
        assert reply.status_code == 400


def test_health_is_told_by_plain_http_from_inside(production: Any) -> None:
    reply = Client().get("/healthz")
    assert (reply.status_code, reply.json()) == (200, {"status": "ok"})
    assert_headers(reply, https=False)


def test_a_missing_database_and_a_mistake_have_them(
    production: Any, transactional_db: None, monkeypatch: Any
) -> None:
    client = Client(headers=ROUTED, raise_request_exception=False)
    with without_database():
        reply = client.get("/")
    assert reply.status_code == 503
    assert_headers(reply)
    monkeypatch.setattr("compute.tasks.get_sum", lambda n: 1 // 0)
    for accept in ("*/*", HTML):
        reply = client.get("/sum-sync/?n=5", headers={**ROUTED, "accept": accept})
        assert reply.status_code == 500
        assert_headers(reply)
        text = reply.content.decode()
        assert "ZeroDivisionError" not in text
        assert "Traceback" not in text
        assert str(ROOT) not in text


def test_what_needs_a_cookie_gets_a_careful_one(production: Any, db: None) -> None:
    User.objects.create_superuser("boss", password="boss-password")
    client = Client(headers={**ROUTED, "accept": HTML})
    names = set()
    form = {"username": "boss", "password": "boss-password"}
    for reply in (
        client.get("/login/"),
        client.post("/login/", form),
        client.post("/split-sum-start/", {"n": 5}),
        client.post("/admin/compute/run/", {"action": "retry", "_selected_action": ["1"]}),
    ):
        assert_headers(reply)
        names |= set(reply.cookies)
    assert names == {configured.SESSION_COOKIE_NAME, configured.CSRF_COOKIE_NAME}


def test_in_development_cookies_work_by_plain_http() -> None:
    settings = settings_with(DEBUG="1")
    assert not settings.get("SESSION_COOKIE_SECURE")
    assert "SESSION_COOKIE_NAME" not in settings


def test_a_file_that_is_uploaded_is_not_kept(db: None, tmp_path: Any, settings: Any) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    file = SimpleUploadedFile("big", b"x" * 900_000)
    assert Client().post("/sum-sync/", {"n": 4, "file": file}).json() == {"total": 10}
    assert configured.FILE_UPLOAD_HANDLERS == ["compute.web.bodies.PutAside"]
    assert not list(tmp_path.iterdir())


def test_json_is_never_taken_for_something_else(production: Any, db: None) -> None:
    reply = Client(headers=ROUTED).get("/sum-check/?task_id=<script>")
    assert reply["Content-Type"] == "application/json"
    assert json.loads(reply.content)["detail"]
