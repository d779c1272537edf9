"""Running counts: what adds to them, and that they only grow."""

from __future__ import annotations

import functools
import math
from collections import Counter
from datetime import timedelta
from multiprocessing.sharedctypes import RawValue
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

from compute.queue import monitor as monitor_module
from compute.queue import tally
from compute.queue.call import Call
from compute.queue.channels import STOP, Bell, Inbox
from compute.queue.fanout import async_iter
from compute.queue.models import Job, Tally
from compute.queue.monitor import monitor
from tests.queue import functions
from tests.queue.conftest import LocalNode, expire_leases, failing
from tests.queue.test_monitor import Messages, pass_async_task_by

pytestmark = pytest.mark.django_db
ADD, FAIL = "tests.queue.functions.add", "tests.queue.functions.fail"


def task(seconds: float, func: Any = ADD, success: bool = True) -> dict[str, Any]:
    now = timezone.now()
    ended = now + timedelta(seconds=seconds)
    return {"func": Call(func), "success": success, "started": now, "stopped": ended}


def work(node: LocalNode, *batches: list[Any]) -> None:
    """Run all that is queued, and have the monitor told of it in its own loop."""
    ended = [node.work(each) for each in node.claim(100)]
    monitor(Messages(ended, *batches, [STOP]), node.broker)


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
    assert {Call(one).label for one in partials} == {"functools.partial"}
    assert Call(functions.add).label == ADD
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


def test_the_monitor_counts_what_workers_have_ended(node: LocalNode) -> None:
    async_iter(ADD, [1, 2, 3])
    async_task(FAIL)
    work(node)
    counts = tally.totals()
    assert (counts[ADD]["done"], counts[FAIL]["failed"]) == (3, 1)
    assert sum(value for kind, value in counts[ADD].items() if kind.startswith("to ")) == 3
    assert 0 < counts[ADD]["seconds"] < 3


def test_counts_outlive_the_rows_and_a_retry_takes_nothing_away(node: LocalNode) -> None:
    failed = async_task(FAIL)
    work(node)
    assert Job.objects.get(pk=failed).retry()
    work(node)
    Job.objects.all().delete()
    Task.objects.all().delete()
    assert tally.totals()[FAIL]["failed"] == 2


def test_they_are_written_down_once_a_second(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[tally.Counts] = []
    monkeypatch.setattr(tally, "add", lambda counts: added.append(counts.copy()))
    async_iter(ADD, [1, 2])
    first, second = (node.work(each) for each in node.claim(2))
    monitor(Messages([first], [], [second], [STOP]), node.broker)
    assert [counts[ADD, "done"] for counts in added] == [2]
    monkeypatch.setattr(monitor_module, "COUNTING", -1)
    monitor(Messages([first], [], [second], [STOP]), node.broker)
    assert [counts[ADD, "done"] for counts in added] == [2, 1, 1]


def test_counts_wait_for_a_database_that_is_away(
    transactional_db: None, node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "COUNTING", -1)
    monkeypatch.setattr(tally, "add", failing(1, tally.add, OperationalError("gone")))
    async_task(ADD, 1)
    work(node, [])
    assert tally.totals()[ADD]["done"] == 1


def test_what_has_no_outcome_of_its_own_is_not_counted(
    node: LocalNode, other_node: LocalNode
) -> None:
    async_task(ADD, 1)
    late = node.claim_one()
    expire_leases()
    other_node.run()
    dropped = node.work(late)
    pass_async_task_by(ADD, 1, 2)
    work(node, [dropped])
    async_task(ADD, 1, sync=True)
    assert tally.totals() == {}


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
    assert node.broker.dequeue() is None
    assert tally.totals() == {"(unknown)": {"failed": 1}}


# --- tasks that are run again ---------------------------------------------------------


@pytest.fixture
def inbox(node: LocalNode) -> Any:
    bell = Bell()
    yield Inbox(node.broker, bell, RawValue("b", 0))
    bell.close()


def test_a_lease_that_ended_is_counted_and_logged(
    inbox: Inbox, other_node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = async_task(ADD, 1)
    assert not other_node.claim_one()["ack_id"].expired
    expire_leases()
    again = inbox.next_task()
    assert again
    assert again["ack_id"].expired
    assert tally.totals() == {ADD: {"redelivered": 1, "expired": 1}}
    (record,) = [one for one in caplog.records if "again" in one.getMessage()]
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        "again: add(1): its lease had ended",
    )
    assert (vars(record)["task"], vars(record)["attempt"]) == (task_id, 2)


def test_a_task_that_was_given_back_is_no_lease_that_ended(
    inbox: Inbox, other_node: LocalNode
) -> None:
    async_task(ADD, 1)
    other_node.claim()
    Job.objects.all().give_back()
    again = inbox.next_task()
    assert again
    assert (again["ack_id"].attempt, again["ack_id"].expired) == (2, False)
    assert tally.totals() == {ADD: {"redelivered": 1, "expired": 0}}


def test_a_task_that_runs_the_first_time_is_not_counted(inbox: Inbox) -> None:
    async_task(ADD, 1)
    assert inbox.next_task()
    assert tally.totals() == {}


def test_who_retries_starts_a_new_wait(node: LocalNode) -> None:
    job = Job.objects.get(pk=async_task(FAIL))
    Job.objects.update(queued_at=timezone.now() - timedelta(hours=1))
    node.run()
    assert job.retry()
    job.refresh_from_db()
    assert timezone.now() - job.queued_at < timedelta(minutes=1)
