"""Who has a session needs a CSRF token, and nobody else does."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from tests.addresses import BROWSER, SUM_ADDRESSES, nothing_started


@pytest.fixture
def signed_in(db: None) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("ann"))
    return client


@pytest.mark.parametrize("address", SUM_ADDRESSES)
def test_a_post_without_a_session_needs_no_csrf_token(db: None, address: str) -> None:
    assert Client(enforce_csrf_checks=True).post(address, {"n": "5"}).status_code == 200


@pytest.mark.parametrize("address", SUM_ADDRESSES)
@pytest.mark.parametrize("accept", ["*/*", BROWSER], ids=["program", "browser"])
def test_a_post_with_a_session_and_no_csrf_token_is_refused(
    signed_in: Client, address: str, accept: str
) -> None:
    with nothing_started():
        response = signed_in.post(address, {"n": "5"}, headers={"accept": accept})
    assert response.status_code == 403
    assert "CSRF token" in response.content.decode()
    if accept == "*/*":
        assert list(response.json()) == ["detail"]


def test_a_session_cookie_of_nobody_counts_too(db: None) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies[settings.SESSION_COOKIE_NAME] = "made-up"
    assert client.post("/sum-start/", {"n": "5"}).status_code == 403


def test_a_get_with_a_session_needs_no_csrf_token(signed_in: Client) -> None:
    assert signed_in.get("/sum-start/", {"n": "5"}).status_code == 200


def test_the_sites_own_form_carries_the_token_of_whoever_is_signed_in(signed_in: Client) -> None:
    signed_in.defaults["HTTP_ACCEPT"] = BROWSER
    page = signed_in.get("/").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    form = {"n": "5", "csrfmiddlewaretoken": token[1]}
    assert signed_in.post("/split-sum-start/", form).status_code == 303


def test_the_form_of_whoever_is_not_signed_in_has_no_token(
    db: None, browser_client: Client
) -> None:
    response = browser_client.get("/")
    assert "csrfmiddlewaretoken" not in response.content.decode()
    assert not response.cookies
