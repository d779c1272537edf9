"""/healthz answers for the process, /readyz for all that the site needs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from compute import health
from compute.queue.models import Node

NO_QUEUE_SERVER = "No queue server is running: start one with `./manage.py qcluster`."


def assert_not_ready(detail: str) -> None:
    assert health.missing() == detail
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"detail": detail}
    assert int(response["Retry-After"]) > 0


def test_healthz_touches_no_database() -> None:
    # Without the `db` fixture any query fails the test.
    assert Client().get("/healthz").json() == {"status": "ok"}


def test_a_site_that_lacks_nothing_is_ready(queue_server: Node) -> None:
    assert health.missing() is None
    response = Client().get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_without_a_queue_server_the_site_is_not_ready(db: None) -> None:
    assert_not_ready(NO_QUEUE_SERVER)


def test_a_queue_server_that_fell_silent_does_not_count(queue_server: Node) -> None:
    silence = Node.SILENCE + timedelta(seconds=1)
    Node.objects.update(seen_at=timezone.now() - silence)
    assert_not_ready(NO_QUEUE_SERVER)


def test_a_queue_server_that_said_goodbye_does_not_count(queue_server: Node) -> None:
    Node.objects.update(stopped_at=Now())
    assert_not_ready(NO_QUEUE_SERVER)


def test_of_several_queue_servers_one_is_enough(queue_server: Node) -> None:
    Node.objects.update(stopped_at=Now())
    Node.objects.create(
        id="1" * 32,
        name="another",
        host="there",
        pid=2,
        started_at=timezone.now(),
        seen_at=timezone.now() + timedelta(hours=1),
    )
    assert health.missing() is None


@pytest.mark.parametrize("app", ["compute", "queue", "auth"])
def test_a_migration_that_is_not_applied_is_missed(queue_server: Node, app: str) -> None:
    MigrationRecorder(connection).migration_qs.filter(app=app).latest("name").delete()
    assert_not_ready("The database lacks migrations: run `./manage.py migrate`.")


def test_without_a_database_the_site_is_not_ready_but_healthy(database_away: None) -> None:
    assert_not_ready("The database does not answer.")
    assert Client().get("/healthz").status_code == 200


def test_the_platforms_plain_requests_are_not_sent_to_https(
    queue_server: Node, settings: Any
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/healthz").status_code == 200
    assert Client().get("/readyz").status_code == 200
    assert Client().get("/").status_code == 301
