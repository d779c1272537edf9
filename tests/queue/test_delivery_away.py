"""What comes of a task whose database is away, or refuses it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DataError, OperationalError, connection
from django_q.models import Failure, OrmQ, Success
from django_q.tasks import async_task

from compute.queue.away import PAUSES_S
from compute.queue.delivery import Delivery
from compute.queue.models import JobState
from compute.queue.node import leases as leases_module
from tests.queue import functions
from tests.queue.conftest import LocalNode, expire_leases, failing, the_job

ADD = "tests.queue.functions.add"


@pytest.mark.parametrize(
    ("func", "step", "state"),
    [
        (functions.give, "write", JobState.DONE),
        (functions.fail, "write", JobState.FAILED),
        (functions.fail, "keep_payload", JobState.FAILED),
    ],
)
def test_an_outcome_is_written_once_the_database_is_back(
    transactional_db: None,
    node: LocalNode,
    monkeypatch: pytest.MonkeyPatch,
    pauses: list[float],
    func: Any,
    step: str,
    state: JobState,
) -> None:
    async_task(func, "x")
    monkeypatch.setattr(Delivery, step, failing(3, getattr(Delivery, step)))
    (ended,) = node.run()
    assert ended["success"] is (state == JobState.DONE)
    assert (the_job().state, the_job().attempt) == (state, 1)
    assert functions.ran == ["x"]
    assert pauses == list(PAUSES_S[:3])


def test_what_is_unknown_here_is_left_once_the_database_is_back(
    transactional_db: None, node: LocalNode, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    async_task(functions.give, 1)
    monkeypatch.delattr(functions, "give")
    monkeypatch.setattr(Delivery, "postpone", failing(1, Delivery.postpone))
    node.run()
    assert the_job().state == JobState.QUEUED
    assert pauses == [PAUSES_S[0]]


def test_a_commit_whose_answer_was_lost_counts_once(
    transactional_db: None, node: LocalNode, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    lost: list[Any] = []
    write = Delivery.write

    def write_and_lose_the_answer(*args: Any) -> Any:
        answer = write(*args)
        if not lost:
            lost.append(answer)
            raise OperationalError
        return answer

    monkeypatch.setattr(Delivery, "write", write_and_lose_the_answer)
    async_task(ADD, 1)
    node.run()
    assert (the_job().state, the_job().result, the_job().attempt) == (JobState.DONE, 1, 1)
    assert Success.objects.get().attempt_count == 1


@pytest.mark.parametrize("func", [functions.give, functions.fail])
def test_a_job_whose_outcome_could_not_be_written_is_not_held_for_ever(
    transactional_db: None,
    node: LocalNode,
    other_node: LocalNode,
    monkeypatch: pytest.MonkeyPatch,
    pauses: list[float],
    func: Any,
) -> None:
    """The database was away for longer than the tries, and the node still lives."""
    async_task(func, "x")
    task = node.claim_one()
    with monkeypatch.context() as context:
        context.setattr(Delivery, "write", failing(1000, Delivery.write))
        with pytest.raises(OperationalError):
            node.work(task)
    assert pauses == list(PAUSES_S)
    assert the_job().state == JobState.RUNNING
    expire_leases()  # it was away for longer than the lease
    leases_module.renew(node.row.pk, [])  # the worker runs something else by now
    other_node.run()
    assert the_job().state in (JobState.DONE, JobState.FAILED)


def test_an_outcome_that_the_database_refuses_is_a_failure_and_not_a_job_held_for_ever(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = DataError("value out of range")

    def refuse(self: Any, result: Any, stored: Any) -> None:
        raise refusal

    monkeypatch.setattr(Delivery, "finish", refuse)
    async_task(ADD, 1)
    node.run()
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, "DataError")
    assert Failure.objects.filter(pk=the_job().pk).exists()
    assert not OrmQ.objects.exists()


def look_elsewhere(error: str | None = None) -> str:
    """Leave the connection in a state in which the queue's tables are not to be found."""
    with connection.cursor() as cursor:
        cursor.execute("SET search_path TO nowhere")
    if error:
        raise ValueError(error)
    return "done"


@pytest.mark.postgres
@pytest.mark.parametrize(("error", "state"), [(None, JobState.DONE), ("no", JobState.FAILED)])
def test_what_a_task_has_set_in_its_session_costs_no_outcome(
    transactional_db: None,
    node: LocalNode,
    caplog: pytest.LogCaptureFixture,
    error: str | None,
    state: JobState,
) -> None:
    async_task(look_elsewhere, error, task_name="a task")
    node.run()
    assert (the_job().state, the_job().attempt) == (state, 1)
    assert "a task: tried once more: ProgrammingError" in caplog.text
