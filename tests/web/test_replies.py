"""Pages or JSON, and Django's own refusals in the same shape."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from compute.web.replies import forbidden, page_or_json, refuse, server_error, wants_page

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Reply

HTML = {"accept": "text/html"}


def asking(accept: str | None) -> HttpRequest:
    return RequestFactory().get("/", headers={} if accept is None else {"accept": accept})


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("text/html", True),
        ("text/html,*/*;q=0.8", True),
        ("application/json", False),
        ("*/*", False),
        (None, False),
        ("", False),
        ("nonsense", False),
    ],
)
def test_only_who_prefers_html_wants_a_page(accept: str | None, page: bool) -> None:
    assert wants_page(asking(accept)) == page


def test_a_page_has_a_question_mark_for_a_lone_surrogate() -> None:
    response = page_or_json(asking("text/html"), "refusal.html", {"detail": "a\ud800b"}, {})
    assert "a?b" in response.content.decode()


@given(accept=st.text())
def test_whatever_the_accept_header_says_there_is_an_answer(accept: str) -> None:
    assert wants_page(asking(accept)) in (True, False)


@given(accept=st.text().filter(lambda text: "html" not in text.lower() and "text" not in text))
def test_who_does_not_name_html_gets_json(accept: str) -> None:
    assert not wants_page(asking(accept))


@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_a_reply_carries_its_status_and_headers_in_either_shape(accept: str) -> None:
    response = page_or_json(
        asking(accept), "refusal.html", {}, {}, status=418, headers={"X-Pot": "tea"}
    )
    assert response.status_code == 418
    assert response["X-Pot"] == "tea"
    assert response["Vary"] == "Accept, HX-Request"
    assert response["Cache-Control"] == "no-store"


def test_an_integer_of_any_size_is_written_out() -> None:
    response = page_or_json(asking("*/*"), "", {}, {"total": 10**40})
    assert response.content == b'{"total": 1' + b"0" * 40 + b"}"


def test_a_refusal_is_one_sentence_in_either_shape() -> None:
    program = refuse(asking("*/*"), 400, "Do this.")
    assert json.loads(program.content) == {"detail": "Do this."}
    browser = refuse(asking("text/html"), 400, "Do <this>.").content.decode()
    assert '<p class="error" role="alert">Do &lt;this&gt;.</p>' in browser
    assert "<title>That did not work · sumsite</title>" in browser


# --- Django's own refusals ------------------------------------------------------------


def assert_refused(
    status: int, sentence: str, program: HttpResponse | Reply, page: HttpResponse | Reply
) -> None:
    assert program.status_code == page.status_code == status
    detail = json.loads(program.content)["detail"]
    assert sentence in detail
    assert page["Content-Type"].startswith("text/html")
    assert detail in html.unescape(page.content.decode())


def test_an_address_that_is_none_is_refused() -> None:
    assert_refused(
        404,
        "There is nothing at this address",
        Client().get("/nowhere/"),
        Client().get("/nowhere/", headers=HTML),
    )


@pytest.mark.parametrize(
    "request_that_is_bad",
    [
        {"data": {f"field{i}": "" for i in range(1001)}},
        {"data": b"x", "content_type": "multipart/form-data"},
        {"data": {"n": "1"}, "HTTP_HOST": "elsewhere.example"},
    ],
    ids=["a thousand fields", "no boundary", "another site's name"],
)
def test_a_request_that_django_cannot_read_is_refused(
    db: None, request_that_is_bad: dict[str, Any]
) -> None:
    assert_refused(
        400,
        "This request can't be read",
        Client().post("/sum-start/", **request_that_is_bad),
        Client().post("/sum-start/", **request_that_is_bad, headers=HTML),
    )


def test_an_admin_page_that_is_not_for_everybody_is_refused(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("ann", is_staff=True))
    assert_refused(
        403,
        "This is not for you",
        client.get("/admin/compute/run/"),
        client.get("/admin/compute/run/", headers=HTML),
    )


def test_a_csrf_failure_is_refused(db: None) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies[settings.SESSION_COOKIE_NAME] = "made-up"
    assert_refused(
        403,
        "needs a CSRF token",
        client.post("/sum-start/"),
        client.post("/sum-start/", headers=HTML),
    )


def test_a_mistake_of_the_site_is_not_shown_to_strangers() -> None:
    assert_refused(
        500,
        "The site made a mistake, which is logged",
        server_error(asking("*/*")),
        server_error(asking("text/html")),
    )


def test_what_is_forbidden_says_how_to_be_allowed() -> None:
    assert_refused(
        403,
        "sign in as somebody who may see it",
        forbidden(asking("*/*"), PermissionDenied()),
        forbidden(asking("text/html"), PermissionDenied()),
    )
