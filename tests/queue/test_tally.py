"""Running counts: what adds to them, and that they only grow."""

from __future__ import annotations

import functools
import math
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

from compute.queue import tally
from compute.queue.fanout import async_iter
from compute.queue.models import Job, Tally
from compute.queue.node import reporter as reporter_module
from compute.queue.node.attempt import Attempt
from compute.queue.node.reporter import Reporter
from tests.queue import functions
from tests.queue.conftest import LocalNode, expire_leases, failing, queue_past_us
from tests.queue.node.test_reading import read_next

pytestmark = pytest.mark.django_db
ADD, FAIL = "tests.queue.functions.add", "tests.queue.functions.fail"


def task(seconds: float, func: Any = ADD, success: bool = True) -> dict[str, Any]:
    now = timezone.now()
    ended = now + timedelta(seconds=seconds)
    return {"func": func, "success": success, "started": now, "stopped": ended}


def work(node: LocalNode, claimed: list[dict[str, Any]] | None = None) -> None:
    """Run what was claimed, or all that is queued, and post what is to be told of."""
    for each in node.claim(100) if claimed is None else claimed:
        if Attempt(each["ack_id"], each, node.board.slots[0]).run():
            node.reports.post(each)


def report(node: LocalNode) -> None:
    """Have a reporter tell of everything, and end."""
    node.board.head.closing = 1
    reporter = Reporter(node.board, node.reports)
    while reporter.turn():
        pass


# --- what a task adds -----------------------------------------------------------------


def test_a_duration_counts_in_the_first_bucket_that_holds_it() -> None:
    assert tally.ended(task(0.1)) == {(ADD, "done"): 1, (ADD, "to 0.1"): 1, (ADD, "seconds"): 0.1}
    assert tally.ended(task(0.11, FAIL, success=False)) == {
        (FAIL, "failed"): 1,
        (FAIL, "to 1"): 1,
        (FAIL, "seconds"): 0.11,
    }
    assert tally.ended(task(10**6))[ADD, "to inf"] == 1


def test_a_clock_that_is_set_back_makes_no_duration_negative() -> None:
    assert tally.ended(task(-5)) == {(ADD, "done"): 1, (ADD, "to 0.01"): 1, (ADD, "seconds"): 0}


def test_the_bounds_grow_and_the_last_holds_everything() -> None:
    assert sorted(tally.BOUNDS) == list(tally.BOUNDS)
    assert tally.BOUNDS[-1] == math.inf
    assert len({tally.bucket(bound) for bound in tally.BOUNDS}) == len(tally.BOUNDS)


def test_objects_of_a_class_are_one_function() -> None:
    partials = [functools.partial(functions.add, number) for number in range(3)]
    assert {tally.function_of({"func": one}) for one in partials} == {"functools.partial"}
    assert tally.function_of({"func": ADD}) == ADD
    assert tally.function_of({"id": "*BadSignature"}) == "(unknown)"


# --- the rows -------------------------------------------------------------------------


def test_what_is_added_adds_up() -> None:
    for _ in range(3):
        tally.add(Counter({("a", "done"): 2, ("b", "failed"): 1}))
    assert tally.totals() == {"a": {"done": 6}, "b": {"failed": 3}}
    assert str(Tally.objects.get(func="a")) == "a, done: 6"


def test_functions_over_the_limit_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MOST", 2)
    tally.add(Counter({("a", "done"): 1}))
    tally.add(Counter({("b", "done"): 1, ("c", "done"): 1, ("d", "done"): 1}))
    tally.add(Counter({("a", "done"): 1, ("e", "done"): 1}))
    assert tally.totals() == {"a": {"done": 2}, "b": {"done": 1}, "(other)": {"done": 3}}


def test_no_count_is_worth_a_task(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tally, "add", failing(1, tally.add))
    tally.add_if_possible(Counter({("a", "done"): 1}))
    assert "not counted, the database is away: the server is gone" in caplog.text
    assert tally.totals() == {}


# --- what is counted ------------------------------------------------------------------


def test_the_reporter_counts_what_workers_have_ended(node: LocalNode) -> None:
    async_iter(ADD, [1, 2, 3])
    async_task(FAIL)
    work(node)
    report(node)
    counts = tally.totals()
    assert (counts[ADD]["done"], counts[FAIL]["failed"]) == (3, 1)
    assert sum(value for kind, value in counts[ADD].items() if kind.startswith("to ")) == 3
    assert 0 < counts[ADD]["seconds"] < 3


def test_counts_outlive_the_rows_and_a_retry_takes_nothing_away(node: LocalNode) -> None:
    failed = async_task(FAIL)
    work(node)
    assert Job.objects.get(pk=failed).retry()
    work(node)
    report(node)
    Job.objects.all().delete()
    Task.objects.all().delete()
    assert tally.totals()[FAIL]["failed"] == 2


@pytest.mark.thorough
def test_they_are_written_down_once_a_second(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[tally.Counts] = []
    monkeypatch.setattr(tally, "add", lambda counts: added.append(counts.copy()))
    reporter = Reporter(node.board, node.reports)
    async_iter(ADD, [1, 2, 3])
    for _ in range(2):
        work(node, node.claim())
        assert reporter.turn()
    assert added == [], "within the same second"
    monkeypatch.setattr(reporter_module, "COUNTING_S", -1)
    work(node, node.claim())
    assert reporter.turn()
    assert [counts[ADD, "done"] for counts in added] == [3]
    node.reports.wake()
    assert reporter.turn()
    assert len(added) == 1, "there was nothing to count"


def test_counts_wait_for_a_database_that_is_away(
    transactional_db: None, node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "add", failing(1, tally.add, OperationalError("gone")))
    async_task(ADD, 1)
    work(node)
    report(node)
    assert tally.totals()[ADD]["done"] == 1


def test_what_has_no_outcome_of_its_own_is_not_counted(
    node: LocalNode, other_node: LocalNode
) -> None:
    async_task(ADD, 1)
    late = node.claim_one()
    expire_leases()
    other_node.run()
    work(node, [late])
    async_task(ADD, 1, sync=True)
    report(node)
    assert tally.totals() == {ADD: {"redelivered": 1, "expired": 1}}


def test_a_task_without_a_job_is_counted_as_others_are(node: LocalNode) -> None:
    queue_past_us(ADD, 1, 2)
    work(node)
    report(node)
    assert tally.totals()[ADD]["done"] == 1


def test_a_failure_without_a_worker_is_counted_and_logged(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    group = async_iter(ADD, [1, 2])
    node.claim(2)
    job = Job.objects.in_group(group)[1]
    assert job.fail("its worker was killed", "WorkerDied")
    assert not job.fail("once more", "WorkerDied")
    assert tally.totals() == {ADD: {"failed": 1}}
    (record,) = [one for one in caplog.records if one.getMessage().startswith("failed: ")]
    assert record.getMessage() == f"failed: {job.name}: its worker was killed"
    said = vars(record)
    assert (said["task"], said["group"], said["position"]) == (job.pk, group, 1)
    assert (said["function"], said["error_class"]) == (ADD, "WorkerDied")


def test_what_cannot_be_read_is_of_an_unknown_function(node: LocalNode) -> None:
    async_task(ADD, 1)
    OrmQ.objects.update(payload="nonsense")
    assert read_next(node) is None
    assert tally.totals() == {"(unknown)": {"failed": 1}}


# --- tasks that are run again ---------------------------------------------------------


def test_a_lease_that_ended_is_counted_and_logged(
    node: LocalNode, other_node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = async_task(ADD, 1)
    assert not other_node.claim_one()["ack_id"].expired
    expire_leases()
    assert node.work(node.claim_one())["ack_id"].expired
    assert tally.totals() == {ADD: {"redelivered": 1, "expired": 1}}
    (record,) = [one for one in caplog.records if "again" in one.getMessage()]
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        "again: add(1): its lease had ended",
    )
    assert (vars(record)["task"], vars(record)["attempt"]) == (task_id, 2)


def test_a_task_that_was_given_back_is_no_lease_that_ended(
    node: LocalNode, other_node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async_task(ADD, 1)
    other_node.claim()
    Job.objects.all().give_back()
    lease = node.work(node.claim_one())["ack_id"]
    assert (lease.attempt, lease.expired) == (2, False)
    assert "again: add(1): it was given back or retried" in caplog.text
    assert tally.totals() == {ADD: {"redelivered": 1, "expired": 0}}


def test_a_task_that_runs_the_first_time_is_not_counted_as_one(node: LocalNode) -> None:
    async_task(ADD, 1)
    assert node.work(node.claim_one())["success"]
    assert tally.totals() == {}


def test_who_retries_starts_a_new_wait(node: LocalNode) -> None:
    job = Job.objects.get(pk=async_task(FAIL))
    Job.objects.update(queued_at=timezone.now() - timedelta(hours=1))
    node.run()
    assert job.retry()
    job.refresh_from_db()
    assert timezone.now() - job.queued_at < timedelta(minutes=1)
