"""The name and the note that an owner gives a run."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.conftest import run_jobs, started
from tests.web.test_actions import do, start_in_browser


def test_a_run_is_called_by_its_name_everywhere(db: None, browser_client: Client) -> None:
    run = start_in_browser(browser_client, n=10)
    reply = do(browser_client, "note", run, name="  Jane's\tfirst ", note="For <b>her</b>\r\nok")
    assert (reply.status_code, reply["Location"]) == (303, run.get_absolute_url())
    run.refresh_from_db()
    assert (run.name, run.note, str(run)) == ("Jane's first", "For <b>her</b>\nok", "Jane's first")
    run_jobs()
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert "<h1>Jane&#x27;s first</h1>" in html
    assert '<p class="lead">sum 1–10</p>' in html
    assert '<p class="noted">For &lt;b&gt;her&lt;/b&gt;\nok</p>' in html
    for address in ("/", "/?q=JANE", "/?q=for", "/compute/sum/"):
        html = browser_client.get(address).content.decode()
        assert "Jane&#x27;s first</a> <small>sum 1–10, split" in html
        assert '<small class="noted">For &lt;b&gt;her' in html
    assert "Jane" not in browser_client.get("/?q=him").content.decode()


def test_one_that_is_left_out_stays_and_an_empty_one_goes(db: None, admin: Client) -> None:
    run = started("/sum-start/", n=10)
    address = f"http://testserver{run.get_absolute_url()}"
    for given, name, note in (
        ({"name": "a"}, "a", ""),
        ({"note": "b"}, "a", "b"),
        ({"name": ""}, "", "b"),
        ({"name": "a\0b", "note": " "}, "ab", ""),
    ):
        reply = do(admin, "note", run, **given)
        assert reply.json() == {"noted": {"name": name, "note": note}, "task_progress": address}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("\u200b\u2060\ufeff", ""),
        (" \u200b \x07a\u200bb \ufeff ", "a\u200bb"),
        ("a\u202eb\u202a\u202d\u202c\u2066c\u2067\u2068\u2069", "abc"),
        ("\u202e \u2066", ""),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("\u05d0 1", "\u05d0 1"),
    ],
)
def test_a_name_is_seen_and_reads_in_its_own_direction(
    db: None, admin: Client, given: str, name: str
) -> None:
    run = started("/sum-start/", n=10)
    do(admin, "note", run, name="before")
    assert do(admin, "note", run, name=given).json()["noted"]["name"] == name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "Give a name, a note, or both; empty ones are removed."),
        ({"name": "x" * 101}, "name: Ensure this value has at most 100 characters (it has 101)."),
        ({"note": "x" * 2001}, "note: Ensure this value has at most 2000 characters"),
    ],
)
def test_what_is_too_long_is_refused(db: None, admin: Client, given: Any, said: str) -> None:
    run = started("/sum-start/", n=10)
    reply = do(admin, "note", run, **given)
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith(said)
    assert list(reply.json().get("fields", {})) == list(given)
    run.refresh_from_db()
    assert (run.name, run.note) == ("", "")


def test_a_stranger_is_shown_no_form(db: None, browser_client: Client) -> None:
    run = start_in_browser(browser_client, n=10)
    assert "Give it a name or a note" in browser_client.get(run.get_absolute_url()).content.decode()
    html = Client().get(run.get_absolute_url(), headers={"accept": "text/html"}).content.decode()
    assert "Give it a name or a note" not in html
