"""One start of a task: whether it is run, its time, its signals, and what it leaves behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.dispatch import Signal
from django_q.models import Failure, OrmQ, Success, Task
from django_q.signals import post_execute_in_worker, pre_execute
from django_q.tasks import async_task
from pytest_django import Settings

from compute.queue import kernel, transitions
from compute.queue.models import Job, JobState
from compute.queue.node import attempt as attempt_module
from compute.queue.node.attempt import Attempt
from compute.queue.node.channels import MOST_BYTES
from compute.queue.signals import groups_changed
from tests.queue import functions
from tests.queue.conftest import LocalNode, expire_leases, received, the_job

ADD = "tests.queue.functions.add"


def attempt_of(node: LocalNode, **options: Any) -> Attempt:
    """At what the node would run next."""
    task = node.claim_one()
    return Attempt(task["ack_id"], task, node.board.slots[0], **options)


@contextmanager
def connected(signal: Signal, receiver: Callable[..., Any]) -> Iterator[None]:
    signal.connect(receiver)
    try:
        yield
    finally:
        signal.disconnect(receiver)


def broken(**kwargs: Any) -> None:
    raise ValueError("the receiver is broken")


# --- whether it is run --------------------------------------------------------------------


def test_an_outcome_that_counts_is_to_be_told_of(node: LocalNode) -> None:
    async_task(ADD, 1)
    assert attempt_of(node).run() is True


def test_an_outcome_that_was_dropped_is_not_to_be_told_of(
    node: LocalNode, other_node: LocalNode
) -> None:
    async_task(ADD, 1)
    late = attempt_of(node)
    expire_leases()
    other_node.run()
    assert late.run() is False
    assert functions.ran == [(1, 0)] * 2


@pytest.mark.parametrize("size", [10, 100_000, MOST_BYTES])
def test_what_is_too_long_for_a_report_is_kept_no_longer(node: LocalNode, size: int) -> None:
    """Those who listen here have had it by then."""
    async_task(functions.large, size)
    attempt = attempt_of(node)
    told: list[int] = []

    def receiver(task: dict[str, Any], **kwargs: Any) -> None:
        told.append(len(task["result"]))

    with connected(post_execute_in_worker, receiver):
        assert attempt.run()
    assert told == [size]
    expected = functions.large(size)
    assert attempt.task["result"] == (expected if size < MOST_BYTES else None)
    assert the_job().result == expected


def test_a_cancelled_job_is_not_run(node: LocalNode) -> None:
    async_task(ADD, 1)
    Job.objects.update(state=JobState.CANCELLED)
    transitions.look_for_strays("sumsite")
    assert attempt_of(node).run() is False
    assert functions.ran == []
    assert not OrmQ.objects.exists()
    assert (the_job().state, the_job().attempt) == (JobState.CANCELLED, 0)
    assert not Task.objects.exists()


def test_a_task_whose_job_is_gone_runs_not_and_leaves_the_queue(node: LocalNode) -> None:
    async_task(ADD, 1)
    Job.objects.all().delete()
    transitions.look_for_strays("sumsite")
    node.run()
    assert functions.ran == []
    assert not OrmQ.objects.exists()


def test_a_task_that_was_started_too_often_fails_with_the_reason(
    node: LocalNode, settings: Settings
) -> None:
    settings.Q_MAX_STARTS = 3
    task_id = async_task(ADD, 1)
    for _ in range(3):
        node.claim()  # and the whole node is gone
        expire_leases()
    attempt = attempt_of(node)
    with received(groups_changed) as changes:
        assert attempt.run() is False, "the failure has been told of"
    assert functions.ran == []
    job = the_job()
    assert (job.state, job.error_class, job.starts) == (JobState.FAILED, "StartedTooOften", 4)
    assert job.error == (
        "it was started 3 times, and never came to an end: the most is Q_MAX_STARTS"
    )
    assert Failure.objects.get().result == job.error
    assert [change["groups"] for change in changes] == [{task_id}]
    assert not OrmQ.objects.exists()


def test_the_last_start_that_is_allowed_counts(node: LocalNode, settings: Settings) -> None:
    settings.Q_MAX_STARTS = 2
    async_task(ADD, 1)
    node.claim()
    expire_leases()
    node.run()
    assert the_job().state == JobState.DONE


def test_a_retry_starts_anew(node: LocalNode, settings: Settings) -> None:
    settings.Q_MAX_STARTS = 1
    async_task(functions.fail_once)
    node.run()
    assert the_job().retry()
    node.run()
    assert (the_job().state, the_job().attempt, the_job().starts) == (JobState.DONE, 2, 1)


def test_a_start_too_many_of_a_delivery_that_is_over_fails_nothing(
    node: LocalNode, settings: Settings
) -> None:
    settings.Q_MAX_STARTS = 1
    async_task(ADD, 1)
    node.claim()
    expire_leases()
    late = attempt_of(node)
    Job.objects.all().give_back()
    assert late.run() is False
    assert the_job().state == JobState.QUEUED
    assert functions.ran == []


# --- its signals --------------------------------------------------------------------------


def test_before_and_after_it_django_q_signals_are_sent(node: LocalNode) -> None:
    task_id = async_task(ADD, 1)
    with received(pre_execute) as before, received(post_execute_in_worker) as after:
        node.run()
    ((first,), (second,)) = before, after
    assert (first["func"], first["task"]["id"]) == (functions.add, task_id)
    assert (second["func"], second["task"]["id"]) == (ADD, task_id)
    assert (second["task"]["success"], second["task"]["result"]) == (True, 1)


def test_a_failure_is_signalled_with_its_report(node: LocalNode) -> None:
    async_task(functions.fail)
    with received(post_execute_in_worker) as after:
        node.run()
    assert after[0]["task"]["success"] is False
    assert "Traceback" in after[0]["task"]["result"]


def test_an_outcome_that_was_dropped_is_not_signalled(
    node: LocalNode, other_node: LocalNode
) -> None:
    async_task(ADD, 1)
    late = attempt_of(node)
    expire_leases()
    other_node.run()
    with received(post_execute_in_worker) as after:
        late.run()
    assert after == []


def test_a_receiver_that_fails_before_the_function_fails_the_task(node: LocalNode) -> None:
    async_task(ADD, 1)
    with connected(pre_execute, broken):
        node.run()
    assert functions.ran == []
    assert (the_job().state, the_job().error) == (
        JobState.FAILED,
        "ValueError: the receiver is broken",
    )


def test_a_receiver_that_fails_after_the_function_costs_a_line_in_the_log(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    async_task(ADD, 1)
    attempt = attempt_of(node)
    with connected(post_execute_in_worker, broken):
        assert attempt.run()
    assert not attempt.spent
    assert (the_job().state, the_job().result) == (JobState.DONE, 1)
    assert "ValueError: the receiver is broken" in caplog.text
    assert node.board.slots[0].deadline == 0


def test_receivers_have_as_much_time_as_the_function(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    async_task(ADD, 1, timeout=60)
    attempt = attempt_of(node)
    with connected(post_execute_in_worker, lambda **_: functions.exceed_its_time()):
        assert attempt.run(), "the outcome has been written"
    assert attempt.spent
    assert (the_job().state, the_job().result) == (JobState.DONE, 1)
    assert "add(1): what was told of its end took too long" in caplog.text
    assert node.board.slots[0].deadline == 0
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_errors_are_reported_to_whom_django_q_is_told_to(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[str] = []
    reporter = SimpleNamespace(report=lambda: reported.append("an error"))
    monkeypatch.setattr(attempt_module, "error_reporter", reporter)
    async_task(ADD, 1)
    async_task(functions.fail)
    node.run()
    assert reported == ["an error"]


# --- what it leaves behind ----------------------------------------------------------------


def slow_hook(task: Any) -> None:
    functions.exceed_its_time()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("save", [True, False])
def test_a_hook_has_as_much_time_as_the_function(
    node: LocalNode, caplog: pytest.LogCaptureFixture, save: bool
) -> None:
    async_task(ADD, 1, timeout=60, hook=slow_hook, save=save)
    attempt = attempt_of(node)
    assert attempt.run(), "the outcome has been written"
    assert attempt.spent
    assert (the_job().state, the_job().result) == (JobState.DONE, 1)
    assert "add(1): what was told of its end took too long" in caplog.text
    assert node.board.slots[0].deadline == 0
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def careless_hook(task: Any) -> None:
    functions.leave_open("raw")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("place", ["the function", "a receiver", "a hook"])
def test_a_transaction_that_is_left_open_is_lost_and_said(
    node: LocalNode, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    if place == "the function":
        async_task(functions.leave_open, "a block", task_name="careless")
        node.run()
    elif place == "a hook":
        async_task(ADD, 1, task_name="careless", hook=careless_hook)
        node.run()
    else:
        async_task(ADD, 1, task_name="careless")
        with connected(post_execute_in_worker, lambda **_: functions.leave_open("a block")):
            node.run()
    assert not User.objects.exists()
    assert the_job().state == JobState.DONE
    assert not transaction.get_connection().in_atomic_block
    assert "careless left a transaction open, what it wrote in it is lost" in caplog.text


def start_another(command: str) -> int:
    """Start a process, and forget it."""
    return os.posix_spawnp(command, [command, "600"], os.environ)


def test_a_process_that_a_task_leaves_is_ended_and_its_worker_replaced(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    async_task(start_another, "sleep", task_name="careless")
    known = {each.pid for each in kernel.listed() if each.parent == os.getpid()}
    attempt = attempt_of(node, known=known)
    assert attempt.run()
    assert attempt.spent
    pid = the_job().result
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert "careless left 1 process(es), which were ended" in caplog.text
    assert {each.pid for each in kernel.listed(known)} == known


@pytest.mark.parametrize("number", [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT])
def test_what_a_task_does_on_signals_ends_with_it(node: LocalNode, number: int) -> None:
    handler = signal.getsignal(number)
    functions.interruption.append(lambda: signal.signal(number, signal.SIG_IGN))
    async_task(functions.interrupted)
    try:
        node.run()
        assert signal.getsignal(number) == handler
    finally:
        signal.signal(number, handler)


def test_a_task_that_leaves_no_process_costs_no_look_at_all_of_them(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "has_children", lambda: False)
    monkeypatch.setattr(attempt_module, "end_strangers", lambda known: 1 / 0)
    async_task(ADD, 1)
    attempt = attempt_of(node, known=())
    assert attempt.run()
    assert (the_job().state, attempt.spent) == (JobState.DONE, False)


def test_processes_that_were_there_before_cost_no_worker(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "has_children", lambda: True)
    monkeypatch.setattr(attempt_module, "end_strangers", lambda known: 0)
    async_task(ADD, 1)
    attempt = attempt_of(node, known=())
    assert attempt.run()
    assert not attempt.spent


def test_a_fork_that_comes_back_from_the_function_ends_there(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would write the outcome, too, and be a second worker with the first one's connection."""

    class Ended(BaseException):
        pass

    def end(code: int) -> None:
        raise Ended(code)

    async_task(ADD, 1)
    attempt = attempt_of(node, known=())
    monkeypatch.setattr(attempt, "pid", -1)  # of the process that has begun it
    monkeypatch.setattr(attempt, "end_left_over", lambda: 1 / 0)
    with monkeypatch.context() as context:
        context.setattr(os, "_exit", end)
        with pytest.raises(Ended, match="0"):
            attempt.function()
    assert functions.ran == [(1, 0)]
    assert the_job().state == JobState.RUNNING


def test_next_to_an_outcome_the_next_task_is_claimed(node: LocalNode) -> None:
    """On SQLite, where it spares the worker a turn; what fails may have harmed its worker."""
    claimed: list[bool] = []
    for func in (ADD, functions.fail):
        async_task(func, 1)
        attempt_of(node, claim_ahead=lambda: claimed.append(True)).run()
    one_at_a_time = transaction.get_connection().vendor == "sqlite"
    assert claimed == [True] * one_at_a_time
    assert Success.objects.exists()


# --- what is awaited ----------------------------------------------------------------------


def test_a_coroutine_is_awaited(node: LocalNode) -> None:
    async_task(functions.add_later, 1, 2)
    async_task(functions.fail_later)
    node.run()
    assert list(Job.objects.order_by("queued_at").values_list("state", "error")) == [
        (JobState.DONE, ""),
        (JobState.FAILED, "ValueError: no luck"),
    ]
    assert Job.objects.earliest("queued_at").result == 3
