"""The page of chunk sizes: its picture, and what may be tried."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from compute.models import Run, Sweep
from compute.queue.models import JobState
from tests.aged import make_rows
from tests.conftest import started

ADDRESS = "/compute/sum/chunk-sizes/"


def test_whoever_pressed_may_cancel_its_runs(db: None, browser_client: Client) -> None:
    reply = browser_client.post(ADDRESS, {"n": 1000})
    assert (reply.status_code, reply["Location"]) == (303, f"{ADDRESS}?n=1000")
    run = Run.objects.get()
    browser_client.post("/compute/sum/cancel/", {"task_id": run.task_id})
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED


@pytest.mark.thorough
def test_the_page_has_the_picture_and_says_what_it_shows(db: None, browser_client: Client) -> None:
    html = browser_client.get(ADDRESS).content.decode()
    assert "Try several sizes" in html
    assert "Fill in the form above" in html
    html = browser_client.get(ADDRESS, {"n": 1000}).content.decode()
    assert "No run of this has been split into chunks yet." in html
    browser_client.post(ADDRESS, {"n": 1000})
    html = browser_client.get(ADDRESS, {"n": 1000}).content.decode()
    assert "0 of 6 sizes tried" in html
    assert f'hx-get="{ADDRESS}?n=1000"' in html
    now = timezone.now()
    for size, seconds in ((1, 30), (100, 10), (1000, 20)):
        run = started("/split-sum-start/", n=1000, chunk_size=size)
        Run.objects.filter(pk=run.pk).update(
            state="done", created_at=now, finished_at=now + timedelta(seconds=seconds)
        )
    Run.objects.filter(chunk_size=100, sweep=None).update(work_seconds=15)
    part = browser_client.get(ADDRESS, {"n": 1000}, headers={"hx-request": "true"})
    html = part.content.decode()
    assert html.strip().startswith('<section id="chunk-sizes"')
    assert html.count("<circle") == 3
    assert 'aria-label="Chunks of 100: 10 s"' in html
    assert "one worker&#x27;s time" in html or "one worker's time" in html
    assert "On the left, small chunks:" in html
    assert "On the right, large chunks:" in html


def test_of_many_runs_the_newest_are_searched(
    db: None, monkeypatch: pytest.MonkeyPatch, browser_client: Client
) -> None:
    monkeypatch.setattr("compute.web.pages.chunk_sizes.LOOK", 3)
    make_rows(3)
    assert "searched" not in browser_client.get(ADDRESS, {"n": 1000}).content.decode()
    make_rows(1, first=3)
    html = browser_client.get(ADDRESS, {"n": 1000}).content.decode()
    assert html.count("<circle") == 3
    assert "Only the newest 3 runs were searched, back to" in html
    html = browser_client.get(ADDRESS, {"n": 77}).content.decode()
    assert "No run of this was found." in html


@pytest.mark.parametrize(
    ("address", "status", "detail"),
    [
        ("/compute/nothing/chunk-sizes/", 404, "There is no such computation"),
        ("/compute/buggy-sum/chunk-sizes/", 404, "buggy-sum runs in one piece, without chunks."),
        (f"{ADDRESS}?n=x", 400, "Give n as a whole number"),
        (f"{ADDRESS}?n=0", 400, "There is nothing to cut."),
        (ADDRESS, 400, "Give n as a whole number"),
    ],
)
def test_what_is_refused(db: None, address: str, status: int, detail: str) -> None:
    reply = Client().post(address)
    assert reply.status_code == status
    assert detail in reply.json()["detail"]
    assert not Sweep.objects.exists()


def test_a_wrong_n_is_said_at_the_field(db: None, browser_client: Client) -> None:
    html = browser_client.get(ADDRESS, {"n": "x"}).content.decode()
    assert 'id="id_n_error"' in html


def test_without_parameters_a_program_is_told_of_no_runs(db: None) -> None:
    assert Client().get(ADDRESS).json() == {"runs": []}


def test_too_many_runs_are_too_many_here_as_well(db: None, settings: Any) -> None:
    settings.MAX_ACTIVE_RUNS = 0
    reply = Client().post(ADDRESS, {"n": 1000})
    assert (reply.status_code, reply["Retry-After"]) == (429, "10")


def test_a_runs_page_leads_there(db: None, browser_client: Client) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=10)
    run.jobs.update(state=JobState.DONE)
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert f'href="{ADDRESS}?n=1000"' in html


@pytest.mark.thorough
def test_what_is_too_long_for_an_address_is_named_by_a_run(
    db: None, browser_client: Client
) -> None:
    long = "0" * 50_000 + "1000"
    reply = browser_client.post(ADDRESS, {"n": long})
    run = Run.objects.get()
    assert (reply.status_code, reply["Location"]) == (303, f"{ADDRESS}?task_id={run.task_id}")
    html = browser_client.get(reply["Location"]).content.decode()
    assert f'value="{long}"' in html
    assert f'hx-get="{ADDRESS}?task_id={run.task_id}"' in html
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert f'href="{ADDRESS}?task_id={run.task_id}"' in html
    assert Client().get(f"{ADDRESS}?task_id={run.task_id}").json()["sweeping"]
    assert Client().get(f"{ADDRESS}?task_id={'0' * 32}").status_code == 404
