"""How full the database is, as it is told."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client, RequestFactory

from compute.queue import room
from compute.web.room import told_to


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_last", (0.0, 0))


def test_staff_is_told_before_it_is_full_and_nobody_else(
    rf: RequestFactory, db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAX_KEPT_MB = 100
    monkeypatch.setattr(room, "HOLDS_S", -1)
    for size, told in ((79 * 2**20, None), (80 * 2**20, 0.8), (120 * 2**20, 1.2)):
        monkeypatch.setattr(room, "ask", lambda size=size: size)
        request = rf.get("/")
        request.user = AnonymousUser()
        assert told_to(request) is None
        request.user = User(is_staff=True)
        assert told_to(request) == (told and pytest.approx(told))


@pytest.mark.thorough
def test_the_first_page_says_it_to_staff(
    admin: Client, browser_client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAX_KEPT_MB = 100
    monkeypatch.setattr(room, "ask", lambda: 85 * 2**20)
    sentence = "The database holds 85 % of its limit"
    assert sentence in admin.get("/", headers={"accept": "text/html"}).content.decode()
    assert sentence not in browser_client.get("/").content.decode()
    assert Client().get("/sum-start/?n=5").status_code == 200
    monkeypatch.setattr(room, "_last", (0.0, 0))
    monkeypatch.setattr(room, "ask", lambda: 100 * 2**20)
    assert Client().get("/sum-start/?n=5").status_code == 429
