"""The address that tells how long a run would take."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from compute.models import Run
from compute.queue.models import Node
from tests.addresses import nothing_started
from tests.web.pages.reading import FRAGMENT, HTML

ADDRESS = "/compute/primes/estimate/"


@pytest.fixture
def known_speed(queue_server: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute.models.estimates.speed_of", lambda computation: 1000.0)


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_program_is_told_and_nothing_is_started(known_speed: None, method: str) -> None:
    with nothing_started():
        reply = getattr(Client(), method)(ADDRESS, {"n": "100000", "chunk_size": "25000"})
    assert reply.status_code == 200
    assert reply.json() == {"seconds": 50, "starts_in": 0, "chunks": 4, "workers": 2}
    assert not Run.objects.exists()


def test_nobody_knows_the_speed_of_what_never_ran(queue_server: Node) -> None:
    said = Client().get("/compute/buggy-sum/estimate/?n=5").json()
    assert said == {"seconds": None, "starts_in": 0, "chunks": 1, "workers": 2}


def test_a_program_is_refused_as_at_the_start(db: None) -> None:
    reply = Client().get(ADDRESS, {"n": "x"})
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith("Give n as a whole number")
    assert Client().get("/compute/none/estimate/").status_code == 404


def test_code_that_fails_is_told_as_nothing(db: None, declare: Any) -> None:
    declare(name="odd", length=lambda n: 1 // 0)
    assert Client().get("/compute/odd/estimate/?n=5").json()["seconds"] is None


def test_a_page_asks_for_the_sentence_alone(known_speed: None) -> None:
    reply = Client().post(ADDRESS, {"n": "100000", "chunk_size": "25000"}, headers=FRAGMENT)
    assert reply.content.decode().strip() == (
        "About 50 s with the 2 workers that are there, in 4 chunks."
    )


def test_what_is_being_typed_is_not_wrong_yet(known_speed: None) -> None:
    reply = Client().post(ADDRESS, {"n": "x"}, headers=FRAGMENT)
    assert (reply.status_code, reply.content.decode().strip()) == (200, "")


def test_a_browser_gets_the_form_filled_in(known_speed: None) -> None:
    html = Client().get(f"{ADDRESS}?n=100000&chunk_size=25000", headers=HTML).content.decode()
    assert 'value="100000"' in html
    assert "About 50 s with the 2 workers that are there, in 4 chunks.</p>" in html
    assert '<form method="post" action="/compute/primes/start/"' in html
    refused = Client().get(f"{ADDRESS}?n=x", headers=HTML)
    assert refused.status_code == 400
    assert 'id="id_n_error"' in refused.content.decode()
