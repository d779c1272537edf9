"""Cancelling a run, retrying what failed, and running it again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db.models.functions import Now
from django.test import Client
from django_q.models import OrmQ

from compute.models import Run
from compute.models.plans import run_of
from compute.queue.models import Job, JobState
from tests.conftest import check, run_jobs, run_queued, started
from tests.seeded import declare_darts, expected

HTML = "text/html"


def start_in_browser(client: Client, **parameters: object) -> Run:
    client.post("/split-sum-start/", parameters)
    return Run.objects.latest("id")


def do(client: Client, action: str, run: Run, **parameters: object) -> Any:
    address = f"/compute/{run.computation}/{action}/"
    return client.post(address, {"task_id": run.task_id, **parameters})


# --- who may --------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_a_stranger_may_not(db: None, browser_client: Client, action: str) -> None:
    run = start_in_browser(browser_client, n=10, chunk_size=5)
    for stranger in (Client(), Client(headers={"accept": HTML})):
        start_in_browser(stranger, n=1)
        response = do(stranger, action, run)
        assert response.status_code == 403
    assert run.jobs.counts()["queued"] == 2


def test_what_a_program_started_belongs_to_staff_alone(db: None, admin: Client) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    assert run.owner == ""
    response = do(Client(), "cancel", run)
    assert response.status_code == 403
    assert response.json() == {"detail": "Only whoever started this run may do that, and staff."}
    assert do(admin, "cancel", run).json()["cancelled"] == 2


def test_a_program_that_has_a_session_owns_what_it_starts(db: None, browser_client: Client) -> None:
    first = start_in_browser(browser_client, n=10)
    browser_client.get("/sum-start/", {"n": 5}, headers={"accept": "*/*"})
    assert Run.objects.latest("id").owner == first.owner != ""


def test_a_session_keeps_its_runs_when_its_person_signs_in(
    browser_client: Client, django_user_model: Any
) -> None:
    run = start_in_browser(browser_client, n=10)
    browser_client.force_login(django_user_model.objects.create_user("ann"))
    assert do(browser_client, "cancel", run).status_code == 303


def test_only_the_owner_is_shown_the_buttons(db: None, browser_client: Client) -> None:
    run = start_in_browser(browser_client, n=10)
    address = run.get_absolute_url()
    assert ">Cancel</button>" in browser_client.get(address).content.decode()
    assert (
        ">Cancel</button>" not in Client().get(address, headers={"accept": HTML}).content.decode()
    )


@pytest.mark.parametrize("action", ["cancel", "retry", "again"])
def test_they_are_for_posts_alone(db: None, action: str) -> None:
    run = started("/sum-start/", n=10)
    response = Client().get(f"/compute/sum/{action}/?task_id={run.task_id}")
    assert (response.status_code, response["Allow"]) == (405, "POST")


@pytest.mark.parametrize("action", ["cancel", "retry", "again"])
@pytest.mark.parametrize(("task_id", "status"), [("", 400), ("x", 404), ("0" * 32, 404)])
def test_they_ask_for_a_run_that_exists(
    db: None, admin: Client, action: str, task_id: str, status: int
) -> None:
    response = admin.post(f"/compute/sum/{action}/", {"task_id": task_id})
    assert response.status_code == status
    assert response.json()["detail"]


def test_a_browser_needs_a_csrf_token(db: None) -> None:
    client = Client(enforce_csrf_checks=True, headers={"accept": HTML})
    run = start_in_browser(client, n=10)
    assert do(client, "cancel", run).status_code == 403
    client.get(run.get_absolute_url())
    token = client.cookies[settings.CSRF_COOKIE_NAME].value
    assert do(client, "cancel", run, csrfmiddlewaretoken=token).status_code == 303


# --- cancel ---------------------------------------------------------------------------


def test_a_cancelled_run_says_so_everywhere(db: None, browser_client: Client) -> None:
    run = start_in_browser(browser_client, n=10, chunk_size=5)
    response = do(browser_client, "cancel", run)
    assert (response.status_code, response["Location"]) == (303, run.get_absolute_url())
    assert not OrmQ.objects.exists()
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED
    assert check(run)["status"] == "error"
    assert check(run)["error"] == "cancelled by who started it"
    assert check(run)["progress"] == {"done": 0, "failed": 2, "total": 2}
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert '<span class="state cancelled">cancelled</span>' in html
    assert "cancelled by who started it" in html
    assert ">Cancel</button>" not in html
    assert "Run again" in html
    assert "0 of 2 chunks done, 2 cancelled" in html


def test_staff_is_named_as_who_cancelled(db: None, admin: Client) -> None:
    run = started("/sum-start/", n=10)
    reply = do(admin, "cancel", run).json()
    assert reply == {
        "cancelled": 1,
        "task_progress": f"http://testserver{run.get_absolute_url()}",
    }
    assert check(run)["error"] == "cancelled by boss"


def test_what_has_ended_stays_as_it_is(db: None, admin: Client) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    run_jobs()
    assert do(admin, "cancel", run).json()["cancelled"] == 0
    assert check(run)["total"] == 55


def test_what_is_done_of_a_cancelled_run_stays_done(db: None, admin: Client) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    run.jobs.filter(position=0).update(state=JobState.DONE, result=15)
    assert do(admin, "cancel", run).json()["cancelled"] == 1
    assert check(run)["progress"] == {"done": 1, "failed": 1, "total": 2}


def test_nobody_else_s_jobs_are_cancelled(db: None, admin: Client) -> None:
    other = started("/split-sum-start/", n=10, chunk_size=5)
    do(admin, "cancel", started("/split-sum-start/", n=10, chunk_size=5))
    assert other.jobs.counts()["queued"] == OrmQ.objects.count() == 2


# --- cancel, asked first ---------------------------------------------------------------


def asks(client: Client, run: Run, **parameters: object) -> str | None:
    """The page that asks before it cancels; None if it has cancelled."""
    response = do(client, "cancel", run, **parameters)
    if response.status_code == 303:
        return None
    assert response.status_code == 200
    return str(response.content.decode())


def test_who_would_lose_over_a_minute_of_work_is_asked_first(
    db: None, browser_client: Client
) -> None:
    run = start_in_browser(browser_client, n=15, chunk_size=5)
    run_queued(1)
    run.jobs.filter(position=1).update(state=JobState.RUNNING, started_at=Now())
    run.flow.update(seconds=125 * 60)
    html = asks(browser_client, run)
    assert html
    assert "<h1>Cancel sum 1–15?</h1>" in html
    assert "The workers have spent 2 h 5 min on it." in html
    assert "What is at work, 1 chunk, is stopped, and what was done of it is lost." in html
    assert "What is done, 1 of 3 chunks, is kept with the run" in html
    assert ">Cancel the run</button>" in html
    assert ">Keep it</button>" in html
    assert run.jobs.counts()["cancelled"] == 0
    assert asks(browser_client, run, confirm="1") is None
    assert run.jobs.counts() == {**run.jobs.counts(), "cancelled": 2, "done": 1}


@pytest.mark.parametrize("confirm", ["", "0", "yes"])
def test_only_a_yes_is_one(db: None, browser_client: Client, confirm: str) -> None:
    run = start_in_browser(browser_client, n=10)
    run.flow.update(seconds=61)
    html = asks(browser_client, run, confirm=confirm)
    assert html
    assert "Nothing of it is done yet" in html


def test_nobody_is_asked_for_a_minute_of_work_or_less(db: None, browser_client: Client) -> None:
    run = start_in_browser(browser_client, n=10)
    run.flow.update(seconds=60)
    assert asks(browser_client, run) is None


def test_a_program_is_not_asked(db: None, admin: Client) -> None:
    run = started("/sum-start/", n=10)
    run.flow.update(seconds=1000)
    assert do(admin, "cancel", run).json()["cancelled"] == 1


def test_nobody_is_asked_of_what_has_ended(db: None, browser_client: Client) -> None:
    run = start_in_browser(browser_client, n=10)
    run.flow.update(seconds=1000)
    run_jobs()
    assert asks(browser_client, run) is None


def test_a_stranger_is_not_asked_either(db: None, browser_client: Client) -> None:
    run = start_in_browser(browser_client, n=10)
    run.flow.update(seconds=1000)
    assert do(Client(headers={"accept": HTML}), "cancel", run).status_code == 403


# --- go on ----------------------------------------------------------------------------


def test_a_cancelled_run_goes_on_and_keeps_what_is_done(db: None, browser_client: Client) -> None:
    run = start_in_browser(browser_client, n=15, chunk_size=5)
    run_queued(1)
    do(browser_client, "pause", run)
    do(browser_client, "cancel", run)
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert ">Go on</button>" in html
    assert "“Go on” does what is left; the 1 chunk that is done is kept." in html
    response = do(browser_client, "go-on", run)
    assert (response.status_code, response["Location"]) == (303, run.get_absolute_url())
    assert check(run)["status"] == "in-progress"
    assert check(run)["progress"] == {"done": 1, "failed": 0, "total": 3}
    assert ">Go on</button>" not in browser_client.get(run.get_absolute_url()).content.decode()
    run_jobs()
    assert check(run)["total"] == 120
    assert [job.attempt for job in run.jobs] == [1, 1, 1]


def test_a_program_is_told_how_many_chunks_are_queued_again(db: None, admin: Client) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    address = f"http://testserver{run.get_absolute_url()}"
    assert do(admin, "go-on", run).json() == {"queued_again": 0, "task_progress": address}
    do(admin, "cancel", run)
    for count in (2, 0):
        assert do(admin, "go-on", run).json() == {"queued_again": count, "task_progress": address}
    run_jobs()
    assert check(run)["total"] == 55


def test_what_cannot_go_on_says_so_and_can_be_run_again(db: None, browser_client: Client) -> None:
    run = start_in_browser(browser_client, n=10, chunk_size=5)
    do(browser_client, "cancel", run)
    run.jobs.filter(position=1).update(payload="")  # by the version before
    response = do(browser_client, "go-on", run)
    assert response.status_code == 409
    assert "Run it again instead." in response.content.decode()
    assert run.jobs.counts()["cancelled"] == 2
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert ">Go on</button>" not in html
    assert "It can’t go on" in html
    assert ">Run again</button>" in html


def test_to_go_on_there_has_to_be_room(db: None, browser_client: Client, settings: Any) -> None:
    run = start_in_browser(browser_client, n=10, chunk_size=5)
    do(browser_client, "cancel", run)
    browser_client.get(run.get_absolute_url())
    settings.MAX_ACTIVE_RUNS = 0
    response = do(browser_client, "go-on", run)
    assert (response.status_code, response["Retry-After"]) == (429, "10")
    assert run.jobs.counts()["cancelled"] == 2


def test_a_cancelled_combine_task_is_queued_again_by_either(db: None, admin: Client) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    run_queued()
    assert check(run)["progress"]["done"] == 2  # which queues it
    assert do(admin, "cancel", run).json()["cancelled"] == 1
    html = admin.get(run.get_absolute_url(), headers={"accept": HTML}).content.decode()
    assert "Combine again" in html
    assert ">Go on</button>" not in html
    assert do(admin, "go-on", run).json()["queued_again"] == 1
    run_jobs()
    assert check(run)["total"] == 55


# --- retry ----------------------------------------------------------------------------


@pytest.mark.thorough
def test_failed_chunks_are_retried_and_the_run_goes_on(
    run_with_a_failure: Run, missing_file: Path, admin: Client
) -> None:
    run = run_with_a_failure
    html = admin.get(run.get_absolute_url(), headers={"accept": HTML}).content.decode()
    assert "Retry failed chunks" in html
    assert f"Called with <code>(&#x27;{missing_file}&#x27;)</code>" in html
    assert "<summary>Traceback</summary>" in html
    missing_file.write_text("12345")
    assert do(admin, "retry", run).json()["retried"] == 1
    assert check(run)["status"] == "in-progress"
    run_jobs()
    assert check(run)["total"] == 125


def test_the_owner_sees_arguments_and_no_traceback(
    run_with_a_failure: Run, browser_client: Client
) -> None:
    start_in_browser(browser_client, n=1)
    Run.objects.filter(pk=run_with_a_failure.pk).update(owner=Run.objects.latest("id").owner)
    html = browser_client.get(run_with_a_failure.get_absolute_url()).content.decode()
    assert "Called with" in html
    assert "<summary>Traceback</summary>" not in html


def test_keyword_arguments_are_shown_by_name(db: None, admin: Client) -> None:
    from compute.computations.sums import SUM
    from compute.queue.fanout import async_iter

    group = async_iter("builtins.int", ["z"], base=7)
    run = run_of(group, SUM, {"n": 3}, chunk_size=3)
    run_jobs()
    html = admin.get(run.get_absolute_url(), headers={"accept": HTML}).content.decode()
    assert "(&#x27;z&#x27;, base=7)" in html
    assert ">Retry the task</button>" in " ".join(html.split())


# --- again ----------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_run_is_run_again_in_chunks_of_the_same_size(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=4)
    reply = do(Client(), "again", run).json()
    again = Run.objects.latest("id")
    assert reply == {"task_progress": f"http://testserver{again.get_absolute_url()}"}
    assert again != run
    assert (again.chunk_size, again.chunks, again.parameters) == (4, 3, {"n": 10})
    run_jobs()
    assert check(again)["total"] == 55


def test_or_of_another_size(db: None, browser_client: Client) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=4)
    response = do(browser_client, "again", run, chunk_size=5, n=99)
    again = Run.objects.latest("id")
    assert (response.status_code, response["Location"]) == (303, again.get_absolute_url())
    assert (again.chunk_size, again.parameters) == (5, {"n": 10})
    assert again.owner


@pytest.mark.thorough
def test_one_task_runs_again_as_one_chunk(db: None) -> None:
    run = started("/sum-start/", n=10)
    do(Client(), "again", run)
    assert Run.objects.latest("id").chunks == 1
    run_jobs()
    assert check(Run.objects.latest("id"))["total"] == 55


def test_what_can_not_be_cut_runs_again_as_it_is(db: None) -> None:
    run = started("/bug-sum-start/", n=10)
    do(Client(), "again", run)
    run_jobs()
    assert check(Run.objects.latest("id"))["total"] == 55


def test_a_wrong_size_is_said_at_the_field(db: None, browser_client: Client) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=4)
    Job.objects.update(state=JobState.FAILED)
    response = do(browser_client, "again", run, chunk_size="x")
    assert response.status_code == 400
    html = response.content.decode()
    assert 'value="x"' in html
    assert 'id="chunk_size_error"' in html
    assert Run.objects.count() == 1


def test_there_may_be_too_many_runs(db: None, settings: Any) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=4)
    settings.MAX_ACTIVE_RUNS = 1
    response = do(Client(), "again", run)
    assert (response.status_code, response["Retry-After"]) == (429, "10")


def test_what_is_no_longer_declared_can_not_run_again(db: None, browser_client: Client) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=4)
    Run.objects.update(computation="gone", state=Run.State.DONE)
    response = browser_client.post("/compute/gone/again/", {"task_id": run.task_id})
    assert response.status_code == 404
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert "Run again" not in html


def test_chance_is_repeated_with_the_same_seed(db: None, declare: Callable[..., None]) -> None:
    declare_darts(declare)
    run = started("/compute/darts/start/", n=10, chunk_size=4, seed=42)
    do(Client(), "again", run)
    again = Run.objects.latest("id")
    assert (again.seed, again.chunk_size) == (42, 4)
    run_jobs()
    assert check(again, "/compute/darts/check/")["result"] == expected(10, 4, 42)


@pytest.mark.parametrize(("asked", "seed"), [("7", 7), ("", None)])
def test_or_with_another_that_is_given_or_drawn(
    db: None, declare: Callable[..., None], asked: str, seed: int | None
) -> None:
    declare_darts(declare)
    run = started("/compute/darts/start/", n=10, chunk_size=4, seed=42)
    do(Client(), "again", run, seed=asked)
    found = Run.objects.latest("id").seed
    assert found == seed if seed else found not in (None, 42)


def test_a_wrong_seed_is_said_at_the_field(
    db: None, declare: Callable[..., None], browser_client: Client
) -> None:
    declare_darts(declare)
    browser_client.post("/compute/darts/start/", {"n": 10, "seed": 42})
    run = Run.objects.get()
    run_jobs()
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert re.search(r'name="seed"[^>]* value="42"', " ".join(html.split()))
    response = do(browser_client, "again", run, seed="x")
    assert response.status_code == 400
    html = response.content.decode()
    assert 'value="x"' in html
    assert 'id="seed_error"' in html
    assert Run.objects.count() == 1


def test_what_makes_no_use_of_chance_any_more_is_run_again_without(
    db: None, declare: Callable[..., None]
) -> None:
    declare_darts(declare)
    run = started("/compute/darts/start/", n=10, seed=42)
    declare(name="darts")
    do(Client(), "again", run)
    assert Run.objects.latest("id").seed is None
