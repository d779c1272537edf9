"""Postgres plans by what it last counted. A queue that was empty then may hold ten thousand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django_q.models import OrmQ

from compute.models import Run
from compute.queue.models import Job, JobState

TABLES = ["queue_job", "django_q_ormq", "django_q_task"]


@pytest.fixture
def outdated(transactional_db: None) -> Iterator[None]:
    """Statistics of tables that were full once, and empty when they were counted; a statement
    that then compares each row with each other is given up after a while."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pg_class SET reltuples = 0, relpages = 900 WHERE relname = ANY(%s)", [TABLES]
        )
        cursor.execute("SET statement_timeout = '20s'")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = DEFAULT")
        cursor.execute(f"ANALYZE {', '.join(TABLES)}")


@pytest.mark.postgres
def test_ten_thousand_chunks_are_started_retried_and_cancelled(
    outdated: None, admin: Client
) -> None:
    reply = admin.get("/split-sum-start/", {"n": 10_000, "chunk_size": 1})
    assert reply.status_code == 200
    run = Run.objects.get()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE queue_job SET state = 'failed', finished_at = now(), payload = package.payload "
            "FROM django_q_ormq AS package WHERE package.id = queue_id"
        )
    OrmQ.objects.all().delete()
    given = {"task_id": run.task_id}
    assert admin.post("/compute/sum/retry/", given).json()["retried"] == 10_000
    assert OrmQ.objects.count() == 10_000
    assert admin.post("/compute/sum/cancel/", given).json()["cancelled"] == 10_000
    assert Job.objects.filter(state=JobState.CANCELLED).count() == 10_000
    assert not OrmQ.objects.exists()
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED
