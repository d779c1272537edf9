"""`sync=True`: in the request, in the caller's transaction, with a job like any other."""

from __future__ import annotations

import pytest
from django.db import transaction
from django_q.models import Failure, OrmQ, Success
from django_q.tasks import async_chain, async_task, fetch, result
from pytest_django import DjangoCaptureOnCommitCallbacks

from compute.queue.call import Call
from compute.queue.in_request import InRequest
from compute.queue.models import Job, JobState
from tests.queue import functions
from tests.queue.conftest import LocalNode, the_job

ADD = "tests.queue.functions.add"


def test_sync_runs_in_place(db: None) -> None:
    task_id = async_task(functions.add, 1, 2, sync=True)
    job = the_job()
    assert (job.pk, job.state, job.result, job.attempt) == (task_id, JobState.DONE, 3, 1)
    assert job.queue_id is None
    assert result(task_id) == 3
    assert fetch(task_id).attempt_count == 1
    assert not OrmQ.objects.exists()
    assert functions.ran == [(1, 2)]


def test_sync_passes_the_error_on_with_its_traceback(db: None) -> None:
    with pytest.raises(ValueError, match="no luck") as caught:
        async_task(functions.fail, sync=True)
    assert caught.traceback[-1].name == "fail"
    job = the_job()
    assert (job.state, job.error) == (JobState.FAILED, "ValueError: no luck")
    assert "in fail" in Failure.objects.get().result


def test_sync_passes_an_exit_on(db: None) -> None:
    with pytest.raises(SystemExit):
        async_task(functions.leave, 3, sync=True)
    assert the_job().state == JobState.FAILED
    assert the_job().error_class == "SystemExit"


def test_a_failed_sync_job_can_be_retried(node: LocalNode) -> None:
    with pytest.raises(ValueError, match="no luck"):
        async_task(functions.fail_once, sync=True)
    assert the_job().retry()
    assert not Failure.objects.exists()
    node.run()
    job = the_job()
    assert (job.state, job.result, job.attempt) == (JobState.DONE, "luck", 2)
    assert Success.objects.get().attempt_count == 2


def test_a_sync_job_that_fails_again_can_be_retried_again(node: LocalNode) -> None:
    with pytest.raises(ValueError, match="no luck"):
        async_task(functions.fail, sync=True)
    for _ in range(2):
        assert the_job().retry()
        node.run()
    assert (the_job().state, the_job().attempt) == (JobState.FAILED, 3)


def test_a_sync_chain_runs_step_by_step_in_place(db: None) -> None:
    group = async_chain([(ADD, (1,)), (ADD, (2,), {"b": 3}), (ADD, (4,))], sync=True)
    assert functions.ran == [(1, 0), (2, 3), (4, 0)]
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.DONE}
    assert sorted(Success.objects.filter(group=group).values_list("result", flat=True)) == [1, 4, 5]
    assert not OrmQ.objects.exists()


def test_a_sync_chain_ends_where_it_fails(db: None) -> None:
    with pytest.raises(ValueError, match="no luck"):
        async_chain([(functions.fail,), (ADD, (1,))], sync=True)
    assert functions.ran == ["no luck"]
    assert Job.objects.count() == 1


def test_a_hook_runs_in_place_with_sync(
    db: None, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        task_id = async_task(ADD, 1, hook=functions.hook, sync=True)
    assert functions.ran == [(1, 0), ("hook", task_id, True)]


def test_it_is_called_as_its_function_is() -> None:
    assert str(InRequest(Call(functions.add), {})) == ADD


def test_what_the_function_itself_commits_or_not_is_the_callers_affair(
    transactional_db: None,
) -> None:
    """One try, and no outcome beside a transaction that is rolled back."""
    with pytest.raises(ValueError, match="no luck"), transaction.atomic():
        async_task(functions.fail, sync=True)
    assert not Job.objects.exists()
    assert not Failure.objects.exists()


def test_a_coroutine_is_awaited_in_place(db: None) -> None:
    task_id = async_task(functions.add_later, 1, 2, sync=True)
    assert (result(task_id), the_job().state) == (3, JobState.DONE)
    with pytest.raises(ValueError, match="no luck"):
        async_task(functions.fail_later, sync=True)
