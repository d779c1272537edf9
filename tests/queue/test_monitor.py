from __future__ import annotations

import time

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import Failure, OrmQ, Success, Task
from django_q.signals import post_execute
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from compute.queue import monitor as monitor_module
from compute.queue.channels import STOP
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from compute.queue.monitor import look_around, monitor, report
from compute.queue.signals import groups_changed, looking_around
from tests.queue import functions
from tests.queue.conftest import expire_leases, failing, received

ADD = "tests.queue.functions.add"


def pass_async_task_by(func=ADD, *args, **options):
    """Queue a task as a program that knows nothing of our signal would."""
    task = {"id": "a" * 32, "name": "foreign", "func": func, "args": args, "kwargs": {}}
    package = {**task, "started": timezone.now(), **options}
    return get_broker().enqueue(SignedPackage.dumps(package))


def test_each_task_that_has_run_is_told_of(node):
    ids = [async_task(ADD, 1), async_task(functions.fail)]
    with received(post_execute) as sent:
        node.run()
    assert [one["task"]["id"] for one in sent] == ids
    assert [one["task"]["success"] for one in sent] == [True, False]
    assert sent[0]["task"]["result"] == 1
    assert "ack_id" not in sent[0]["task"]


def test_a_group_is_told_of_after_its_last_task_alone(node):
    group = async_iter(ADD, [1, 2, 3])
    ended = [node.work(task) for task in node.claim(2)]
    with received(groups_changed) as sent:
        report(ended, node.broker)
        assert sent == []
        node.run()
    assert [one["groups"] for one in sent] == [{group}]


def test_a_group_is_told_of_with_its_failures(node):
    group = async_iter(functions.fail, ["a", "b"])
    with received(groups_changed) as sent:
        node.run()
    assert [one["groups"] for one in sent] == [{group}]


def test_a_lone_task_is_told_of_as_a_group(node):
    task_id = async_task(ADD, 1)
    with received(groups_changed) as sent:
        node.run()
    assert [one["groups"] for one in sent] == [{task_id}]


def test_failing_receivers_hold_up_nothing(node, caplog):
    def receiver(sender, **kwargs):
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


def test_the_log_tells_what_became_of_a_task(node, caplog):
    caplog.set_level("INFO")
    async_task(ADD, 1)
    async_task(functions.fail)
    node.run()
    lines = {record.getMessage(): record for record in caplog.records}
    assert lines["done: add(1)"].levelname == "INFO"
    failed = lines["failed: fail(): ValueError: no luck"]
    assert failed.levelname == "ERROR"
    assert "Traceback (most recent call last)" in failed.traceback


def test_a_delivery_whose_outcome_is_dropped_is_not_told_of(node, other_node, caplog):
    caplog.set_level("INFO")
    async_task(ADD, 1)
    late = node.claim_one()
    expire_leases()
    other_node.run()
    caplog.clear()
    with received(post_execute) as sent:
        report([node.work(late)], node.broker)
    assert "done" not in caplog.text
    assert sent == []


def test_an_outcome_is_not_saved_again(node, monkeypatch):
    async_task(functions.fail)
    node.run()
    assert Failure.objects.get().attempt_count == 1


# --- tasks that went past async_task -----------------------------------------------


def test_a_foreign_task_is_saved_and_acknowledged(node):
    pass_async_task_by(ADD, 1, 2)
    with received(groups_changed) as changes, received(post_execute) as sent:
        node.run()
    assert functions.ran == [(1, 2)]
    record = Success.objects.get()
    assert (record.pk, record.result, record.func) == ("a" * 32, 3, ADD)
    assert not OrmQ.objects.exists()
    assert not Job.objects.exists()
    assert (changes, len(sent)) == ([], 1)


def test_a_foreign_failure_is_saved_and_acknowledged(node):
    pass_async_task_by(functions.fail, ack_failure=True)
    node.run()
    assert "no luck" in Failure.objects.get().result
    assert not OrmQ.objects.exists()


def test_a_foreign_task_without_a_place_in_the_queue_is_saved(node):
    pass_async_task_by(ADD, 1)
    ended = node.work(node.claim_one())
    del ended["ack_id"]
    report([ended], node.broker)
    assert Success.objects.get().result == 1


# --- the loop ----------------------------------------------------------------------


class Messages:
    """Stands where the monitor has its Outbox."""

    def __init__(self, *batches):
        self.batches = list(batches)
        self.asked_for = []

    def get_all(self, until):
        self.asked_for.append(until)
        return self.batches.pop(0)


def test_the_monitor_reports_until_it_is_told_to_stop(node):
    group = async_iter(ADD, [1, 2])
    ended = [node.work(task) for task in node.claim(2)]
    results = Messages(ended[:1], [ended[1], STOP], ["after the end"])
    with received(post_execute) as sent, received(groups_changed) as changes:
        monitor(results, node.broker)
    assert len(sent) == 2
    assert changes
    assert all(change["groups"] == {group} for change in changes)
    assert results.batches == [["after the end"]]


def test_what_has_run_just_after_a_report_is_reported_together(node):
    results = Messages([], [STOP])
    began = time.monotonic()
    monitor(results, node.broker)
    first, second = results.asked_for
    assert first < began  # at once
    assert began + monitor_module.PAUSE <= second <= time.monotonic() + monitor_module.PAUSE


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("gone")])
def test_the_monitor_outlives_a_database_that_is_away(
    transactional_db, node, monkeypatch, caplog, error
):
    async_iter(ADD, [1, 2])
    ended = [node.work(task) for task in node.claim(2)]
    connection.ensure_connection()
    broken = connection.connection
    monkeypatch.setattr(monitor_module, "report", failing(1, report, error))
    with received(post_execute) as sent:
        monitor(Messages(ended[:1], ended[1:], [STOP]), node.broker)
    assert [one["task"]["id"] for one in sent] == [ended[1]["id"]]
    assert connection.connection is not broken
    assert "the database is away" in caplog.text
    assert Job.objects.counts()[JobState.DONE] == 2
    assert Task.objects.count() == 2


# --- the look around -----------------------------------------------------------------


@pytest.fixture
def alone(monkeypatch):
    """Nobody but the test listens when a node looks around."""
    monkeypatch.setattr(looking_around, "receivers", [])
    looking_around.sender_receivers_cache.clear()
    yield
    looking_around.sender_receivers_cache.clear()


def test_it_looks_around_now_and_then(node, alone, monkeypatch):
    monkeypatch.setattr(monitor_module, "LOOK", 0)
    with received(looking_around) as sent:
        monitor(Messages([], [STOP]), node.broker)
    assert len(sent) == 2


def test_it_does_not_look_around_all_the_time(node, alone):
    with received(looking_around) as sent:
        monitor(Messages([], [], [STOP]), node.broker)
    assert sent == []


@pytest.mark.parametrize("error", [ValueError("odd"), OperationalError("gone")])
def test_who_fails_to_look_around_holds_up_nobody(
    transactional_db, node, alone, monkeypatch, caplog, error
):
    monkeypatch.setattr(monitor_module, "LOOK", 0)

    def receiver(sender, **kwargs):
        raise error

    looking_around.connect(receiver)
    async_task(ADD, 1)
    ended = [node.work(node.claim_one())]
    with received(post_execute) as sent, received(looking_around) as looked:
        monitor(Messages([], ended, [STOP]), node.broker)
    assert len(sent) == 1
    assert len(looked) == 3
    assert "Error calling" in caplog.text
    assert ("the database is away" in caplog.text) == isinstance(error, OperationalError)


def test_a_database_that_is_away_is_told_to_the_monitor(node, alone):
    def receiver(sender, **kwargs):
        raise InterfaceError("gone")

    looking_around.connect(receiver)
    with pytest.raises(InterfaceError):
        look_around()
