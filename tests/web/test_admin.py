"""Runs in the admin: to look at and to retry, for who may."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from compute.models import Run
from compute.models.notes import refresh
from compute.queue.models import Flow
from compute.queue.sharing import Priority
from tests.conftest import check, finish_by_hand, run_jobs, started

LIST = "/admin/compute/run/"


def staff(*permissions: str) -> Client:
    user = User.objects.create_user("ann", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    assert user.user_permissions.count() == len(permissions)
    client = Client()
    client.force_login(user)
    return client


def text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def retry(client: Client, *runs: Run) -> str:
    form = {"action": "retry", "_selected_action": [run.pk for run in runs]}
    return client.post(LIST, form, follow=True).content.decode()


# --- to look at -----------------------------------------------------------------------


def test_the_list_shows_each_run(admin: Client) -> None:
    started("/split-sum-start/", n=2000, chunk_size=500)
    html = text(admin, LIST)
    assert "sum 1–2,000" in html
    assert '<td class="field-computation">sum</td><td class="field-chunks">4</td>' in html
    assert "running" in html


def test_the_list_tells_what_a_run_took_and_for_how_long_workers_computed(admin: Client) -> None:
    run = started("/sum-start/", n=2000)
    assert '<td class="field-took">–</td><td class="field-computed_for">–</td>' in text(admin, LIST)
    ended = run.created_at + timedelta(seconds=75)
    Run.objects.update(finished_at=ended, work_seconds=12)
    told = '<td class="field-took">1 min 15 s</td><td class="field-computed_for">12 s</td>'
    assert told in text(admin, LIST)


def test_a_run_is_found_by_its_task_id(admin: Client) -> None:
    run = started("/sum-start/", n=2000)
    started("/sum-start/", n=3000)
    html = text(admin, f"{LIST}?q={run.task_id}")
    assert "sum 1–2,000" in html
    assert "sum 1–3,000" not in html


@pytest.mark.thorough
def test_runs_are_narrowed_down_by_state_and_computation(admin: Client) -> None:
    done = started("/sum-start/", n=2000)
    run_jobs()
    refresh(done)
    started("/bug-sum-start/", n=3000)
    assert "sum 1–3,000" not in text(admin, f"{LIST}?state__exact=done")
    assert "sum 1–2,000" not in text(admin, f"{LIST}?computation__exact=buggy-sum")


def test_a_runs_page_shows_every_digit_of_its_total(admin: Client) -> None:
    run = started("/sum-start/", admin, n=10**12)
    finish_by_hand(run, 500000000000500000000000)
    refresh(run)
    assert "500,000,000,000,500,000,000,000" in text(admin, f"{LIST}{run.pk}/change/")


@pytest.mark.thorough
def test_a_run_is_read_only_even_for_a_superuser(admin: Client) -> None:
    run = started("/sum-start/", n=10)
    before = Run.objects.values().get()
    page = text(admin, f"{LIST}{run.pk}/change/")
    assert 'name="_save"' not in page
    assert 'name="n"' not in page
    assert admin.post(f"{LIST}{run.pk}/change/", {"n": "11"}).status_code == 403
    assert admin.get(f"{LIST}add/").status_code == 403
    assert admin.post(f"{LIST}{run.pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post(LIST, {"action": "delete_selected", "_selected_action": [run.pk], "post": "yes"})
    assert Run.objects.values().get() == before


# --- to retry -------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_failed_runs_chunks_are_retried(
    admin: Client, run_with_a_failure: Run, missing_file: Path
) -> None:
    assert check(run_with_a_failure)["status"] == "error"
    missing_file.write_text("123")
    assert "1 task queued again." in retry(admin, run_with_a_failure)
    assert check(run_with_a_failure)["status"] == "in-progress"
    run_jobs()
    assert check(run_with_a_failure)["total"] == 123


@pytest.mark.thorough
def test_the_failures_of_several_runs_are_counted_together(admin: Client) -> None:
    runs = [started("/bug-sum-start/", n=1234567) for _ in range(2)]
    run_jobs()
    assert "2 tasks queued again." in retry(admin, *runs)


def test_a_run_without_a_failure_has_nothing_to_retry(admin: Client) -> None:
    run = started("/sum-start/", n=10)
    html = retry(admin, run)
    assert "0 tasks queued again." in html
    assert 'class="warning"' in html


# --- to pause, and to prefer ----------------------------------------------------------


@pytest.mark.thorough
def test_runs_are_paused_resumed_and_preferred(admin: Client) -> None:
    runs = [started("/sum-start/", n=10) for _ in range(2)]

    def press(action: str) -> str:
        form = {"action": action, "_selected_action": [run.pk for run in runs]}
        return admin.post(LIST, form, follow=True).content.decode()

    assert "2 runs paused." in press("pause")
    assert Flow.objects.filter(paused=True).count() == 2
    assert "2 runs resumed." in press("resume")
    assert "0 runs resumed." in press("resume")
    for priority in Priority.values:
        assert f"2 runs set to priority {priority}." in press(f"make_{priority}")
        assert {run.flow.get().priority for run in runs} == {priority}


@pytest.mark.parametrize("action", ["pause", "make_urgent"])
def test_who_may_only_view_runs_can_do_neither(db: None, action: str) -> None:
    run = started("/sum-start/", n=10)
    client = staff("view_run")
    assert f'value="{action}"' not in text(client, LIST)
    client.post(LIST, {"action": action, "_selected_action": [run.pk]})
    flow = run.flow.get()
    assert (flow.paused, flow.priority) == (False, "normal")


# --- for who may ----------------------------------------------------------------------


@pytest.mark.parametrize("permissions", [(), ("view_job",)])
def test_runs_are_for_those_who_may_view_them(db: None, permissions: tuple[str, ...]) -> None:
    assert staff(*permissions).get(LIST).status_code == 403


def test_who_is_no_staff_is_asked_to_sign_in(db: None) -> None:
    response = Client().get(LIST)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_who_may_only_view_runs_cannot_retry_them(run_with_a_failure: Run) -> None:
    client = staff("view_run")
    assert 'value="retry"' not in text(client, LIST)
    retry(client, run_with_a_failure)
    assert check(run_with_a_failure)["status"] == "error"


@pytest.mark.thorough
def test_who_may_change_runs_can_retry_but_not_edit_them(run_with_a_failure: Run) -> None:
    client = staff("view_run", "change_run")
    assert 'value="retry"' in text(client, LIST)
    assert "1 task queued again." in retry(client, run_with_a_failure)
    address = f"{LIST}{run_with_a_failure.pk}/change/"
    assert client.post(address, {"n": "11"}).status_code == 403
