"""How full the database is, of what it may hold."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client, RequestFactory

from compute.computations.sums import SUM
from compute.models.plans import plan
from compute.queue.models import Job
from compute.web import room


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_last", (0.0, 0))


def test_the_size_is_what_the_database_says_and_grows_with_it(transactional_db: None) -> None:
    before = room.ask()
    assert before > 100_000
    plan(SUM, {"n": 2000}, 1).start()
    assert 1_500_000 < room.ask() - before < 6_000_000


@pytest.mark.sqlite
def test_pages_that_are_free_do_not_count(transactional_db: None) -> None:
    before = room.ask()
    plan(SUM, {"n": 2000}, 1).start()
    full = room.ask()
    Job.objects.all().delete()
    assert before < room.ask() < full


def test_it_is_asked_every_few_seconds_only(
    db: None, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    answers = iter([10, 20])
    monkeypatch.setattr(room, "ask", lambda: next(answers))
    assert [room.size() for _ in range(3)] == [10, 10, 10]
    monkeypatch.setattr(room, "HOLDS", 0)
    assert room.size() == 20


def test_without_a_limit_nothing_is_used(settings: Any) -> None:
    settings.MAX_KEPT_MB = 0
    assert room.used() == 0


def test_staff_is_told_before_it_is_full_and_nobody_else(
    rf: RequestFactory, db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAX_KEPT_MB = 100
    monkeypatch.setattr(room, "HOLDS", -1)
    for size, told in ((79e6, None), (80e6, 0.8), (120e6, 1.2)):
        monkeypatch.setattr(room, "ask", lambda size=size: size)
        request = rf.get("/")
        request.user = AnonymousUser()
        assert room.told_to(request) is None
        request.user = User(is_staff=True)
        assert room.told_to(request) == (told and pytest.approx(told))


def test_the_first_page_says_it_to_staff(
    admin: Client, browser_client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAX_KEPT_MB = 100
    monkeypatch.setattr(room, "ask", lambda: 85_000_000)
    sentence = "The database holds 85 % of its limit"
    assert sentence in admin.get("/", headers={"accept": "text/html"}).content.decode()
    assert sentence not in browser_client.get("/").content.decode()
    assert Client().get("/sum-start/?n=5").status_code == 200
    monkeypatch.setattr(room, "_last", (0.0, 0))
    monkeypatch.setattr(room, "ask", lambda: 100_000_000)
    assert Client().get("/sum-start/?n=5").status_code == 429
