"""How much the database may hold, and one content."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from compute.computations.sums import SUM
from compute.models.plans import plan
from compute.queue import room
from compute.queue.contents import Writer, remove
from compute.queue.models import Job


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_last", (0.0, 0))


@pytest.fixture
def compact(transactional_db: None) -> None:
    """The database without what earlier tests left: autovacuum would take it away in the midst."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM FULL" if connection.vendor == "postgresql" else "VACUUM")


@pytest.mark.thorough
def test_the_size_is_what_the_database_says_and_grows_with_it(compact: None) -> None:
    before = room.ask()
    assert before > 100_000
    plan(SUM, {"n": 2000}, 1).start()
    assert 1_500_000 < room.ask() - before < 6_000_000


@pytest.mark.thorough
@pytest.mark.sqlite
def test_pages_that_are_free_do_not_count(compact: None) -> None:
    before = room.ask()
    plan(SUM, {"n": 2000}, 1).start()
    full = room.ask()
    Job.objects.all().delete()
    assert before < room.ask() < full


@pytest.mark.thorough
def test_contents_count_as_long_as_they_are_there(compact: None) -> None:
    before = room.ask()
    with Writer("holder") as writer:
        for _ in range(8):
            writer.write(bytes(1_000_000))
        content = writer.done()
    assert 8_000_000 <= room.ask() - before < 9_000_000
    remove([content.pk])
    assert room.ask() - before < 500_000


def test_it_is_asked_every_few_seconds_only(
    db: None, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    answers = iter([10, 20])
    monkeypatch.setattr(room, "ask", lambda: next(answers))
    assert [room.size() for _ in range(3)] == [10, 10, 10]
    monkeypatch.setattr(room, "HOLDS_S", 0)
    assert room.size() == 20


def test_without_a_limit_nothing_is_used(settings: Any) -> None:
    settings.MAX_KEPT_MB = 0
    assert room.used() == 0
    room.check()


@pytest.mark.parametrize(("held", "is_full"), [(100 * 2**20 - 1, False), (100 * 2**20, True)])
def test_a_full_database_is_said_to_be_full(
    settings: Any, monkeypatch: pytest.MonkeyPatch, held: int, is_full: bool
) -> None:
    settings.MAX_KEPT_MB = 100
    monkeypatch.setattr(room, "ask", lambda: held)
    if not is_full:
        room.check()
        return
    with pytest.raises(room.FullError, match=r"the 100 MB that it may \(MAX_KEPT_MB\)"):
        room.check()


def test_a_content_may_have_what_a_result_may_and_a_little_more(settings: Any) -> None:
    settings.MAX_RESULT_MB = 0.5
    assert room.most_bytes() == 2**19 + room.MARGIN_BYTES
    room.check_size(10, 10)
    with pytest.raises(room.TooLargeError, match=r"over 10 bytes, and MAX_RESULT_MB \(0.5\)"):
        room.check_size(11, 10)
