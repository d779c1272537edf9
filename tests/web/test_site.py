"""The site's own addresses: its health, its metrics."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from compute.queue.models import Node


def test_healthz_touches_no_database() -> None:
    # Without the `db` fixture any query fails the test.
    assert Client().get("/healthz").json() == {"status": "ok"}


def test_the_platforms_plain_requests_are_not_sent_to_https(
    queue_server: Node, settings: Any
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/healthz").status_code == 200
    assert Client().get("/readyz").status_code == 200
    assert Client().get("/").status_code == 301


@pytest.mark.parametrize("address", ["/healthz", "/readyz", "/metrics"])
def test_nothing_is_posted_to_them(address: str) -> None:
    assert Client().post(address).status_code == 405


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


def test_while_the_database_is_away_there_are_no_numbers(
    database_away: None, settings: Any
) -> None:
    settings.DEBUG = True
    assert Client().get("/metrics").status_code == 503
