"""What SQLite's engine has of its own."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django_q.models import OrmQ
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.contents import Part
from compute.queue.engines.sqlite import SQLite
from compute.queue.models import Job
from tests.queue.conftest import leases

CAREFUL = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL;",
}


@pytest.mark.once
def test_keys_are_one_text() -> None:
    condition = "id IN (SELECT value FROM json_each(%s))"
    assert SQLite().among("id", {1: None, 2: None}.keys(), numbers=True) == (condition, "[1, 2]")


@pytest.mark.sqlite
@pytest.mark.parametrize("key", ["a'b", 'a"b', "a]b", "ä", "a\\b", "%s"])
def test_a_key_may_hold_any_letters(db: None, key: str) -> None:
    async_task("math.sqrt", 4)
    Job.objects.update(group=key)
    assert Job.objects.filter(group__among=[key, "another"]).count() == 1


@pytest.mark.sqlite
def test_a_job_is_given_back_with_its_package_or_not_at_all(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async_task("math.sqrt", 4)
    ((lease, _),) = transitions.claim(OrmQ.objects.get().key, 1, None)
    held = Job.objects.all().held()

    def away(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("disk I/O error")

    with monkeypatch.context() as between:
        between.setattr(SQLite, "among", away)
        with pytest.raises(OperationalError):
            transitions.give_back(held)
    job = Job.objects.get()
    assert (job.state, job.delivery) == (Job.State.RUNNING, lease.delivery)
    assert transitions.give_back(held) == 1
    assert leases()[0] < 0


@pytest.mark.once
@pytest.mark.parametrize(
    ("database", "careless"),
    [
        ({"ENGINE": "django.db.backends.sqlite3"}, True),
        ({"ENGINE": "django.db.backends.sqlite3", "OPTIONS": CAREFUL}, False),
        ({"ENGINE": "django.db.backends.postgresql", "OPTIONS": {}}, False),
    ],
    ids=["as Django has it", "careful", "another kind"],
)
def test_a_danger_is_named_with_the_way_out(database: dict[str, Any], careless: bool) -> None:
    said = SQLite().careless(database)
    assert [bool(text) for text in said or ()] == ([True, True] if careless else [])


@pytest.mark.once
@pytest.mark.parametrize(("zone", "fits"), [(None, True), ("Asia/Tokyo", False)])
def test_times_of_another_zone_than_its_clocks_are_none_for_the_queue(
    zone: str | None, fits: bool
) -> None:
    said = SQLite().unfit({"TIME_ZONE": zone})
    assert [bool(text) for text in said or ()] == ([] if fits else [True, True])


@pytest.mark.sqlite
def test_its_size_is_that_of_the_pages_in_use(transactional_db: None) -> None:
    before = SQLite().size()
    Part.objects.create(content="c", number=0, data=bytes(1_000_000))
    # (What is free may be used first, but not by all of it.)
    assert 900_000 < SQLite().size() - before < 1_100_000
    Part.objects.all().delete()
    assert SQLite().size() - before < 100_000
