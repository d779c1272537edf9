from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from compute.queue import flows
from compute.queue.backend import QueueBackend
from compute.queue.backend.framework import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
    task_backends,
)
from compute.queue.models import Flow, Job, JobState
from tests.queue import asked, functions
from tests.queue.conftest import LocalNode, received, the_job

pytestmark = pytest.mark.django_db

BACKEND = "compute.queue.backend.QueueBackend"


@pytest.fixture
def backend() -> QueueBackend:
    found = task_backends["default"]
    assert isinstance(found, QueueBackend)
    return found


def test_a_task_is_enqueued_run_and_told_of(node: LocalNode) -> None:
    result = asked.add.enqueue(1, b=2)
    assert (result.status, result.args, result.kwargs) == (TaskResultStatus.READY, [1], {"b": 2})
    assert asked.add.get_result(result.id) == result
    assert the_job().name == "add(1, b=2)"
    node.run()
    result.refresh()
    assert (result.status, result.return_value, result.attempts) == ("SUCCESSFUL", 3, 1)
    assert functions.ran == [(1, 2)]
    assert result.enqueued_at
    assert result.started_at
    assert result.finished_at
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert result.worker_ids[0].startswith(f"{node.row.pk}-")


def test_what_a_worker_would_not_find_is_not_enqueued() -> None:
    """A function of a shell, say."""

    def nowhere() -> int:
        return 0

    nowhere.__qualname__ = "nowhere"
    task: Any = replace(asked.add, func=nowhere)
    with pytest.raises(InvalidTask, match=r"no tests.queue.test_backend.nowhere here, nor for a"):
        task.enqueue()
    assert not Job.objects.exists()


def test_it_is_enqueued_in_the_callers_transaction() -> None:
    with received(signals.task_enqueued) as sent, transaction.atomic():
        asked.add.enqueue(1)
        transaction.set_rollback(True)
    assert not Job.objects.exists()
    assert not OrmQ.objects.exists()
    assert len(sent) == 1, "and whatever a receiver has written is gone, too"


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_when_it_is_enqueued_asynchronously(node: LocalNode) -> None:
    from asgiref.sync import async_to_sync

    async def enqueue() -> Any:
        result = await asked.add.aenqueue(1)
        assert await asked.add.aget_result(result.id) == result
        return result

    result = async_to_sync(enqueue)()
    node.run()
    assert asked.add.get_result(result.id).return_value == 1


@pytest.mark.django_db(transaction=True)
def test_an_async_function_is_run(node: LocalNode) -> None:
    result = asked.count_jobs.enqueue()
    node.run()
    assert asked.count_jobs.get_result(result.id).return_value == 1  # type: ignore[comparison-overlap]


def test_arguments_are_what_json_makes_of_them(node: LocalNode) -> None:
    value = {"pair": (1, 2), "deep": [b"text", None, True, 0.5, "\0\udce9"]}
    result = asked.give.enqueue(value)
    plain = {"pair": [1, 2], "deep": ["text", None, True, 0.5, "\0\udce9"]}
    assert result.args == [plain]
    node.run()
    assert functions.ran == [plain]
    assert asked.give.get_result(result.id).return_value == plain


@pytest.mark.parametrize("value", [{1}, object(), float("nan"), b"\xff", timezone.now()])
def test_what_json_has_not_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        asked.give.enqueue(value)
    assert not Job.objects.exists()


def test_an_argument_may_have_the_name_of_an_option(node: LocalNode) -> None:
    named: dict[str, Any] = {"group": "a", "timeout": 1, "task_name": "b", "q_options": "c"}
    result = asked.options.enqueue(**named)
    node.run()
    assert asked.options.get_result(result.id).return_value == ["a", 1, "b", "c"]


# --- when, and before whom ------------------------------------------------------------


def test_what_is_to_run_later_waits_outside_of_the_line(node: LocalNode) -> None:
    later = timezone.now() + timedelta(hours=1)
    result = asked.add.using(run_after=later).enqueue(1)
    assert node.claim() == []
    assert not flows.waiting().exists()
    assert flows.deferred().count() == 1
    job = the_job()
    assert (job.state, job.due_at, job.queued_at) == (JobState.QUEUED, later, later)
    assert OrmQ.objects.get().lock == later
    again = asked.add.get_result(result.id)
    assert again == result
    assert again.task.run_after == later


def test_what_is_due_runs(node: LocalNode) -> None:
    result = asked.add.using(run_after=timezone.now() + timedelta(milliseconds=1)).enqueue(1)
    Job.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))
    node.run()
    assert asked.add.get_result(result.id).return_value == 1


def test_what_was_due_long_ago_just_waits(node: LocalNode) -> None:
    asked.add.using(run_after=timezone.now() - timedelta(days=1)).enqueue(1)
    assert the_job().due_at is None
    assert flows.waiting().count() == 1


def test_priorities_are_weights(node: LocalNode) -> None:
    for task in (asked.add, asked.add.using(priority=-1), asked.add.using(priority=100)):
        task.enqueue(1)
    weights = dict(Flow.objects.values_list("key", "weight"))
    path = "tests.queue.asked.add"
    assert weights == {path: 1, f"{path} (urgent)": 4, f"{path} (background)": 0.25}


def test_a_task_that_is_just_queued_is_of_the_same_flow() -> None:
    from django_q.tasks import async_task

    asked.add.enqueue(1)
    async_task("tests.queue.asked.add", 1)
    assert Flow.objects.count() == 1


def test_other_queues(settings: Settings, node: LocalNode) -> None:
    with pytest.raises(InvalidTask, match="'slow' is not valid"):
        asked.add.using(queue_name="slow")
    settings.TASKS = {"default": {"BACKEND": BACKEND, "QUEUES": ["default", "slow"]}}
    result = asked.add.using(queue_name="slow").enqueue(1)
    assert the_job().queue == OrmQ.objects.get().key == "slow"
    assert node.claim() == []
    assert asked.add.get_result(result.id).task.queue_name == "slow"


def test_the_queues_of_the_settings_are_there(settings: Settings) -> None:
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "ALT_CLUSTERS": {"slow": {}}}
    settings.TASKS = {"default": {"BACKEND": BACKEND}}
    assert asked.add.using(queue_name="slow").queue_name == "slow"


# --- what else may be said of it ------------------------------------------------------


def test_a_time_limit_is_obeyed(node: LocalNode) -> None:
    result = asked.limited.enqueue(5)
    node.run()
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class_path == "django_q.exceptions.TimeoutException"
    assert "maximum timeout value (0.5 seconds)" in result.errors[0].traceback


@pytest.mark.django_db(transaction=True)
def test_a_time_limit_interrupts_an_async_function(node: LocalNode) -> None:
    result = asked.sleep.enqueue(60)
    node.run()
    result.refresh()
    assert result.errors[0].exception_class_path == "django_q.exceptions.TimeoutException"


def test_so_many_at_once(node: LocalNode) -> None:
    for _ in range(3):
        asked.limited.enqueue(0)
    assert [len(node.claim()) for _ in range(3)] == [1, 1, 0]
    flow = Flow.objects.get()
    assert (flow.at_once, flow.pool) == (2, "tests.queue.asked.limited")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("timeout", 0, "timeout is 0; give seconds"),
        ("timeout", "soon", "timeout is 'soon'; give seconds"),
        ("at_once", 0, "at_once is 0; give 1 or more"),
        ("at_once", True, "at_once is True; give 1 or more"),
        ("queue_name", "x" * 101, "cluster has over 100 characters"),
    ],
)
def test_what_no_worker_could_obey_is_refused(
    settings: Settings, option: str, value: Any, said: str
) -> None:
    settings.TASKS = {"default": {"BACKEND": BACKEND, "QUEUES": []}}
    with pytest.raises(InvalidTask, match=said):
        replace(asked.limited, **{option: value})


@pytest.mark.parametrize("function", [functions.one_by_one, functions.later_one_by_one])
def test_what_returns_a_generator_is_no_task(backend: QueueBackend, function: Any) -> None:
    with pytest.raises(InvalidTask, match="one_by_one has a `yield`, so that it returns a gener"):
        replace(asked.add, func=function)


# --- results --------------------------------------------------------------------------


@pytest.mark.parametrize("result_id", ["1" * 32, "", "no\0thing", "é" * 1000, 7])
def test_there_is_no_result_of_what_there_is_not(backend: QueueBackend, result_id: Any) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(result_id)


def test_there_is_none_of_other_jobs(backend: QueueBackend) -> None:
    from django_q.tasks import async_task

    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(async_task("tests.queue.functions.add", 1))


def test_there_is_none_of_another_backend(settings: Settings) -> None:
    settings.TASKS = {"default": {"BACKEND": BACKEND}, "other": {"BACKEND": BACKEND}}
    result = asked.add.using(backend="other").enqueue(1)
    assert asked.add.using(backend="other").get_result(result.id) == result
    with pytest.raises(TaskResultDoesNotExist):
        asked.add.get_result(result.id)


def test_there_is_none_of_a_function_that_is_gone(backend: QueueBackend) -> None:
    result = asked.add.enqueue(1)
    job = the_job()
    Job.objects.update(asked=job.asked.replace("asked.add", "asked.gone"))
    with pytest.raises(TaskResultDoesNotExist, match=r"there is no tests\.queue\.asked\.gone here"):
        backend.get_result(result.id)


# --- checks ---------------------------------------------------------------------------


def test_the_sites_own_settings_are_well() -> None:
    assert [message.id for message in run_checks() if (message.id or "").startswith("queue")] == []


def test_the_checks_tell_what_is_not_obeyed(settings: Settings) -> None:
    backend = QueueBackend("default", {"OPTIONS": {"workers": 3}})
    (warning,) = backend.check()
    assert (warning.id, "workers" in warning.msg) == ("queue.W003", True)
    settings.INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
    assert [message.id for message in backend.check()] == ["queue.E004", "queue.W003"]
