"""A start by GET is a person's or a program's; what another site triggers is refused."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from compute.models import Run, Sweep
from tests.conftest import started

pytestmark = pytest.mark.once

STARTS = ["/sum-start/", "/bug-sum-start/", "/split-sum-start/", "/compute/primes/start/"]
COMPUTING = [*STARTS, "/sum-sync/"]
PICTURE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
ADDRESS_BAR = {**LINK, "Sec-Fetch-Site": "none", "Sec-Fetch-User": "?1"}
OWN_FORM = {**LINK, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-User": "?1"}
PART = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
ACCEPTS = ["*/*", "text/html"]

REFUSED: list[dict[str, str]] = [
    *(
        {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": into}
        for site, (mode, into) in product(
            ("cross-site", "same-site", "Cross-Site", "something-new"),
            [
                *(("no-cors", into) for into in ("image", "script", "style", "audio", "empty")),
                ("cors", "empty"),
                ("websocket", "websocket"),
                *(("navigate", into) for into in ("iframe", "frame", "object", "embed", "")),
                ("", ""),
            ],
        )
    ),
    {"Sec-Fetch-Site": "cross-site"},
    *({**OWN_FORM, "Sec-Fetch-Dest": into} for into in ("iframe", "object", "embed")),
    *({"Sec-Purpose": said} for said in ("prefetch", "prefetch;prerender", "Prefetch")),
    {"Purpose": "prefetch"},
    {"X-Purpose": "preview"},
    {"X-Moz": "prefetch"},
    {**LINK, "Sec-Purpose": "prefetch"},
    {**ADDRESS_BAR, "Sec-Purpose": "prefetch;prerender"},
    {**PART, "Sec-Purpose": "prefetch"},
]


def assert_refused(reply: Any) -> None:
    assert reply.status_code == 403, reply.content
    assert "open the address" in reply.content.decode()
    if reply["Content-Type"] == "application/json":
        assert list(reply.json()) == ["detail"]
    assert not Run.objects.exists()
    assert not Sweep.objects.exists()


@pytest.mark.thorough
@pytest.mark.parametrize("headers", REFUSED, ids=lambda headers: " ".join(headers.values()))
def test_what_another_site_or_a_browser_itself_asks_for_starts_nothing(
    db: None, headers: dict[str, str]
) -> None:
    for address, accept in product(COMPUTING, ACCEPTS):
        assert_refused(Client(headers={**headers, "Accept": accept}).get(address, {"n": 5}))
        assert_refused(Client(headers={**headers, "Accept": accept}).post(address, {"n": 5}))


@pytest.mark.thorough
@pytest.mark.parametrize("headers", [{}, LINK, ADDRESS_BAR, OWN_FORM, PART])
def test_what_a_person_or_a_program_asks_for_is_done(db: None, headers: dict[str, str]) -> None:
    for address in STARTS:
        started(address, Client(headers=headers), n=5)
    assert Client(headers=headers).get("/sum-sync/?n=4").json() == {"total": 10}


@pytest.mark.thorough
@pytest.mark.parametrize("headers", [{}, OWN_FORM, PART, {**ADDRESS_BAR, "Origin": "null"}])
def test_the_sites_own_forms_and_programs_post(db: None, headers: dict[str, str]) -> None:
    for address in STARTS:
        assert Client(headers=headers).post(address, {"n": 5}).status_code == 200


@pytest.mark.parametrize("headers", [LINK, PICTURE, {**LINK, "Sec-Fetch-Site": "same-site"}])
def test_another_sites_form_does_nothing_even_without_a_cookie(
    admin: Client, headers: dict[str, str]
) -> None:
    User.objects.create_user("ann", password="right-password")
    for address in (*COMPUTING, "/compute/sum/chunk-sizes/", "/compute/sum/cancel/", "/login/"):
        data = {"n": 1000, "username": "ann", "password": "right-password"}
        for client in (Client(), admin):
            assert_refused(client.post(address, data, headers=headers))


def test_an_origin_that_is_trusted_may_post_forms(db: None, settings: Any) -> None:
    headers = {**LINK, "Origin": "https://friend.example"}
    assert_refused(Client(headers=headers).post("/sum-start/", {"n": 5}))
    settings.CSRF_TRUSTED_ORIGINS = ["https://friend.example"]
    assert Client(headers=headers).post("/sum-start/", {"n": 5}).status_code == 200
    assert Client(headers={**LINK, "Origin": "null"}).post("/sum-start/").status_code == 403
    assert Client(headers=LINK).post("/sum-start/", {"n": 5}).status_code == 403


@pytest.mark.parametrize("headers", [PICTURE, {"Sec-Purpose": "prefetch"}])
def test_what_only_shows_something_is_shown(db: None, headers: dict[str, str]) -> None:
    run = started("/sum-start/", n=5)
    for address in ("/", run.get_absolute_url(), "/compute/sum/chunk-sizes/?n=5", "/nodes/"):
        assert Client(headers=headers).get(address).status_code == 200


@pytest.mark.parametrize("headers", [{}, PICTURE, {"Sec-Purpose": "prefetch"}])
def test_head_is_still_no_way_to_start(db: None, headers: dict[str, str]) -> None:
    for address in STARTS:
        assert Client(headers=headers).head(address, {"n": 5}).status_code == 405
