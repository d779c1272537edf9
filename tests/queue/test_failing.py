"""Failures that a worker could not note itself."""

from __future__ import annotations

from typing import Any

import pytest
from django_q.models import Failure

from compute.queue.failing import NotRun, StartedTooOften, WorkerDied, class_path
from compute.queue.models import Job, JobState
from compute.queue.signals import ended_elsewhere, groups_changed
from compute.queue.trials import errors_of
from tests.queue.conftest import LocalNode, a_running, received, the_job


def test_a_job_that_ran_out_of_time_fails_with_the_reason(node: LocalNode) -> None:
    a_running(node)
    Job.objects.filter(worker=7).fail("it ran for more than 5 seconds", "TimeoutException")
    assert Job.objects.get().error == "it ran for more than 5 seconds"
    assert Failure.objects.get().result == "it ran for more than 5 seconds"


def test_who_is_told_of_a_failure_and_fails_does_not_undo_it(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    """Its worker's third death is written by the guard, which would die of it, with all workers."""

    def receiver(sender: Any, **kwargs: Any) -> None:
        raise ValueError("the receiver is broken")

    a_running(node, deaths=2)
    groups_changed.connect(receiver)
    try:
        Job.objects.filter(worker=7).bury("was killed by SIGKILL")
    finally:
        groups_changed.disconnect(receiver)
    assert the_job().state == JobState.FAILED
    assert "the receiver is broken" in caplog.text


def test_a_failure_that_comes_too_late_changes_nothing(node: LocalNode) -> None:
    a_running(node)
    late = Job.objects.get()
    Job.objects.all().give_back()
    assert late.fail("too late", "X") is False
    assert Job.objects.get().state == JobState.QUEUED
    assert not Failure.objects.exists()


def test_one_of_djangos_framework_keeps_the_error_and_is_told_of(node: LocalNode) -> None:
    a_running(node, asked="{}")
    with received(ended_elsewhere) as sent:
        Job.objects.all().fail("it could not be read", "BadSignature")
    assert [each["task_ids"] for each in sent] == [[the_job().pk]]
    assert errors_of(the_job().errors) == [("BadSignature", "it could not be read")]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("builtins.ValueError", "builtins.ValueError"),
        ("ImportError", "builtins.ImportError"),
        ("len", f"{NotRun.__module__}.NotRun"),
        ("BadSignature", f"{NotRun.__module__}.NotRun"),
        ("WorkerDied", f"{WorkerDied.__module__}.WorkerDied"),
        ("StartedTooOften", f"{StartedTooOften.__module__}.StartedTooOften"),
        ("TimeoutException", "django_q.exceptions.TimeoutException"),
    ],
)
def test_each_error_has_a_class(name: str, path: str) -> None:
    assert class_path(name) == path
