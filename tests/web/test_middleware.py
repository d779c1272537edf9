"""What holds for every request: a database that is away, and who needs a CSRF token."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import types
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import DataError, InterfaceError, OperationalError, ProgrammingError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

from compute.queue.models import Node
from compute.web.middleware import SchemaMiddleware
from sumsite import urls as site_urls
from tests.conftest import started, without_database


@pytest.fixture
def site_with_an_error(settings: Any) -> Any:
    """Makes /fails/ raise what it is given, beside the site's own addresses."""

    def site(error: Exception) -> Client:
        def fails(request: HttpRequest) -> HttpResponse:
            raise error

        urls = types.ModuleType("urls_with_an_error")
        vars(urls).update(
            {name: value for name, value in vars(site_urls).items() if "handler" in name}
        )
        vars(urls)["urlpatterns"] = [path("fails/", fails), path("", include("sumsite.urls"))]
        settings.ROOT_URLCONF = urls
        return Client(raise_request_exception=False)

    return site


# --- who may ask by another name -------------------------------------------------------


@pytest.mark.parametrize("address", ["/healthz", "/readyz"])
def test_a_probe_may_ask_by_the_machines_own_address(
    queue_server: Node, settings: Any, address: str
) -> None:
    settings.ALLOWED_HOSTS = ["sums.example"]
    by_number = Client(headers={"host": "10.0.0.7:8000"})
    assert by_number.get(address).status_code == 200
    assert by_number.get("/sum-sync/?n=5").status_code == 400


# --- a database that is not yet of this version ----------------------------------------


@pytest.fixture
def new_version(db: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database lacks a migration, and this process has not looked yet; its name."""
    monkeypatch.setattr(SchemaMiddleware, "current", False)
    monkeypatch.setattr(SchemaMiddleware, "waiting", False)
    latest = MigrationRecorder(connection).migration_qs.filter(app="compute").latest("name")
    latest.delete()
    return str(latest.name)


def test_until_the_release_is_through_the_site_says_503_and_logs_it_once(
    new_version: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        response = Client().get("/sum-sync/?n=5")
        assert (response.status_code, response["Retry-After"]) == (503, "5")
        assert "ask again" in response.json()["detail"]
    assert caplog.text.count("answering 503: the database lacks ") == 1
    assert f"compute.{new_version}" in caplog.text
    assert Client().get("/healthz").status_code == 200
    assert "lacks migrations" in Client().get("/readyz").json()["detail"]
    MigrationRecorder(connection).record_applied("compute", new_version)
    assert Client().get("/sum-sync/?n=5").json() == {"total": 15}
    assert "the database has all migrations, serving" in caplog.text


def test_a_browser_gets_a_page_of_it(new_version: str, browser_client: Client) -> None:
    response = browser_client.get("/")
    assert response.status_code == 503
    assert "brought up to date" in response.content.decode()


def test_what_has_been_there_is_not_looked_for_again(new_version: str) -> None:
    MigrationRecorder(connection).record_applied("compute", new_version)
    assert Client().get("/sum-sync/?n=5").status_code == 200
    assert SchemaMiddleware.current
    assert not SchemaMiddleware.waiting


def test_without_a_database_what_needs_none_is_answered(
    database_away: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SchemaMiddleware, "current", False)
    assert Client().get("/sum-sync/?n=5").json() == {"total": 15}
    assert Client().get("/nodes/").status_code == 503
    assert not SchemaMiddleware.current


# --- a database that is away ----------------------------------------------------------


def test_with_debug_a_missing_migration_is_called_that(new_version: str, settings: Any) -> None:
    settings.DEBUG = True
    reply = Client().get("/")
    assert reply.status_code == 503
    assert reply.json()["detail"] == (
        f"The database lacks compute.{new_version}: run `./manage.py migrate`."
    )


def test_a_table_that_is_gone_is_a_missing_migration(
    new_version: str, site_with_an_error: Any
) -> None:
    """As after a restored backup of an older version, in a process that looks no more."""
    SchemaMiddleware.current = True
    for error in (no_such_table(), ProgrammingError("relation does not exist")):
        reply = site_with_an_error(error).get("/fails/")
        assert reply.status_code == 503
        assert "brought up to date" in reply.json()["detail"]
        assert not SchemaMiddleware.current
        SchemaMiddleware.current = True


def no_such_table() -> Exception:
    with contextlib.closing(sqlite3.connect(":memory:")) as memory:
        try:
            memory.execute("SELECT 1 FROM nowhere")
        except sqlite3.OperationalError as cause:
            error = OperationalError("no such table: nowhere")
            error.__cause__ = cause
            return error
    raise AssertionError


@pytest.mark.django_db
def test_a_wrong_statement_is_no_database_that_is_away(site_with_an_error: Any) -> None:
    assert site_with_an_error(no_such_table()).get("/fails/").status_code == 500
    assert SchemaMiddleware.current


def test_neither_is_asked_of_a_database_that_is_away(
    site_with_an_error: Any, database_away: None
) -> None:
    assert site_with_an_error(no_such_table()).get("/fails/").status_code == 500


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
def test_a_database_that_does_not_answer_is_503(
    db: None, site_with_an_error: Any, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    response = site_with_an_error(error).get("/fails/")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert "ask again" in response.json()["detail"]
    assert f"the database does not answer: {error}" in caplog.text


@pytest.mark.parametrize("error", [ValueError("a bug"), DataError("a bug")])
def test_any_other_error_is_500(site_with_an_error: Any, error: Exception) -> None:
    response = site_with_an_error(error).get("/fails/")
    assert response.status_code == 500
    assert "Retry-After" not in response
    assert "which is logged" in response.json()["detail"]


def test_a_browser_gets_a_page_that_needs_no_database(
    database_away: None, browser_client: Client
) -> None:
    response = browser_client.post("/split-sum-start/", {"n": "10"})
    assert response.status_code == 503
    html = response.content.decode()
    assert "The database does not answer at the moment" in html
    assert 'role="alert"' in html


def test_who_was_signed_in_gets_503_too(transactional_db: None, admin: Client) -> None:
    with without_database():
        for address in ("/", "/admin/", "/admin/compute/run/"):
            assert admin.get(address).status_code == 503


def test_when_the_database_is_back_the_site_works_again(
    transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    with without_database():
        assert Client().get("/sum-start/?n=10").status_code == 503
    said = [each for each in caplog.records if each.name == "compute.web.middleware"]
    assert [record.levelno for record in said] == [logging.ERROR]
    assert started("/sum-start/", n=10).parameters == {"n": 10}


# --- CSRF -----------------------------------------------------------------------------


@pytest.fixture
def client_with_a_session(db: None) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("ann"))
    return client


def test_without_a_session_a_post_needs_no_token() -> None:
    assert Client(enforce_csrf_checks=True).post("/sum-sync/", {"n": "4"}).json() == {"total": 10}


def test_with_a_session_a_post_needs_its_token(client_with_a_session: Client) -> None:
    client_with_a_session.get("/admin/")
    refused = client_with_a_session.post("/sum-sync/", {"n": "4"})
    assert refused.status_code == 403
    assert refused.json()["detail"].startswith("A POST with a session cookie needs a CSRF token")
    client_with_a_session.cookies[settings.CSRF_COOKIE_NAME] = token = "t" * 32
    for good in (
        client_with_a_session.post("/sum-sync/", {"n": "4", "csrfmiddlewaretoken": token}),
        client_with_a_session.post("/sum-sync/", {"n": "4"}, headers={"x-csrftoken": token}),
    ):
        assert good.json() == {"total": 10}


def test_the_admins_actions_are_protected(client_with_a_session: Client) -> None:
    assert client_with_a_session.post("/admin/compute/run/", {}).status_code == 403


def test_the_admins_login_is_protected_before_there_is_a_session(db: None) -> None:
    User.objects.create_superuser("ann", password="ann-password")
    client = Client(enforce_csrf_checks=True)
    form = {"username": "ann", "password": "ann-password"}
    assert client.post("/admin/login/", form).status_code == 403
    client.get("/admin/login/")
    form["csrfmiddlewaretoken"] = client.cookies[settings.CSRF_COOKIE_NAME].value
    assert client.post("/admin/login/", form).status_code == 302
    assert client.get("/admin/").status_code == 200
