from __future__ import annotations

import logging
from typing import Any

import pytest

from compute.queue.asked import Asked
from compute.queue.backend import results
from compute.queue.backend.framework import TaskResultStatus, signals
from compute.queue.failing import Cancelled, StartedTooOften, WorkerDied
from compute.queue.models import Job, JobState
from compute.queue.transitions import MAX_DEATHS
from tests.queue import asked, functions
from tests.queue.conftest import LocalNode, received, the_job

pytestmark = pytest.mark.django_db


def test_a_failure_has_its_class_and_its_traceback(node: LocalNode) -> None:
    result = asked.fail.enqueue("no luck")
    with received(signals.task_finished) as sent:
        node.run()
    (told,) = sent
    result.refresh()
    assert told["task_result"] == result
    (error,) = result.errors
    assert (result.status, error.exception_class) == (TaskResultStatus.FAILED, ValueError)
    assert error.traceback.startswith("Traceback (most recent call last)")
    assert error.traceback.endswith("ValueError: no luck\n")
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value


def test_a_class_of_the_projects_own_is_named_whole(node: LocalNode) -> None:
    result = asked.fail_in_its_own_way.enqueue()
    node.run()
    result.refresh()
    assert result.errors[0].exception_class is functions.SpeechlessError


def test_a_retry_keeps_the_error_and_goes_on_counting(node: LocalNode) -> None:
    result = asked.fail_at_first.enqueue()
    node.run()
    result.refresh()
    assert (result.status, result.attempts) == ("FAILED", 1)
    the_job().retry()
    result.refresh()
    assert (result.status, result.attempts, result.finished_at) == ("READY", 1, None)
    node.run()
    result.refresh()
    assert (result.status, result.attempts, result.return_value) == ("SUCCESSFUL", 2, 2)
    assert [error.exception_class for error in result.errors] == [LookupError]
    assert result.started_at
    assert result.last_attempted_at
    assert result.started_at < result.last_attempted_at


def test_an_end_is_told_of(node: LocalNode) -> None:
    result = asked.add.enqueue(1)
    with received(signals.task_finished) as sent:
        node.run()
    (told,) = sent
    assert (told["task_result"].id, told["task_result"].return_value) == (result.id, 1)


def test_the_end_of_a_worker_is_told_of(node: LocalNode) -> None:
    result = asked.add.enqueue(1)
    with received(signals.task_finished) as sent:
        for _ in range(MAX_DEATHS):
            assert not sent
            node.claim_one()
            Job.objects.all().bury("was killed")
        assert not sent, "a guard calls no foreign code"
        node.run()
    (told,) = sent
    (error,) = told["task_result"].errors
    assert (error.exception_class, told["task_result"].attempts) == (WorkerDied, MAX_DEATHS)
    assert "its worker was killed while running it" in error.traceback
    result.refresh()
    assert result == told["task_result"]


def test_one_that_was_started_too_often_is_told_of(node: LocalNode, settings: Any) -> None:
    settings.Q_MAX_STARTS = 1
    asked.add.enqueue(1)
    node.claim_one()
    Job.objects.all().give_back()
    with received(signals.task_finished) as sent:
        node.run()
    assert [each["task_result"].errors[0].exception_class for each in sent] == [StartedTooOften]


@pytest.mark.parametrize("begun", [False, True])
def test_somebody_cancels_it(node: LocalNode, begun: bool) -> None:
    result = asked.add.enqueue(1)
    if begun:
        node.claim_one()
    with received(signals.task_finished) as sent:
        Job.objects.all().cancel("cancelled by somebody")
        node.run()
    (told,) = sent
    result.refresh()
    assert told["task_result"] == result
    (error,) = result.errors
    assert (result.status, error.exception_class) == ("FAILED", Cancelled)
    assert (error.traceback, result.attempts) == ("cancelled by somebody", int(begun))
    assert result.finished_at


def test_of_others_that_are_cancelled_nobody_hears(node: LocalNode) -> None:
    from django_q.tasks import async_task

    async_task("tests.queue.functions.add", 1)
    with received(signals.task_finished) as sent:
        Job.objects.all().cancel("cancelled by somebody")
        assert node.run() == []
    assert not sent


def test_of_what_has_not_ended_nobody_hears() -> None:
    result = asked.add.enqueue(1)
    with received(signals.task_finished) as sent:
        results.tell_ended([result.id])
    assert not sent


def test_of_what_is_not_here_the_log_tells(caplog: pytest.LogCaptureFixture) -> None:
    result = asked.add.enqueue(1)
    gone = the_job().asked.replace("asked.add", "asked.gone")
    Job.objects.update(asked=gone, state=JobState.DONE)
    with received(signals.task_finished) as sent:
        results.tell_ended([result.id])
    assert not sent
    assert f"nobody is told of the end of {result.id}: there is no" in caplog.text


def test_where_nobody_listens_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(signals.logger, "level", logging.CRITICAL)
    monkeypatch.setattr(signals.logger, "_cache", {})
    with django_assert_num_queries(0):
        results.tell_ended(["1" * 32])


def test_a_task_of_another_class_is_made_as_it_is() -> None:
    assert results.task_of(Asked.of(asked.limited)) == asked.limited
    elsewhere = results.task_of(Asked.of(asked.elsewhere))
    assert elsewhere == asked.elsewhere
