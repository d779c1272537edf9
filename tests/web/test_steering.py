"""Runs that are paused, resumed, and get more of the workers than others."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from compute.models import Run
from compute.queue.models import Flow
from compute.queue.sharing import Priority
from tests.conftest import check, run_jobs, run_queued, started
from tests.web.pages.reading import FRAGMENT, page
from tests.web.test_actions import do, start_in_browser


@pytest.fixture
def run(browser_client: Client, db: None) -> Run:
    return start_in_browser(browser_client, n=10, chunk_size=5)


def flow(run: Run) -> Flow:
    return run.flow.get()


# --- paused ---------------------------------------------------------------------------


def test_its_owner_pauses_it_and_has_it_go_on(run: Run, browser_client: Client) -> None:
    run_queued(1)
    reply = do(browser_client, "pause", run)
    assert (reply.status_code, reply["Location"]) == (303, run.get_absolute_url())
    run_jobs()
    assert run.jobs.counts() == {**run.jobs.counts(), "done": 1, "queued": 1}
    assert do(browser_client, "resume", run).status_code == 303
    run_jobs()
    assert check(run)["total"] == 55


def test_what_came_of_its_chunks_waits_too(run: Run, browser_client: Client) -> None:
    run_queued()
    do(browser_client, "pause", run)
    run_jobs()
    assert check(run)["status"] == "in-progress"
    html = page(run.get_absolute_url(), browser_client)
    assert "Since it began" in html
    assert "waiting for a worker" not in html
    do(browser_client, "resume", run)
    run_jobs()
    assert check(run)["total"] == 55


def test_a_program_is_told_whether_it_is_paused_now(run: Run, admin: Client) -> None:
    address = f"http://testserver{run.get_absolute_url()}"
    for action, paused in (("pause", True), ("pause", True), ("resume", False), ("resume", False)):
        reply = do(admin, action, run)
        assert reply.json() == {"paused": paused, "task_progress": address}
        assert flow(run).paused == paused


def test_a_run_of_a_paused_computation_is_paused_still(run: Run, admin: Client) -> None:
    run.flow.update(kind_paused=True)
    assert do(admin, "resume", run).json()["paused"]


def test_what_has_ended_is_not_paused(run: Run, admin: Client) -> None:
    run_jobs()
    assert do(admin, "pause", run).json()["paused"] is False
    assert not flow(run).paused
    assert do(admin, "resume", run).json()["paused"] is False


def test_others_are_not_paused(run: Run, admin: Client) -> None:
    other = started("/split-sum-start/", n=10, chunk_size=5)
    do(admin, "pause", run)
    run_jobs()
    assert check(other)["total"] == 55
    assert check(run)["status"] == "in-progress"


def test_its_page_says_that_it_is_paused_and_who_may_resume_it(
    run: Run, browser_client: Client
) -> None:
    address = run.get_absolute_url()
    html = page(address, browser_client)
    assert ">Pause</button>" in html
    assert ">Resume</button>" not in html
    do(browser_client, "pause", run)
    html = page(address, browser_client)
    assert '<span class="state paused">paused</span>' in html
    assert 'data-announce="sum 1–10: paused"' in html
    assert "“Resume” has the workers go on with it." in html
    assert ">Resume</button>" in html
    assert ">Pause</button>" not in html
    assert "a free worker" not in html
    html = page(address)
    assert "Who started it can resume it, and the site’s staff." in html
    assert ">Resume</button>" not in html
    do(browser_client, "resume", run)
    run.flow.update(kind_paused=True)
    assert "All runs of this computation are paused" in page(address)


def test_a_page_that_is_open_gets_other_buttons_when_somebody_pauses_it(
    run: Run, browser_client: Client
) -> None:
    def asked(paused: str) -> Any:
        given = {"task_id": run.task_id, "paused": paused}
        return browser_client.get("/compute/sum/check/", given, headers=FRAGMENT)

    assert """hx-vals='{"paused": 0}'""" in page(run.get_absolute_url(), browser_client)
    for paused in ("0", "x", ""):
        assert "HX-Refresh" not in asked(paused)
    do(browser_client, "pause", run)
    assert asked("0")["HX-Refresh"] == "true"
    assert "HX-Refresh" not in asked("1")
    assert """hx-vals='{"paused": 1}'""" in asked("1").content.decode()
    do(browser_client, "resume", run)
    assert asked("1")["HX-Refresh"] == "true"


# --- preferred ------------------------------------------------------------------------


@pytest.mark.parametrize("priority", Priority.values)
def test_staff_says_how_much_it_gets_beside_others(run: Run, admin: Client, priority: str) -> None:
    reply = do(admin, "priority", run, priority=priority)
    address = f"http://testserver{run.get_absolute_url()}"
    assert reply.json() == {"priority": priority, "task_progress": address}
    assert flow(run).priority == priority
    assert f"<option selected>{priority}</option>" in page(run.get_absolute_url(), admin)


def test_its_owner_may_not(run: Run, browser_client: Client) -> None:
    reply = do(browser_client, "priority", run, priority="urgent")
    assert reply.status_code == 403
    assert "Only staff may say which run gets more than others." in reply.content.decode()
    assert flow(run).priority == "normal"
    assert "Set priority" not in page(run.get_absolute_url(), browser_client)


@pytest.mark.parametrize("priority", ["", "high", "URGENT", "4", "\0", "urgent,normal"])
def test_there_are_three(run: Run, admin: Client, priority: str) -> None:
    reply = do(admin, "priority", run, priority=priority)
    assert reply.status_code == 400
    assert reply.json() == {"detail": "Give a priority, one of: urgent, normal, background."}
    assert flow(run).priority == "normal"


# --- of the version before ------------------------------------------------------------


@pytest.mark.parametrize("given", [("pause", {}), ("priority", {"priority": "urgent"})])
def test_a_run_without_a_line_of_its_own_says_what_can_be_done(
    run: Run, admin: Client, given: tuple[str, Any]
) -> None:
    run.flow.delete()
    action, parameters = given
    reply = do(admin, action, run, **parameters)
    assert reply.status_code == 409
    assert reply.json()["detail"].endswith("cancel it instead.")
    assert do(admin, "resume", run).json()["paused"] is False
    html = page(run.get_absolute_url(), admin)
    assert ">Cancel</button>" in html
    assert ">Pause</button>" not in html
    assert "Set priority" not in html
