"""Signing in and out; a site that is closed to strangers; wrong passwords that are held up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from axes.models import AccessAttempt
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from compute.models import Run
from tests.conftest import run_jobs, without_database

HTML = "text/html"
LOGIN = "/login/"
ANN = {"username": "ann", "password": "ann-password"}


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user(**ANN)


def page(response: Any) -> str:
    assert response["Content-Type"].startswith("text/html")
    return str(response.content.decode())


# --- in and out -----------------------------------------------------------------------


def test_a_person_signs_in_and_out(ann: User) -> None:
    client = Client(enforce_csrf_checks=True, headers={"accept": HTML})
    form = page(client.get(LOGIN, {"next": "/nodes/"}))
    assert '<label for="id_username">Username</label>' in form
    assert '<input type="hidden" name="next" value="/nodes/">' in form
    assert "Sign out" not in form
    token = client.cookies[configured.CSRF_COOKIE_NAME].value
    assert client.post(LOGIN, ANN).status_code == 403
    reply = client.post(LOGIN, {**ANN, "next": "/nodes/", "csrfmiddlewaretoken": token})
    assert (reply.status_code, reply["Location"]) == (302, "/nodes/")
    assert "Sign out ann" in page(client.get("/"))
    assert client.get(LOGIN)["Location"] == "/"
    token = client.cookies[configured.CSRF_COOKIE_NAME].value
    assert client.post("/logout/").status_code == 403
    assert client.post("/logout/", {"csrfmiddlewaretoken": token})["Location"] == "/"
    assert "Sign out" not in page(client.get("/"))


@pytest.mark.parametrize("there", ["https://evil.example/", "//evil.example", "javascript:x"])
def test_nobody_is_sent_on_to_another_site(ann: User, there: str) -> None:
    reply = Client(headers={"accept": HTML}).post(LOGIN, {**ANN, "next": there})
    assert (reply.status_code, reply["Location"]) == (302, "/")


def test_a_wrong_password_is_said_in_the_page(ann: User) -> None:
    reply = Client(headers={"accept": HTML}).post(LOGIN, {**ANN, "password": "x"})
    assert reply.status_code == 200
    assert '<p class="error" role="alert">Please enter a correct username' in page(reply)


def test_a_program_signs_in(ann: User, settings: Any) -> None:
    settings.REQUIRE_LOGIN = True
    client = Client(enforce_csrf_checks=True)
    assert "X-CSRFToken" in client.get(LOGIN).json()["detail"]
    token = {"x-csrftoken": client.cookies[configured.CSRF_COOKIE_NAME].value}
    wrong = client.post(LOGIN, {**ANN, "password": "x"}, headers=token)
    assert wrong.status_code == 400
    assert "correct username" in wrong.json()["detail"]
    assert client.post(LOGIN, ANN, headers=token).json() == {"signed_in": "ann"}
    assert client.get("/sum-sync/?n=4").json() == {"total": 10}


def test_who_is_signed_in_gets_a_page_when_the_database_is_away(
    transactional_db: None, admin: Client
) -> None:
    with without_database():
        reply = admin.get("/", headers={"accept": HTML})
    assert reply.status_code == 503
    assert "Sign out" not in page(reply)


# --- REQUIRE_LOGIN ----------------------------------------------------------------------

#: What strangers may ask for.
OPEN = {"healthz", "readyz", "metrics", "login", "admin:login"}
OPEN |= {"password-forgotten", "password-mail-sent", "password-choose", "password-chosen"}


def views(patterns: Any = None, space: str = "") -> list[tuple[str, Any]]:
    """Every view of the site by its name, the admin's too."""
    found: list[tuple[str, Any]] = []
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{pattern.namespace}:" if pattern.namespace else space
            found += views(pattern.url_patterns, inner)
        else:
            assert isinstance(pattern, URLPattern)
            found.append((f"{space}{pattern.name}", pattern.callback))
    return found


def test_every_view_is_closed_but_those_that_are_meant_to_be_open() -> None:
    is_open = {name for name, view in views() if not getattr(view, "login_required", True)}
    assert is_open == OPEN
    assert len(views()) > 60  # the admin's are among them


ADDRESSES = [
    "/",
    "/tutorial/",
    "/sum-sync/?n=5",
    "/sum-start/?n=5",
    "/bug-sum-start/?n=5",
    "/split-sum-start/?n=5",
    "/sum-check/?task_id=" + "0" * 32,
    "/split-sum-check/",
    "/compute/sum/",
    "/compute/primes/estimate/?n=5",
    "/compute/primes/start/?n=5",
    "/compute/sum/check/",
    "/compute/sum/cancel/",
    "/compute/sum/again/",
    "/compute/sum/chunk-sizes/?n=5",
    "/compute/sum/share/",
    "/nodes/",
    "/nodes/drain/",
    "/nodes/pause/",
    "/password/",
    "/password/changed/",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_strangers_are_sent_to_sign_in(db: None, settings: Any, address: str) -> None:
    settings.REQUIRE_LOGIN = True
    program = Client().get(address)
    assert program.status_code == 403
    assert program.json() == {
        "detail": "Sign in at http://testserver/login/, and send the cookies of its reply."
    }
    browser = Client(headers={"accept": HTML})
    reply = browser.get(address, follow=True)
    assert reply.redirect_chain[0][0].startswith("/login/?next=")
    assert "<h1>Sign in</h1>" in page(reply)
    assert browser.post(address, {"n": 5})["Location"] == "/login/?next=/"
    assert not Run.objects.exists()


def test_a_page_that_was_open_is_loaded_again_when_the_session_is_over(
    db: None, settings: Any
) -> None:
    settings.REQUIRE_LOGIN = True
    reply = Client().get("/", headers={"accept": HTML, "hx-request": "true"})
    assert reply["HX-Refresh"] == "true"
    assert b"Runs" not in reply.content


def test_who_has_signed_in_goes_on_where_they_wanted_to(ann: User, settings: Any) -> None:
    settings.REQUIRE_LOGIN = True
    client = Client(headers={"accept": HTML})
    asked = client.get("/split-sum-start/", {"n": 10, "chunk_size": 5})
    back = unquote(asked["Location"].partition("next=")[2])
    there = client.post(LOGIN, {**ANN, "next": back})
    assert there["Location"] == "/split-sum-start/?n=10&chunk_size=5"
    assert client.get(there["Location"]).status_code == 303
    assert Run.objects.get().chunks == 2


def test_health_and_the_page_to_sign_in_stay_open(db: None, settings: Any) -> None:
    settings.REQUIRE_LOGIN = True
    settings.WHITENOISE_USE_FINDERS = True
    client = Client(headers={"accept": HTML})
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["detail"].startswith("No queue server")
    assert client.get(LOGIN).status_code == client.get("/admin/login/").status_code == 200
    file = client.get("/static/compute/compute.css")
    assert file.status_code == 200
    file.close()
    assert client.get("/nowhere/").status_code == 404


def test_staff_goes_to_the_admin(admin: Client, settings: Any) -> None:
    settings.REQUIRE_LOGIN = True
    assert admin.get("/admin/compute/run/").status_code == 200


def test_without_it_nobody_needs_to_sign_in(db: None) -> None:
    assert configured.REQUIRE_LOGIN is False
    assert Client().get("/sum-start/?n=5").status_code == 200
    run_jobs()


# --- wrong passwords --------------------------------------------------------------------


def try_password(
    address: str, password: str, user: str = "boss", forwarded: str = "203.0.113.7"
) -> Any:
    form = {"username": user, "password": password, "next": "/admin/"}
    headers = {"x-forwarded-for": f"1.1.1.1, {forwarded}", "accept": HTML}
    return Client(headers=headers).post(address, form)


@pytest.fixture(params=["/admin/login/", LOGIN])
def address(request: Any, db: None) -> str:
    User.objects.create_superuser("boss", password="boss-password")
    return str(request.param)


@pytest.mark.thorough
def test_the_sixth_wrong_password_is_one_too_many_and_a_right_one_works_later(
    address: str,
) -> None:
    for _ in range(5):
        assert try_password(address, "wrong").status_code == 200
    for password in ("wrong", "wrong", "boss-password"):
        reply = try_password(address, password)
        assert reply.status_code == 429
        assert reply["Retry-After"] == "900"
        assert "try again in 15 minutes" in page(reply)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert try_password(address, "boss-password").status_code == 302
    assert not AccessAttempt.objects.exists()


def test_both_pages_count_together(address: str) -> None:
    for one in ("/admin/login/", LOGIN) * 3:
        try_password(one, "wrong")
    assert try_password(address, "boss-password").status_code == 429


@pytest.mark.thorough
def test_another_address_and_another_account_are_not_held_up(address: str) -> None:
    User.objects.create_superuser("ann", password="ann-password")
    for _ in range(6):
        try_password(address, "wrong")
    assert try_password(address, "boss-password").status_code == 429
    assert try_password(address, "boss-password", forwarded="203.0.113.8").status_code == 302
    assert try_password(address, "ann-password", "ann").status_code == 302


def test_another_browser_or_a_made_up_address_are_no_way_around(address: str) -> None:
    form = {"username": "boss", "password": "wrong"}
    statuses = [
        Client(headers={"x-forwarded-for": f"9.9.9.{i}, 203.0.113.7", "user-agent": f"browser {i}"})
        .post(address, form, headers={"accept": HTML})
        .status_code
        for i in range(7)
    ]
    assert statuses == [200] * 5 + [429] * 2


@pytest.mark.thorough
def test_a_right_password_forgets_the_wrong_ones(address: str) -> None:
    for _ in range(3):
        for _ in range(5):
            assert try_password(address, "wrong").status_code == 200
        assert try_password(address, "boss-password").status_code == 302


def test_a_program_is_told_in_json(address: str) -> None:
    form = {"username": "boss", "password": "wrong"}
    replies = [Client().post(LOGIN, form) for _ in range(6)]
    assert [reply.status_code for reply in replies] == [400] * 5 + [429]
    assert list(replies[-1].json()) == ["detail"]


@pytest.mark.thorough
def test_who_goes_on_trying_makes_no_row_grow(address: str) -> None:
    for _ in range(20):
        try_password(address, "wrong")
    attempt = AccessAttempt.objects.get()
    assert attempt.failures_since_start == 6
    assert "wrong" not in attempt.post_data
    assert timedelta(minutes=15) == configured.AXES_COOLOFF_TIME


def test_a_try_costs_few_statements(address: str, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(14):
        try_password(address, "wrong")
