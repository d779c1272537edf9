"""Deleting a run: asked for, refused and answered."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from compute import removal
from compute.models import Run
from compute.queue.models import Job
from compute.removal import NotYetError
from tests.conftest import run_jobs, started
from tests.web.test_actions import do, start_in_browser


def test_a_browser_is_asked_first(db: None, browser_client: Client) -> None:
    run = start_in_browser(browser_client, n=10, chunk_size=5)
    assert ">Delete</button>" not in browser_client.get(run.get_absolute_url()).content.decode()
    run_jobs()
    assert ">Delete</button>" in browser_client.get(run.get_absolute_url()).content.decode()
    html = do(browser_client, "delete", run).content.decode()
    assert "<h1>Delete sum 1–10?</h1>" in html
    assert "its 2 chunks, what they have come to, and what failed." in html
    assert Run.objects.exists()
    reply = do(browser_client, "delete", run, confirm="1")
    assert (reply.status_code, reply["Location"]) == (303, "/compute/sum/")
    assert not Run.objects.exists()
    assert not Job.objects.exists()
    assert browser_client.get(run.get_absolute_url()).status_code == 404
    assert do(browser_client, "delete", run, confirm="1").status_code == 404


def test_a_program_is_not(db: None, admin: Client) -> None:
    run = started("/sum-start/", n=10)
    run_jobs()
    Run.objects.update(computation="gone")
    run.refresh_from_db()
    assert do(admin, "delete", run).json() == {"deleted": True, "runs": "http://testserver/"}


def test_what_is_unfinished_has_to_be_cancelled_first(db: None, admin: Client) -> None:
    run = started("/sum-start/", n=10)
    reply = do(admin, "delete", run)
    assert reply.status_code == 409
    assert reply.json() == {"detail": "This run is unfinished; cancel it first."}
    do(admin, "cancel", run)
    assert do(admin, "delete", run).json()["deleted"]


def test_what_has_ended_unnoticed_has_ended(db: None, admin: Client) -> None:
    run = started("/sum-start/", n=10)
    run_jobs()
    Run.objects.update(state=Run.State.IN_PROGRESS, finished_at=None)
    assert do(admin, "delete", run).json()["deleted"]


def test_what_can_not_be_removed_now_says_why(
    db: None, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run: Run, by: str) -> None:
        raise NotYetError("Not while it rains.")

    run = started("/sum-start/", n=10)
    run_jobs()
    monkeypatch.setattr("compute.web.deleting.remove_run", refuse)
    reply = do(admin, "delete", run)
    assert (reply.status_code, reply.json()) == (409, {"detail": "Not while it rains."})
    assert removal.remove_run is not refuse


@pytest.mark.thorough
def test_the_log_says_who_did_it(
    db: None, admin: Client, browser_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    mine, other, of_an_account = (start_in_browser(browser_client, n=10) for _ in range(3))
    ann = Client()
    ann.force_login(user := User.objects.create_user("ann"))
    run_jobs()
    Run.objects.filter(pk=of_an_account.pk).update(account=user)
    with caplog.at_level("INFO", logger="compute.removal"):
        do(browser_client, "delete", mine, confirm="1")
        do(admin, "delete", other)
        do(ann, "delete", of_an_account)
        assert do(ann, "delete", other).status_code == 404
    told = [each for each in caplog.records if each.name == "compute.removal"]
    names = ["who started it", "boss", "ann"]
    assert [each.getMessage() for each in told] == [f"deleted: sum 1–10, by {by}" for by in names]
    assert [vars(each)["task"] for each in told] == [
        each.task_id for each in (mine, other, of_an_account)
    ]
