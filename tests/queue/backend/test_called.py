from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest

from compute.queue.asked import Asked
from compute.queue.backend.called import TaskCall, plain
from compute.queue.backend.framework import TaskResultStatus, signals
from compute.queue.call import UnknownHereError
from compute.queue.models import Job, JobState
from tests.queue import asked, functions
from tests.queue.conftest import LocalNode, expire_leases, received

pytestmark = pytest.mark.django_db


def call_of(task: Any) -> TaskCall:
    return TaskCall(Asked.of(task), asked.add.enqueue(1).enqueued_at)  # type: ignore[arg-type]


def test_it_travels() -> None:
    call = call_of(asked.limited)
    again = pickle.loads(pickle.dumps(call))
    assert (again.func, again.asked, again.enqueued_at) == (
        "tests.queue.asked.limited",
        call.asked,
        call.enqueued_at,
    )
    assert again.asked.at_once == 2


def test_a_function_that_this_code_lacks_is_left_to_others() -> None:
    call = TaskCall(Asked.of(asked.add)._replace(path="tests.queue.asked.gone"), None)  # type: ignore[arg-type]
    task: dict[str, Any] = {}
    with pytest.raises(UnknownHereError):
        call.bound(task, 1)
    assert task == {"backend": "default"}, "its errors are kept, if it comes to that"


def test_who_takes_the_context_gets_it(node: LocalNode) -> None:
    result = asked.with_context.enqueue("note")
    node.run()
    result.refresh()
    assert result.return_value == ["note", 1, result.id, "RUNNING", 0]
    (seen,) = functions.ran
    assert (seen.enqueued_at, seen.args, seen.attempts) == (result.enqueued_at, ["note"], 1)
    assert seen.started_at == seen.last_attempted_at
    assert seen.task == asked.with_context


def test_a_later_attempt_knows_of_those_before(node: LocalNode, other_node: LocalNode) -> None:
    result = asked.with_context.enqueue("note")
    node.claim_one()
    expire_leases()
    other_node.run()
    (seen,) = functions.ran
    assert seen.attempts == 2
    assert [each.partition("-")[0] for each in seen.worker_ids] == [node.row.pk, other_node.row.pk]
    assert seen.started_at <= seen.last_attempted_at
    result.refresh()
    assert result.worker_ids == seen.worker_ids
    assert result.started_at == seen.started_at


def test_a_start_is_told_of(node: LocalNode) -> None:
    result = asked.add.enqueue(1)
    with received(signals.task_started) as sent:
        node.run()
    (told,) = sent
    assert (told["task_result"].id, told["task_result"].status) == (
        result.id,
        TaskResultStatus.RUNNING,
    )


def test_a_receiver_that_fails_costs_no_task(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    def receiver(**kwargs: Any) -> None:
        raise ValueError("the receiver is broken")

    signals.task_started.connect(receiver)
    try:
        result = asked.add.enqueue(1)
        node.run()
    finally:
        signals.task_started.disconnect(receiver)
    assert asked.add.get_result(result.id).return_value == 1


def test_nothing_is_made_for_nobody(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(TaskCall, "at_start", lambda *args: made.append(args))
    monkeypatch.setattr(signals.logger, "level", logging.CRITICAL)
    asked.add.enqueue(1)
    node.run()
    assert not made


def test_a_function_that_is_no_task_by_its_path_is_called(node: LocalNode) -> None:
    result = asked.elsewhere.enqueue(7)
    node.run()
    assert asked.elsewhere.get_result(result.id).return_value == 7


def test_what_json_has_not_is_no_result(node: LocalNode) -> None:
    result = asked.give_what_json_lacks.enqueue()
    node.run()
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is TypeError
    assert "Unsupported type" in result.errors[0].traceback


def test_a_row_that_is_gone_meanwhile_is_no_reason_to_fail(node: LocalNode) -> None:
    task: dict[str, Any] = {"id": "1" * 32, "started": None, "args": (), "kwargs": {}}
    call = call_of(asked.add)
    assert call.at_start(asked.add, task, 2).attempts == 1


@pytest.mark.parametrize(
    ("value", "as_json"),
    [((1, 2), [1, 2]), ({1: "a"}, {"1": "a"}), (b"text", "text"), (None, None)],
)
def test_what_json_makes_of_it(value: Any, as_json: Any) -> None:
    assert plain(value) == as_json


def test_a_task_is_called_by_its_path_too(node: LocalNode) -> None:
    from django_q.tasks import async_task

    task_id = async_task("tests.queue.asked.add", 1, b=2)
    other = async_task(asked.add, 3)
    of_another = async_task(asked.add.using(priority=3), 4)
    node.run()
    jobs = dict(Job.objects.values_list("pk", "result"))
    assert jobs == {task_id: 3, other: 3, of_another: 4}
    assert set(Job.objects.values_list("asked", "state")) == {("", JobState.DONE)}
