from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, InterfaceError, OperationalError, connection
from django_q.models import Failure, OrmQ, Success, Task
from django_q.signals import post_execute
from django_q.tasks import async_task

from compute.queue import tally
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from compute.queue.node import reporter as reporter_module
from compute.queue.node.reporter import Reporter, look_around, report, run
from compute.queue.signals import groups_changed, looking_around
from tests.queue import functions
from tests.queue.conftest import LocalNode, failing, queue_past_us, received

ADD = "tests.queue.functions.add"


def test_each_task_that_has_run_is_told_of(node: LocalNode) -> None:
    ids = [async_task(ADD, 1), async_task(functions.fail)]
    with received(post_execute) as sent:
        node.run()
    assert [one["task"]["id"] for one in sent] == ids
    assert [one["task"]["success"] for one in sent] == [True, False]
    assert sent[0]["task"]["result"] == 1
    assert "ack_id" not in sent[0]["task"]


def test_a_group_is_told_of_after_its_last_task_alone(node: LocalNode) -> None:
    group = async_iter(ADD, [1, 2, 3])
    ended = [node.work(task) for task in node.claim(2)]
    with received(groups_changed) as sent:
        report(ended)
        assert sent == []
        node.run()
    assert [one["groups"] for one in sent] == [{group}]


def test_a_group_is_told_of_with_its_failures(node: LocalNode) -> None:
    group = async_iter(functions.fail, ["a", "b"])
    with received(groups_changed) as sent:
        node.run()
    assert [one["groups"] for one in sent] == [{group}]


def test_a_lone_task_is_told_of_as_a_group(node: LocalNode) -> None:
    task_id = async_task(ADD, 1)
    with received(groups_changed) as sent:
        node.run()
    assert [one["groups"] for one in sent] == [{task_id}]


def test_failing_receivers_hold_up_nothing(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    def receiver(sender: Any, **kwargs: Any) -> None:
        raise ValueError("the receiver is broken")

    for signal in (post_execute, groups_changed):
        signal.connect(receiver)
    try:
        async_task(ADD, 1)
        node.run()
    finally:
        for signal in (post_execute, groups_changed):
            signal.disconnect(receiver)
    assert caplog.text.count("ValueError: the receiver is broken") == 2


def test_the_log_tells_what_became_of_a_task(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async_task(ADD, 1)
    async_task(functions.fail)
    node.run()
    lines = {record.getMessage(): record for record in caplog.records}
    assert lines["done: add(1)"].levelname == "INFO"
    failed = lines["failed: fail(): ValueError: no luck"]
    assert failed.levelname == "ERROR"
    assert "Traceback (most recent call last)" in vars(failed)["traceback"]


def test_an_outcome_is_saved_once(node: LocalNode) -> None:
    async_task(functions.fail)
    node.run()
    assert Failure.objects.get().attempt_count == 1


# --- tasks that went past async_task -----------------------------------------------


def test_a_foreign_task_is_saved_and_acknowledged(node: LocalNode) -> None:
    queue_past_us(ADD, 1, 2)
    with received(groups_changed) as changes, received(post_execute) as sent:
        node.run()
    assert functions.ran == [(1, 2)]
    record = Success.objects.get()
    assert (record.pk, record.result, record.func) == ("a" * 32, 3, ADD)
    assert not OrmQ.objects.exists()
    assert Job.objects.get().state == JobState.DONE
    assert ([each["groups"] for each in changes], len(sent)) == ([{"a" * 32}], 1)


def test_a_foreign_failure_is_saved_and_acknowledged(node: LocalNode) -> None:
    queue_past_us(functions.fail, ack_failure=True)
    node.run()
    assert "no luck" in Failure.objects.get().result
    assert not OrmQ.objects.exists()


# --- a turn ------------------------------------------------------------------------


@pytest.fixture
def reporter(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> Reporter:
    """A node's reporter, which does not wait."""
    monkeypatch.setattr(reporter_module, "PAUSE_S", 0)
    monkeypatch.setattr(reporter_module, "SLOW_POLL_S", 0)
    return Reporter(node.board, node.reports)


def post(node: LocalNode, *tasks: Any) -> None:
    """As the workers that have run these."""
    for task in tasks:
        node.reports.post(node.work(task))


def test_it_tells_until_it_is_to_close_and_has_told_of_everything(
    node: LocalNode, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter_module, "Reporter", lambda *_: reporter)
    monkeypatch.setattr("compute.queue.node.channels.BATCH", 2)
    group = async_iter(ADD, [1, 2, 3])
    post(node, *node.claim(3))
    node.board.head.closing = 1
    with received(post_execute) as sent, received(groups_changed) as changes:
        run(node.board, node.reports)
    assert len(sent) == 3
    assert changes
    assert all(change["groups"] == {group} for change in changes)
    assert tally.totals()[ADD]["done"] == 3


def test_it_has_more_to_do_until_it_is_to_close(node: LocalNode, reporter: Reporter) -> None:
    assert reporter.turn()
    node.board.head.closing = 1
    async_task(ADD, 1)
    post(node, node.claim_one())
    assert reporter.turn()
    assert not reporter.turn()


def test_it_is_woken_to_hear_that_it_is_to_close(
    node: LocalNode, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter_module, "SLOW_POLL_S", 30)
    node.reports.wake()
    began = time.monotonic()
    assert reporter.turn()
    assert time.monotonic() - began < 15


def test_what_has_run_just_after_a_report_is_told_together(
    node: LocalNode, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter_module, "PAUSE_S", 0.03)
    asked: list[tuple[float, float]] = []

    def collect(until: float, patience_s: float) -> list[Any]:
        asked.append((until, patience_s))
        return []

    monkeypatch.setattr(node.reports, "collect", collect)
    began = time.monotonic()
    reporter.turn()
    node.board.head.closing = 1
    reporter.turn()
    (first, patience), (second, none) = asked
    assert first < began  # at once
    assert began + 0.03 <= second <= time.monotonic() + 0.03
    assert (patience, none) == (vars(reporter_module)["SLOW_POLL_S"], 0)


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("gone")])
def test_it_outlives_a_database_that_is_away(
    transactional_db: None,
    node: LocalNode,
    reporter: Reporter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    async_iter(ADD, [1, 2])
    first, second = node.claim(2)
    connection.ensure_connection()
    broken = connection.connection
    monkeypatch.setattr(reporter_module, "report", failing(1, report, error))
    with received(post_execute) as sent:
        for task in (first, second):
            post(node, task)
            assert reporter.turn()
    assert [one["task"]["id"] for one in sent] == [second["id"]]
    assert connection.connection is not broken
    assert "the database is away" in caplog.text
    assert Job.objects.counts()[JobState.DONE] == 2
    assert Task.objects.count() == 2
    reporter.counted -= 60
    reporter.turn()
    assert tally.totals()[ADD]["done"] == 2, "counted it has both"


def test_an_error_for_which_no_waiting_helps_ends_it(
    node: LocalNode, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter_module, "report", failing(1, report, IntegrityError("odd")))
    async_task(ADD, 1)
    post(node, node.claim_one())
    with pytest.raises(IntegrityError):
        reporter.turn()


# --- the counts ----------------------------------------------------------------------


def test_it_counts_once_in_a_while_and_each_outcome_once(
    node: LocalNode, reporter: Reporter
) -> None:
    for numbers in ([1, 2], [3]):
        async_iter(ADD, numbers)
        post(node, *node.claim(2))
        assert reporter.turn()
    assert tally.totals() == {}, "a write for each would be a row that all wait for"
    for _ in range(2):
        reporter.counted -= reporter_module.COUNTING_S
        reporter.turn()
        assert tally.totals()[ADD]["done"] == 3


# --- the look around -----------------------------------------------------------------


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody but the test listens when a node looks around."""
    monkeypatch.setattr(looking_around, "receivers", [])
    looking_around.sender_receivers_cache.clear()
    yield
    looking_around.sender_receivers_cache.clear()


def test_it_looks_around_now_and_then(reporter: Reporter, alone: None) -> None:
    with received(looking_around) as sent:
        for _ in range(2):
            reporter.looked -= reporter_module.LOOK_S
            reporter.turn()
    assert len(sent) == 2


def test_it_does_not_look_around_all_the_time(reporter: Reporter, alone: None) -> None:
    with received(looking_around) as sent:
        reporter.turn()
        reporter.turn()
    assert sent == []


@pytest.mark.parametrize("error", [ValueError("odd"), OperationalError("gone")])
def test_who_fails_to_look_around_holds_up_nobody(
    transactional_db: None,
    node: LocalNode,
    reporter: Reporter,
    alone: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    monkeypatch.setattr(reporter_module, "LOOK_S", 0)

    def receiver(sender: Any, **kwargs: Any) -> None:
        raise error

    looking_around.connect(receiver)
    async_task(ADD, 1)
    with received(post_execute) as sent, received(looking_around) as looked:
        assert reporter.turn()
        post(node, node.claim_one())
        assert reporter.turn()
        assert reporter.turn()
    assert len(sent) == 1
    assert len(looked) == 3
    assert "Error calling" in caplog.text
    assert ("the database is away" in caplog.text) == isinstance(error, OperationalError)


def test_a_database_that_is_away_is_told_to_the_reporter(node: LocalNode, alone: None) -> None:
    def receiver(sender: Any, **kwargs: Any) -> None:
        raise InterfaceError("gone")

    looking_around.connect(receiver)
    with pytest.raises(InterfaceError):
        look_around()
