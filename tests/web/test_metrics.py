"""/metrics: what it says, to whom, and how long that takes."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task
from prometheus_client.parser import text_string_to_metric_families

from compute.queue import tally
from compute.queue.fanout import async_iter
from compute.queue.models import Job, Node
from tests import database

ADD = "tests.queue.functions.add"


@pytest.fixture
def scrape(settings: Any) -> Any:
    """Asks as Prometheus does; values by name and labels."""
    settings.METRICS_TOKEN = "token"
    client = Client(headers={"authorization": "Bearer token"})

    def scrape() -> dict[Any, float]:
        response = client.get("/metrics")
        assert response.status_code == 200
        assert response["Content-Type"].startswith("text/plain; version=")
        assert response["Cache-Control"] == "no-store"
        families = text_string_to_metric_families(response.content.decode())
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }

    return scrape


# --- what it says ---------------------------------------------------------------------


def test_an_empty_site_has_its_gauges(db: None, scrape: Any) -> None:
    assert scrape() == {
        ("queue_tasks_waiting",): 0,
        ("queue_tasks_running",): 0,
        ("queue_oldest_task_seconds",): 0,
        ("queue_nodes_alive",): 0,
        ("queue_workers_alive",): 0,
    }


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
    tally.add(Counter({("a", kind): value for kind, value in counts.items()}))  # type: ignore[arg-type]
    said = scrape()
    name = "queue_task_duration_seconds"
    assert said[f"{name}_bucket", "a", "0.01"] == 0
    assert said[f"{name}_bucket", "a", "0.1"] == 3
    assert said[f"{name}_bucket", "a", "30.0"] == 3
    assert said[f"{name}_bucket", "a", "60.0"] == 5
    assert said[f"{name}_bucket", "a", "+Inf"] == said[f"{name}_count", "a"] == 6
    assert said[f"{name}_sum", "a"] == 123.5


# --- to whom --------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", "token", "Basic token"])
def test_with_a_token_nobody_gets_in_without_it(settings: Any, admin: Client, given: str) -> None:
    settings.METRICS_TOKEN, settings.DEBUG = "token", True
    response = admin.get("/metrics", headers={"authorization": given})
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
    assert "token" not in response.json()["detail"]


def test_without_a_token_it_is_for_staff(admin: Client) -> None:
    anonymous, member = Client(), Client()
    member.force_login(User.objects.create_user("member"))
    for client in (anonymous, member):
        response = client.get("/metrics")
        assert response.status_code == 403
        assert "METRICS_TOKEN" in response.json()["detail"]
    assert admin.get("/metrics").status_code == 200


def test_in_development_it_is_for_everybody(db: None, settings: Any) -> None:
    settings.DEBUG = True
    assert Client().get("/metrics").status_code == 200


def test_a_scraper_inside_is_not_sent_to_https(db: None, settings: Any, scrape: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert scrape()


def test_while_the_database_is_away_there_are_no_numbers(
    database_away: None, settings: Any
) -> None:
    settings.DEBUG = True
    assert Client().get("/metrics").status_code == 503


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
