"""What `/metrics` says, and how long that takes."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from compute.queue import pauses, room, tally
from compute.queue.broker import sharing
from compute.queue.contents import Writer
from compute.queue.fanout import async_iter
from compute.queue.metrics import QueueCollector
from compute.queue.models import Job, Node
from compute.queue.sharing import Slot
from tests import database

ADD = "tests.queue.functions.add"


@pytest.fixture
def scrape() -> Any:
    """What the collector says, as a scraper reads it; values by name and labels."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(QueueCollector())

    def scrape() -> dict[Any, float]:
        families = text_string_to_metric_families(generate_latest(registry).decode())
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }

    return scrape


# --- what it says ---------------------------------------------------------------------


def test_an_empty_site_has_its_gauges(
    db: None, scrape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "used", lambda: 0.25)
    assert scrape() == {
        ("queue_tasks_waiting",): 0,
        ("queue_tasks_deferred",): 0,
        ("queue_tasks_running",): 0,
        ("queue_oldest_task_seconds",): 0,
        ("queue_nodes_alive",): 0,
        ("queue_workers_alive",): 0,
        ("queue_nodes_draining",): 0,
        ("queue_paused",): 0,
        ("queue_contents",): 0,
        ("queue_contents_bytes",): 0,
        ("queue_database_full_ratio",): 0.25,
        ("queue_flows_paused",): 0,
    }


def test_what_is_large_is_added_up(db: None, scrape: Any) -> None:
    for size in (10, 200):
        with Writer("holder") as writer:
            writer.write(bytes(size))
            writer.done()
    said = scrape()
    assert (said["queue_contents",], said["queue_contents_bytes",]) == (2, 210)
    assert 0 < said["queue_database_full_ratio",] < 1


def test_what_waits_what_runs_and_for_how_long(queue_server: Node, scrape: Any) -> None:
    async_iter(ADD, [1, 2, 3])
    first, second, _ = OrmQ.objects.order_by("pk")
    OrmQ.objects.filter(pk=first.pk).update(lock=timezone.now() + timedelta(seconds=60))
    for queue_id, seconds in ((first.pk, 500), (second.pk, 90)):
        queued = timezone.now() - timedelta(seconds=seconds)
        Job.objects.filter(queue_id=queue_id).update(queued_at=queued)
    said = scrape()
    assert (said["queue_tasks_waiting",], said["queue_tasks_running",]) == (2, 1)
    assert 90 <= said["queue_oldest_task_seconds",] < 100
    assert (said["queue_nodes_alive",], said["queue_workers_alive",]) == (1, 2)


def test_what_is_not_due_yet_neither_waits_nor_runs(db: None, scrape: Any) -> None:
    async_iter(ADD, [1, 2, 3])
    late, later, due = Job.objects.order_by("position")
    for job, seconds in ((late, 60), (later, 3600), (due, -1)):
        due_at = timezone.now() + timedelta(seconds=seconds)
        Job.objects.filter(pk=job.pk).update(due_at=due_at)
        OrmQ.objects.filter(pk=job.queue_id).update(lock=due_at)
    said = scrape()
    assert (said["queue_tasks_waiting",], said["queue_tasks_running",]) == (1, 0)
    assert said["queue_tasks_deferred",] == 2


def test_a_waiting_package_without_a_job_has_no_age(db: None, scrape: Any) -> None:
    async_task(ADD, 1)
    Job.objects.all().delete()
    said = scrape()
    assert (said["queue_tasks_waiting",], said["queue_oldest_task_seconds",]) == (1, 0)


def test_a_queueing_clock_that_is_ahead_makes_no_age_negative(db: None, scrape: Any) -> None:
    async_task(ADD, 1)
    Job.objects.update(queued_at=timezone.now() + timedelta(hours=1))
    assert scrape()["queue_oldest_task_seconds",] == 0


def test_counters_come_with_every_function_that_is_known(db: None, scrape: Any) -> None:
    tally.add(Counter({("a", "done"): 5, ("b", "failed"): 1, ("b", "expired"): 2}))
    said = scrape()
    assert (said["queue_tasks_done_total", "a"], said["queue_tasks_done_total", "b"]) == (5, 0)
    assert (said["queue_tasks_failed_total", "a"], said["queue_tasks_failed_total", "b"]) == (0, 1)
    assert said["queue_leases_expired_total", "b"] == 2
    assert said["queue_tasks_redelivered_total", "b"] == 0


def test_durations_are_a_histogram(db: None, scrape: Any) -> None:
    counts = {"to 0.1": 3, "to 60": 2, "to inf": 1, "seconds": 123.5}
    tally.add(Counter({("a", kind): value for kind, value in counts.items()}))
    said = scrape()
    name = "queue_task_duration_seconds"
    assert said[f"{name}_bucket", "a", "0.01"] == 0
    assert said[f"{name}_bucket", "a", "0.1"] == 3
    assert said[f"{name}_bucket", "a", "30.0"] == 3
    assert said[f"{name}_bucket", "a", "60.0"] == 5
    assert said[f"{name}_bucket", "a", "+Inf"] == said[f"{name}_count", "a"] == 6
    assert said[f"{name}_sum", "a"] == 123.5


def test_what_an_operator_has_asked_for(queue_server: Node, scrape: Any) -> None:
    async_iter(ADD, [1], broker=sharing(kind="red"))
    async_iter(ADD, [1])
    Node.objects.update(draining=True)
    pauses.pause("red")
    pauses.pause()
    said = scrape()
    assert (said["queue_nodes_alive",], said["queue_nodes_draining",]) == (1, 1)
    assert (said["queue_paused",], said["queue_flows_paused",]) == (1, 1)


def test_what_waits_and_runs_is_told_by_kind(queue_server: Node, scrape: Any) -> None:
    async_iter(ADD, [1, 2, 3], broker=sharing("ann", kind="red"))
    async_iter(ADD, [4, 5], broker=sharing("bob", kind="red"))
    async_iter(ADD, [6], broker=sharing("ann"))
    async_task(ADD, 7)
    async_task(ADD, 8)
    Job.objects.filter(name="add(8)").update(flow=0)  # as older code queues it
    first = Job.objects.order_by("queue_id")[0]
    Job.objects.filter(pk=first.pk).update(state="running", node=queue_server)
    said = scrape()
    waiting, running = "queue_kind_tasks_waiting", "queue_kind_tasks_running"
    assert {kind: said[waiting, kind] for kind in ("red", ADD, "(other)")} == {
        "red": 4,
        ADD: 1,
        "(other)": 2,
    }
    assert {kind: said[running, kind] for kind in ("red", ADD, "(other)")} == {
        "red": 1,
        ADD: 0,
        "(other)": 0,
    }


def test_slots_are_told_by_pool(db: None, scrape: Any) -> None:
    async_iter(ADD, [1, 2], broker=sharing(at_once=3, pool="licences"))
    async_iter(ADD, [1, 2], broker=sharing(at_once=2))
    Slot.objects.filter(number=0).update(until=timezone.now() + timedelta(seconds=60))
    said = scrape()
    for pool, taken, free in (("licences", 1, 2), ("(other)", 1, 1)):
        assert said["queue_slots_taken", pool] == taken
        assert said["queue_slots_free", pool] == free


def test_the_largest_kinds_are_told_apart(
    db: None, scrape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "MOST", 2)
    for number in range(1, 5):
        async_iter(ADD, range(number), broker=sharing(kind=f"kind {number}"))
    said = scrape()
    told = {key[1]: value for key, value in said.items() if key[0] == "queue_kind_tasks_waiting"}
    assert told == {"kind 4": 4, "kind 3": 3, "(other)": 3}


def test_a_scrape_takes_as_many_statements_for_many_flows(
    db: None, scrape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "HOLDS_S", 60)
    room.size()  # is asked for now and then
    asked = []
    for count in (1, 5):
        for _ in range(count):
            async_iter(ADD, [1, 2], broker=sharing(kind="red", at_once=2))
        with CaptureQueriesContext(connection) as queries:
            scrape()
        asked.append(len(queries))
    assert asked[0] == asked[1] <= 11


# --- how long -------------------------------------------------------------------------

MILLION = 1_000_000


@pytest.fixture
def a_million_ended_jobs(transactional_db: None) -> None:
    """And as many of django-q2's records, 1,000 tasks that wait, and counts of 20 functions."""
    postgres = database.ENGINE == "postgres"
    numbers = (
        "SELECT number FROM generate_series(1, %s) AS number"
        if postgres
        else "WITH RECURSIVE counting(number) AS (SELECT 1 UNION ALL SELECT number + 1 "
        "FROM counting WHERE number < %s) SELECT number FROM counting"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO queue_job (task_id, "group", position, queue, name, state,
                queued_at, started_at, finished_at)
            SELECT number, number / 1000, number %% 1000, 'sumsite', 'a job', 'done',
                '2026-01-01', '2026-01-01', '2026-01-02' FROM ({numbers}) AS numbers
            """,  # noqa: S608
            [MILLION],
        )
        cursor.execute(
            f"""
            INSERT INTO django_q_task (id, name, func, started, stopped, success, attempt_count)
            SELECT number, 'a job', '{ADD}', '2026-01-01', '2026-01-02', true, 1
            FROM ({numbers}) AS numbers
            """,  # noqa: S608
            [MILLION],
        )
        if postgres:
            cursor.execute("ANALYZE")
    async_iter(ADD, range(1000))
    kinds = ["done", "failed", "seconds", *map(tally.bucket, tally.BOUNDS)]
    tally.add(Counter({(f"function{one}", kind): 7 for one in range(20) for kind in kinds}))


@pytest.mark.long
def test_a_scrape_is_cheap_however_many_jobs_have_ended(
    a_million_ended_jobs: None, queue_server: Node, scrape: Any
) -> None:
    assert Job.objects.count() == MILLION + 1000
    durations = []
    for _ in range(20):
        began = time.perf_counter()
        said = scrape()
        durations.append(time.perf_counter() - began)
    durations.sort()
    print(
        f"\na scrape: median {durations[10] * 1000:.1f} ms, slowest {durations[-1] * 1000:.1f} ms"
    )
    assert said["queue_tasks_waiting",] == 1000
    assert said["queue_tasks_done_total", "function7"] == 7
    assert durations[10] < 0.1
