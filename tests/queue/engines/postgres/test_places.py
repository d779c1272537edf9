from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.broker import sharing
from compute.queue.engines import engine
from compute.queue.engines.postgres import places, prepared
from compute.queue.engines.postgres.sessions import own_connection
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from tests.queue.conftest import queue_past_us

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

ADD = "tests.queue.functions.add"
QUEUE = "sumsite"


@pytest.fixture(autouse=True)
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every claim takes long, and each looks first, until there is a place."""
    connection.close()
    connection.ensure_connection()
    monkeypatch.setattr(places, "LONG_S", -1)
    monkeypatch.setattr(places, "PAUSE_S", 0)
    monkeypatch.setattr(places, "REMEMBERED_S", math.inf)
    yield
    connection.close()


@pytest.fixture
def other() -> Iterator[Any]:
    """Another session, in a transaction that has written something."""
    with own_connection() as other:
        other.execute("BEGIN")
        other.execute("SELECT pg_current_xact_id()")
        yield other
        other.execute("ROLLBACK")


def known() -> places.Places:
    return engine().places[QUEUE]  # type: ignore[attr-defined, no-any-return]


def claim() -> list[str]:
    """The next task's id, if one is found."""
    claimed = transitions.claim(QUEUE, 1, None)
    ids = [lease.queue_id for lease, _ in claimed]
    return list(Job.objects.filter(queue_id__in=ids).values_list("pk", flat=True))


def remember() -> None:
    """Claim what there is, until a place is known, and look no more."""
    for _ in range(4):
        claim()
    stay()


def stay() -> None:
    assert known().place
    known().looked = known().due = math.inf


def give_back(task_id: str) -> None:
    assert transitions.give_back([Job.objects.filter(pk=task_id).held()[0]])


# --- what it is for -------------------------------------------------------------------


def entries_read() -> int:
    """By a claim that finds nothing, in the indexes by which it looks."""
    read = []
    for look in (lambda: None, claim):
        assert not look()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")
            cursor.execute(
                "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes "
                "WHERE indexrelname IN ('job_waiting', 'queue_package_again')"
            )
            read += cursor.fetchone()
    return int(read[1] - read[0])


@pytest.mark.thorough
def test_under_an_old_snapshot_dead_rows_are_not_walked_by_each_claim() -> None:
    lease: dict[str, Any] = {
        "queue": QUEUE,
        "limit": 500,
        "node": None,
        "worker": None,
        "lease_s": 0,
        "held": [],
    }
    with own_connection() as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT FROM queue_job")
        async_iter(ADD, range(500), broker=sharing("ann"))
        assert len(engine().claim(again_first=False, limited=True, **lease)) == 500
        Job.objects.update(state=JobState.DONE)
        OrmQ.objects.all().delete()
        engine().places.clear()  # type: ignore[attr-defined]
        assert entries_read() >= 1_000, "this needs no place"
        remember()
        assert entries_read() == 0
        task = async_task(ADD, 2)
        assert claim() == [task]
        other.execute("ROLLBACK")


def test_while_claims_are_quick_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LONG_S", 60)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(5):
            claim()
    assert len(queries) == 2 * 5
    assert known().place is None


def test_when_claims_are_quick_again_a_place_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    remember()
    monkeypatch.setattr(places, "LONG_S", 60)
    known().due = -math.inf
    claim()
    assert known().place is None
    assert known().due == math.inf


def test_a_new_connection_may_be_to_another_server() -> None:
    remember()
    connection.close()
    connection.ensure_connection()
    assert engine().places == {}  # type: ignore[attr-defined]


# --- that it passes nothing -----------------------------------------------------------


def test_what_is_queued_later_is_found() -> None:
    remember()
    first, second = async_task(ADD, 1), async_task(ADD, 2)
    new_flow = async_iter(ADD, [3], broker=sharing("ann"))
    found = [claim() for _ in range(4)]
    assert sorted(found[:3]) == sorted([[first], [second], [Job.objects.get(group=new_flow).pk]])
    assert found[3] == []


def test_what_waits_is_not_passed_whoever_has_locked_it(other: Any) -> None:
    waits = async_task(ADD, 1)
    other.execute("ROLLBACK")
    looks = places.Places(QUEUE)
    looks.look()  # the mark
    other.execute("BEGIN")
    other.execute("SELECT FROM queue_job FOR UPDATE")
    looks.look()
    assert looks.place
    engine().places[QUEUE] = looks  # type: ignore[attr-defined]
    stay()
    assert claim() == []
    other.execute("ROLLBACK")
    assert claim() == [waits]


def test_what_was_begun_before_and_is_committed_after_is_found(other: Any) -> None:
    async_task(ADD, 0)
    ((queue_id,),) = other.execute(
        "INSERT INTO django_q_ormq (key, payload, lock) "
        "SELECT key, payload, lock FROM django_q_ormq RETURNING id"
    ).fetchall()
    other.execute(
        'INSERT INTO queue_job (task_id, "group", position, queue, queue_id, name, queued_at, '
        "flow_id) SELECT 'late', 'late', 0, queue, %s, name, queued_at, flow_id FROM queue_job",
        [queue_id],
    )
    async_task(ADD, 2)
    for _ in range(5):
        claim()
    assert known().place is None, "one of before the mark has not ended"
    other.execute("COMMIT")
    assert claim() == ["late"]
    remember()


@pytest.mark.parametrize("committed", [True, False])
def test_what_is_given_back_is_found(other: Any, committed: bool) -> None:
    """At its old place, whether the look was before, after, or in the middle."""
    older, younger = async_task(ADD, 1), async_task(ADD, 2)
    assert (claim(), claim()) == ([older], [younger])
    if committed:
        other.execute("ROLLBACK")
        remember()
        give_back(younger)
        give_back(older)
    else:
        with CaptureQueriesContext(connection) as queries:
            give_back(older)
        Job.objects.filter(pk=older).update(state=JobState.RUNNING, delivery=1)
        other.execute(queries.captured_queries[-1]["sql"])
        for _ in range(4):
            assert claim() == []
        other.execute("COMMIT")
    assert claim() == [older]
    assert claim() == ([younger] if committed else [])


def test_a_package_without_a_job_is_found() -> None:
    remember()
    queue_past_us(ADD, 1)
    assert len(transitions.claim(QUEUE, 1, None)) == 1


def test_a_lease_that_ends_is_found() -> None:
    for lease_s in (0.5, 5, 50):  # on a busy machine one may end before the place is known
        task = async_task(ADD, 1)
        lease: dict[str, Any] = {
            "queue": QUEUE,
            "limit": 1,
            "node": None,
            "worker": None,
            "held": [],
        }
        assert engine().claim(again_first=False, limited=True, lease_s=lease_s, **lease)
        remember()
        if Job.objects.get(pk=task).delivery == 1:
            break
    deadline = time.monotonic() + lease_s + 10
    found: list[str] = []
    while task not in found and time.monotonic() < deadline:
        time.sleep(0.02)
        found += claim()
    assert task in found


def test_what_stock_django_q2_writes_is_found() -> None:
    remember()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_q_ormq (key, payload, lock) VALUES (%s, 'x', now())", [QUEUE]
        )
    assert len(transitions.claim(QUEUE, 1, None)) == 1


def test_what_nobody_tells_of_is_found_when_the_place_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As what a node of older code has given back."""
    task = async_task(ADD, 1)
    assert claim() == [task]
    remember()
    Job.objects.update(state=JobState.QUEUED)
    assert claim() == []
    known().due = -math.inf
    assert claim() == [task]


def test_a_place_holds_in_prepared_claims_too() -> None:
    remember()
    for number in range(prepared.OFTEN * 3):
        task = async_task(ADD, number)
        assert claim() == [task]
        give_back(task)
        assert claim() == [task]
