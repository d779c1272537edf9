"""What a run's check says from its start to its end, whichever address is asked."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from django.test import Client
from django_q.models import OrmQ
from hypothesis import given
from hypothesis import strategies as st

from compute.models import Run
from compute.models.retries import retry
from compute.queue.models import Job
from tests.addresses import CHECK_ADDRESSES
from tests.conftest import (
    NOBODY_KNOWS,
    OVER,
    check,
    finish_by_hand,
    run_jobs,
    run_queued,
    started,
)


def test_the_plain_check_takes_a_split_sums_id(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    assert check(run, "/sum-check/") == {
        "status": "in-progress",
        "total": None,
        "error": None,
        **NOBODY_KNOWS,
    }
    run_jobs()
    assert check(run, "/sum-check/") == {"status": "done", "total": 55, "error": None, **OVER}


def test_the_split_check_takes_a_plain_sums_id(db: None) -> None:
    run = started("/sum-start/", n=10)
    assert check(run)["progress"] == {"done": 0, "failed": 0, "total": 1}
    run_jobs()
    assert check(run) == {
        "status": "done",
        "raw": [55],
        "total": 55,
        "error": None,
        "progress": {"done": 1, "failed": 0, "total": 1},
        **OVER,
    }


@pytest.mark.thorough
def test_the_split_check_takes_a_failed_sums_id(db: None) -> None:
    run = started("/bug-sum-start/", n=1234567)
    run_jobs()
    reply = check(run)
    assert (reply["status"], reply["raw"], reply["total"]) == ("error", None, None)
    assert reply["progress"] == {"done": 0, "failed": 1, "total": 1}
    assert reply["error"] == check(run, "/sum-check/")["error"]


def test_a_run_is_in_progress_until_its_chunks_are_combined(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=4)
    for done, job in enumerate(run.jobs):
        reply = check(run)
        assert (reply["status"], reply["raw"], reply["total"]) == ("in-progress", None, None)
        assert reply["progress"] == {"done": done, "failed": 0, "total": 3}
        Job.objects.filter(pk=job.pk).update(state=Job.State.DONE, result=done)
        OrmQ.objects.filter(pk=job.queue_id).delete()
    for _ in range(2):  # until a worker has combined them
        reply = check(run)
        assert (reply["status"], reply["raw"], reply["total"]) == ("in-progress", [0, 1, 2], None)
        assert reply["progress"] == {"done": 3, "failed": 0, "total": 3}
    run_queued()
    reply = check(run)
    assert (reply["status"], reply["raw"], reply["total"]) == ("done", [0, 1, 2], 3)


def test_a_run_of_one_task_is_in_progress_until_that_is_done(db: None) -> None:
    run = started("/sum-start/", n=10)
    assert check(run, "/sum-check/")["status"] == "in-progress"
    finish_by_hand(run, 55)
    assert check(run, "/sum-check/") == {"status": "done", "total": 55, "error": None, **OVER}


def test_a_failed_chunk_does_not_settle_the_run_before_the_others(run_with_a_failure: Run) -> None:
    waiting = Job.objects.filter(group=run_with_a_failure.task_id, position=2)
    waiting.update(state=Job.State.RUNNING)
    reply = check(run_with_a_failure)
    assert (reply["status"], reply["error"]) == ("in-progress", None)
    assert reply["progress"] == {"done": 1, "failed": 1, "total": 3}


def test_a_failed_run_says_why_in_one_line(run_with_a_failure: Run) -> None:
    reply = check(run_with_a_failure)
    assert (reply["status"], reply["raw"], reply["total"]) == ("error", None, None)
    assert reply["progress"] == {"done": 2, "failed": 1, "total": 3}
    assert reply["error"].startswith("1 of 3 chunks failed, number 2: FileNotFoundError: ")
    assert "\n" not in reply["error"]


def test_a_retried_run_is_in_progress_again_and_then_done(
    run_with_a_failure: Run, missing_file: Any
) -> None:
    assert check(run_with_a_failure)["status"] == "error"
    missing_file.write_text("x" * 3)
    assert retry(run_with_a_failure) == 1
    reply = check(run_with_a_failure)
    assert (reply["status"], reply["total"], reply["error"]) == ("in-progress", None, None)
    assert reply["progress"] == {"done": 2, "failed": 0, "total": 3}
    run_jobs()
    reply = check(run_with_a_failure)
    assert (reply["status"], reply["raw"], reply["total"]) == ("done", [100, 3, 20], 123)


def test_a_cancelled_run_is_an_error_that_names_who_cancelled_it(db: None, admin: Client) -> None:
    run = started("/sum-start/", n=10)
    queued = list(OrmQ.objects.values_list("pk", flat=True))
    form = {"action": "delete_selected", "_selected_action": queued, "post": "yes"}
    assert admin.post("/admin/django_q/ormq/", form).status_code == 302
    assert check(run, "/sum-check/") == {
        "status": "error",
        "total": None,
        "error": "cancelled by boss",
        **OVER,
        "state": "cancelled",
    }
    assert check(run)["progress"] == {"done": 0, "failed": 1, "total": 1}


@pytest.mark.parametrize("address", CHECK_ADDRESSES)
def test_a_total_of_24_digits_is_an_exact_integer(admin: Client, address: str) -> None:
    n = 10**12
    total = n * (n + 1) // 2
    run = started("/sum-start/", admin, n=n)
    finish_by_hand(run, total)
    response = Client().get(address, {"task_id": run.task_id})
    assert f'"total": {total},' in response.content.decode()
    assert len(str(total)) == 24
    assert response.json()["total"] == total


@pytest.mark.thorough
@given(results=st.lists(st.integers(0, 10**40), min_size=10, max_size=10))
@hypothesis.settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_the_totals_of_chunks_of_any_size_add_up_exactly(db: None, results: list[int]) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=1)
    finish_by_hand(run, *results)
    assert (check(run)["raw"], check(run)["total"]) == (results, None)
    run_queued()
    for _ in range(2):
        reply = check(run)
        assert reply["raw"] == results
        assert reply["total"] == sum(results)


def test_a_page_shows_every_digit_of_a_total(admin: Client, browser_client: Client) -> None:
    run = started("/sum-start/", admin, n=10**12)
    finish_by_hand(run, 500000000000500000000000)
    for address in ["/", run.get_absolute_url()] * 2:
        page = browser_client.get(address).content.decode()
    assert "500,000,000,000,500,000,000,000" in page
