from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.engines import engine, sql
from compute.queue.engines.postgres import prepared
from compute.queue.engines.postgres.places import Place, Places
from tests.queue.engines.postgres.test_prepared import MANY, kept

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """A session that has prepared nothing, and is gone when a table is as it was."""
    connection.close()
    connection.ensure_connection()
    yield
    connection.close()


def statements(count: int = 1) -> list[str]:
    """Of a claim."""
    with CaptureQueriesContext(connection) as queries:
        assert len(transitions.claim("sumsite", count, None)) == count
    return [query["sql"] for query in queries.captured_queries if "leased" in query["sql"]]


def test_a_claim_is_prepared_however_many_the_node_has_at_work() -> None:
    for number in range(MANY):
        async_task("math.sqrt", number)
        transitions.claim("sumsite", 1, None, held=[10**number])
    assert len(kept()) == 2, "what is up again, and what is next"


def test_how_many_it_claims_is_a_part_of_the_text() -> None:
    for number in range(3):
        async_task("math.sqrt", number)
    assert "LIMIT 2" in statements(2)[-1]
    assert "LIMIT 1" in statements()[-1]


def test_a_transaction_goes_by_no_place_for_it_may_be_an_older_one() -> None:
    places = Places("sumsite")
    ((returns,),) = sql.fetch("SELECT coalesce(pg_sequence_last_value('queue_returns'), 0)")
    places.place = Place(returns, "{}", None)
    engine().places["sumsite"] = places  # type: ignore[attr-defined]
    for _ in range(2):
        async_task("math.sqrt", 4)
    assert all("queue_returns" in statement for statement in statements())
    with transaction.atomic():
        assert not any("queue_returns" in statement for statement in statements())


def test_only_a_claim_that_stands_alone_waits_for_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that takes a slot, and nothing that comes after it."""
    waits: list[bool] = []

    def ask(statement: str, values: Any) -> sql.Rows:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, values)
            found: sql.Rows = cursor.fetchall()
            cursor.execute("SHOW synchronous_commit")
            waits.append(cursor.fetchone() != ("off",))
        return found

    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
    monkeypatch.setattr(prepared, "fetch", ask)
    for _ in range(3):
        async_task("math.sqrt", 4)
    for limited in (False, True):
        assert transitions.claim("sumsite", 1, None, again_first=False, limited=limited)
    with transaction.atomic():
        assert transitions.claim("sumsite", 1, None, again_first=False, limited=False)
    assert waits == [False, True, True]
    assert sql.fetch("SHOW synchronous_commit") == [("on",)]


@pytest.mark.thorough
@pytest.mark.parametrize("uncharged", [{}, {1: 0.5}])
def test_a_claims_plan_of_an_empty_table_is_right_for_a_full_one(
    uncharged: dict[int, float],
) -> None:
    sql.execute("TRUNCATE queue_job, django_q_ormq, queue_flow", None)
    for again_first in (True, False) * MANY:
        transitions.claim("sumsite", 1, None, again_first=again_first, uncharged=uncharged)
    assert sum(planned > 0 for _, planned in kept()) == 2
    for number in range(500):
        async_task("math.sqrt", number)
    read = rows_read_whole()
    for again_first in (True, False) * 3:
        assert transitions.claim("sumsite", 1, None, again_first=again_first, uncharged=uncharged)
    assert rows_read_whole() == read


def rows_read_whole() -> int:
    """Of how many rows of tasks tables were read from one end to the other, ever."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables "
            "WHERE relname IN ('queue_job', 'django_q_ormq')"
        )
        return int(cursor.fetchone()[0])
