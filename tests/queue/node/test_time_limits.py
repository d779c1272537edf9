"""A task's time: its own, of its function alone, and known to the guard."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from django_q.conf import Conf
from django_q.tasks import async_task

from compute.queue.asking import NO_LIMIT
from compute.queue.delivery import Delivery
from compute.queue.models import JobState
from compute.queue.node.attempt import LIMIT_MARGIN_S, Attempt
from tests.queue import functions
from tests.queue.conftest import LocalNode, the_job
from tests.queue.node.test_attempt import attempt_of

ADD = "tests.queue.functions.add"


def test_a_task_that_exceeds_its_time_has_failed(node: LocalNode) -> None:
    async_task(functions.exceed_its_time, timeout=60)
    attempt = attempt_of(node)
    assert attempt.run()
    assert attempt.spent, "nobody knows where it was interrupted"
    job = the_job()
    assert (job.state, job.error_class) == (JobState.FAILED, "TimeoutException")
    assert job.error.endswith("maximum timeout value (60 seconds)")


def test_a_fraction_of_a_second_is_a_limit(node: LocalNode) -> None:
    async_task(functions.slowly, "x", 60, timeout=0.05)
    began = time.monotonic()
    node.run()
    assert 0.05 <= time.monotonic() - began < 30
    assert the_job().error.endswith("maximum timeout value (0.05 seconds)")


@pytest.mark.parametrize(
    ("options", "of_node", "limit_s"),
    [
        ({"timeout": 0.5}, 60, 0.5),
        ({"timeout": NO_LIMIT}, 60, NO_LIMIT),
        ({}, 60, 60),
        ({}, None, NO_LIMIT),
    ],
)
def test_a_task_has_its_own_limit_or_the_nodes(
    node: LocalNode,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    of_node: int | None,
    limit_s: float,
) -> None:
    monkeypatch.setattr(Conf, "TIMEOUT", of_node)
    async_task(ADD, 1, **options)
    assert attempt_of(node).limit_s == limit_s


def test_what_an_older_version_has_queued_has_its_whole_seconds(node: LocalNode) -> None:
    async_task(ADD, 1, timeout=7)
    task = node.claim_one()
    del task["limit"]
    assert Attempt(task["ack_id"], task, node.board.slots[0]).limit_s == 7
    assert "timeout" not in task


def test_meanwhile_the_guard_knows_when_it_is_over(node: LocalNode) -> None:
    slot = node.board.slots[0]
    seen: list[float] = []

    def look() -> None:
        seen.extend((slot.limit_s, slot.deadline, signal.getitimer(signal.ITIMER_REAL)[0]))

    functions.interruption.append(look)
    began = time.monotonic()
    async_task(functions.interrupted, timeout=60)
    node.run()
    limit_s, deadline, left_s = seen
    assert (limit_s, slot.deadline) == (60, 0)
    assert 60 + LIMIT_MARGIN_S <= deadline - began < 120
    assert 0 < left_s <= 60


def test_a_clock_that_a_task_has_replaced_is_not_the_guards(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would see the next one as over at once, and kill it."""
    seen: list[bool] = []
    functions.interruption.append(lambda: seen.append(node.board.slots[0].deadline > 100))
    async_task(functions.interrupted, timeout=60)
    attempt = attempt_of(node)
    with monkeypatch.context() as left:
        left.setattr(time, "monotonic", lambda: 1.0)
        attempt.run()
    assert seen == [True]


def test_without_a_limit_there_is_no_alarm(node: LocalNode) -> None:
    slot = node.board.slots[0]
    seen: list[float] = []
    functions.interruption.append(
        lambda: seen.extend((slot.deadline, *signal.getitimer(signal.ITIMER_REAL)))
    )
    async_task(functions.interrupted, timeout=NO_LIMIT)
    node.run()
    assert seen == [0, 0, 0]
    assert the_job().state == JobState.DONE


def test_an_alarm_of_the_tasks_own_ends_with_it(node: LocalNode) -> None:
    functions.interruption.append(lambda: signal.alarm(600))
    async_task(functions.interrupted, timeout=NO_LIMIT)
    node.run()
    assert signal.alarm(0) == 0


def test_an_alarm_that_comes_late_leaves_no_deadline(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It strikes when the function has returned, while the timer is taken away."""
    setitimer = signal.setitimer

    def late(which: int, seconds: float) -> Any:
        if seconds == 0:
            signal.raise_signal(signal.SIGALRM)
        return setitimer(which, seconds)

    async_task(ADD, 1, timeout=60)
    attempt = attempt_of(node)
    try:
        with monkeypatch.context() as context:
            context.setattr(signal, "setitimer", late)
            assert attempt.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert attempt.spent
    assert node.board.slots[0].deadline == 0
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, "TimeoutException")


@pytest.mark.parametrize(
    ("func", "settling"), [(functions.give, "finish"), (functions.fail, "fail")]
)
def test_the_time_limit_is_the_functions_alone(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, func: Callable[..., Any], settling: str
) -> None:
    left: list[float] = []
    settle = getattr(Delivery, settling)

    def settle_and_look(*args: Any) -> Any:
        left.extend((signal.getitimer(signal.ITIMER_REAL)[0], node.board.slots[0].deadline))
        return settle(*args)

    monkeypatch.setattr(Delivery, settling, settle_and_look)
    async_task(func, "x", timeout=60)
    node.run()
    assert left == [0, 0]


class SlowlyPickled:
    """As a query that has not been asked yet."""

    def __reduce__(self) -> Any:
        time.sleep(30)
        return SlowlyPickled, ()


def test_what_a_result_takes_to_be_stored_is_the_functions_time(node: LocalNode) -> None:
    async_task(SlowlyPickled, timeout=0.05)
    began = time.monotonic()
    attempt = attempt_of(node)
    attempt.run()
    assert time.monotonic() - began < 20
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, "TimeoutException")
    assert attempt.spent


# --- of what is awaited -----------------------------------------------------------------------


def test_a_coroutine_that_exceeds_its_time_has_failed(node: LocalNode) -> None:
    async_task(functions.wait_for_long, timeout=0.2)
    attempt = attempt_of(node)
    assert attempt.run()
    assert attempt.spent
    job = the_job()
    assert (job.state, job.error_class) == (JobState.FAILED, "TimeoutException")
    assert job.error.endswith("(0.2 seconds)")
