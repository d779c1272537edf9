"""/metrics: to whom it says what the queue's collector does."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture
def scraper(settings: Any) -> Client:
    """Asks as Prometheus does."""
    settings.METRICS_TOKEN = "token"
    return Client(headers={"authorization": "Bearer token"})


def test_a_scraper_is_told_of_the_queue(db: None, scraper: Client) -> None:
    response = scraper.get("/metrics")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=")
    assert response["Cache-Control"] == "no-store"
    families = text_string_to_metric_families(response.content.decode())
    assert {"queue_tasks_waiting", "queue_nodes_alive"} <= {family.name for family in families}


def test_in_development_it_is_for_everybody(db: None, settings: Any) -> None:
    settings.DEBUG = True
    assert Client().get("/metrics").status_code == 200


def test_a_scraper_inside_is_not_sent_to_https(db: None, settings: Any, scraper: Client) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert scraper.get("/metrics").status_code == 200
