"""What Postgres' engine has of its own."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import (
    DataError,
    Error,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.tasks import async_task

from compute.queue import packages, transitions
from compute.queue.contents import Writer, remove
from compute.queue.engines import engine
from compute.queue.engines.postgres import Postgres
from tests import recipes


@pytest.mark.postgres
def test_postgres_sees_to_its_own_log(transactional_db: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        engine().cut_log()
    assert not queries.captured_queries


@pytest.mark.postgres
def test_a_claim_passes_over_what_another_has_locked(other: Any) -> None:
    first, second = async_task("math.sqrt", 1), async_task("math.sqrt", 4)
    other.execute("SELECT FROM queue_job ORDER BY queue_id LIMIT 1 FOR UPDATE")
    claimed = transitions.claim("sumsite", 2, None)
    assert [packages.read(package)["id"] for _, package in claimed] == [second]
    other.execute("ROLLBACK")
    claimed = transitions.claim("sumsite", 2, None)
    assert [packages.read(package)["id"] for _, package in claimed] == [first]


@pytest.mark.postgres
def test_what_is_counted_as_ended_is_locked_and_what_others_have_locked_is_not_counted(
    other: Any,
) -> None:
    now = timezone.now()
    theirs, ours = (
        recipes.job.make(group="a", position=position, state="done", finished_at=now).pk
        for position in range(2)
    )
    lock = "SELECT FROM queue_job WHERE task_id = %s FOR UPDATE NOWAIT"
    other.execute(lock, [theirs])
    with transaction.atomic():
        assert engine().lock_ended(["a"], now + timedelta(seconds=1)) == Counter(a=1)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(lock, [ours])


@pytest.mark.postgres
def test_a_retry_leaves_the_callers_transaction_its_plans(db: None) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        engine().requeue([recipes.job.make(state="failed", payload="x").pk], "failed")
        cursor.execute("SHOW enable_nestloop")
        assert cursor.fetchone() == ("on",)


@pytest.mark.once
@pytest.mark.parametrize(
    ("numbers", "condition"), [(False, "id = ANY(%s::text[])"), (True, "id = ANY(%s::bigint[])")]
)
def test_keys_are_one_array(numbers: bool, condition: str) -> None:
    assert Postgres().among("id", {1: None, 2: None}.keys(), numbers) == (condition, [1, 2])


@pytest.mark.once
@pytest.mark.parametrize(
    ("error", "state", "away"),
    [
        (InternalError(), "25006", True),  # it can only be read
        (InternalError(), "25P02", False),  # a transaction that has failed
        (OperationalError(), None, True),
        (InterfaceError(), None, True),
        (DataError(), None, False),
    ],
    ids=["read only", "aborted", "gone", "closed", "refused"],
)
def test_what_counts_as_away(error: Error, state: str | None, away: bool) -> None:
    error.__cause__ = psycopg.Error()
    error.__cause__.sqlstate = state
    assert Postgres().is_away(error) is away


@pytest.mark.postgres
def test_contents_count_by_what_they_hold_whatever_room_their_files_keep(
    transactional_db: None,
) -> None:
    before = engine().size()
    with Writer("holder") as writer:
        writer.write(bytes(3_000_000))
        content = writer.done()
    assert 3_000_000 <= engine().size() - before < 3_300_000
    remove([content.pk])
    assert engine().size() - before < 300_000


# --- its settings in a project -------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("database", "careless"),
    [
        ({"ENGINE": "django.db.backends.postgresql"}, True),
        ({"ENGINE": "django.contrib.gis.db.backends.postgis", "CONN_MAX_AGE": 0}, True),
        ({"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 600}, False),
        ({"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": None}, False),
        ({"ENGINE": "django.db.backends.sqlite3"}, False),
    ],
    ids=["as Django has it", "no time", "ten minutes", "for ever", "another kind"],
)
def test_a_danger_is_named_with_the_way_out(database: dict[str, Any], careless: bool) -> None:
    said = Postgres().careless(database)
    assert [bool(text) for text in said or ()] == ([True, True] if careless else [])


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "fits"), [({}, True), ({"OPTIONS": {"pool": True}}, False)], ids=["one", "a pool"]
)
def test_no_processes_share_a_pool(options: dict[str, Any], fits: bool) -> None:
    said = Postgres().unfit(options)
    assert [bool(text) for text in said or ()] == ([] if fits else [True, True])


@pytest.mark.once
def test_the_driver_before_can_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections["default"], "Database", SimpleNamespace(__name__="psycopg2"))
    what, hint = Postgres().unfit({}) or ("", "")
    assert "psycopg2" in what
    assert "psycopg" in hint
