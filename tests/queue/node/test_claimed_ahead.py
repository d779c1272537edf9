"""What a worker claims in the write that settles its last task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task
from pytest_django import DjangoCaptureOnCommitCallbacks

from compute.queue.broker import sharing
from compute.queue.engines import Lease
from compute.queue.models import Job, JobState, Node
from compute.queue.node.worker import Worker
from tests.queue import functions
from tests.queue.conftest import the_job
from tests.queue.node.test_attempt import start_another

ADD = "tests.queue.functions.add"
INTERRUPTED = "tests.queue.functions.interrupted"


@pytest.fixture
def ahead(transactional_db: None, worker: Worker) -> Callable[[], bool]:
    """Runs the worker's next task; whether it has claimed another in the same write."""

    def run() -> bool:
        assert worker.turn()
        claimed = [lease.queue_id for lease, _ in worker.batch.ahead]
        assert worker.slot.ids() == claimed
        return bool(claimed)

    return run


@pytest.mark.sqlite
def test_what_settles_a_task_claims_the_next_in_the_same_write(
    ahead: Callable[[], bool], worker: Worker
) -> None:
    first, second = async_task(ADD, 1), async_task(ADD, 2)
    assert ahead()
    assert Job.objects.get(pk=first).state == JobState.DONE
    assert (job := Job.objects.get(pk=second)).state == JobState.RUNNING
    assert (worker.slot.ids(), worker.slot.ended) == ([job.queue_id], 1)
    assert not ahead()
    assert set(Job.objects.values_list("state", "attempt")) == {(JobState.DONE, 1)}
    assert (worker.slot.ids(), worker.slot.ended) == ([], 2)
    assert not ahead()


@pytest.mark.postgres
def test_postgres_has_a_statement_for_each(ahead: Callable[[], bool]) -> None:
    async_task(ADD, 1)
    second = async_task(ADD, 2)
    assert not ahead()
    assert Job.objects.get(pk=second).state == JobState.QUEUED


@pytest.mark.parametrize(
    "options",
    [{"hook": "tests.queue.functions.hook"}, {"chain": [(ADD, (1,))]}],
    ids=["a_hook", "a_chain"],
)
def test_a_worker_that_has_more_to_do_for_a_task_claims_no_other(
    ahead: Callable[[], bool], options: dict[str, Any]
) -> None:
    async_task(ADD, 1, **options)
    second = async_task(ADD, 2)
    assert not ahead()
    assert Job.objects.get(pk=second).state == JobState.QUEUED


def test_a_worker_that_may_be_ended_claims_no_other(ahead: Callable[[], bool]) -> None:
    async_task("math.sqrt", -1)
    second = async_task(ADD, 2)
    assert not ahead()
    assert Job.objects.get(pk=second).state == JobState.QUEUED


@pytest.mark.parametrize("why", ["it is to stop", "it has had its share"])
def test_a_worker_that_will_end_claims_no_other(
    ahead: Callable[[], bool], worker: Worker, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    async_task(INTERRUPTED)
    second = async_task(ADD, 2)
    if why == "it is to stop":
        functions.interruption.append(lambda: setattr(worker.board.head, "stopping", 1))
    else:
        functions.interruption.append(lambda: None)
        monkeypatch.setattr(Conf, "RECYCLE", 1)
    assert not ahead()
    assert Job.objects.get(pk=second).state == JobState.QUEUED
    assert not worker.turn()


def test_a_flow_with_a_limit_has_its_turn_beside_one_that_never_rests(
    transactional_db: None, worker: Worker
) -> None:
    for number in range(3):
        async_task(ADD, number)
    limited = async_task(ADD, 3, broker=sharing("somebody", at_once=1))
    worker.board.head.limited = 1
    for _ in range(4):
        assert worker.turn()
    assert Job.objects.get(pk=limited).state == JobState.DONE


def test_what_a_task_has_left_no_other_meets(ahead: Callable[[], bool], worker: Worker) -> None:
    async_task(start_another, "sleep")
    second = async_task(ADD, 2)
    assert not ahead()
    assert Job.objects.get(pk=second).state == JobState.QUEUED
    assert not worker.turn()


def test_what_is_claimed_ahead_is_the_workers_once_that_is_committed(
    worker: Worker, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    """SQLite's engine alone asks for it, but either could."""
    worker.claim_ahead()
    assert not worker.batch.ahead, "nothing is queued"
    async_task(ADD, 1)
    with django_capture_on_commit_callbacks(execute=True):
        worker.claim_ahead()
        assert not worker.batch.ahead
    assert worker.slot.ids() == [the_job().queue_id]


def test_a_worker_that_is_spent_runs_what_it_has_claimed_ahead(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async_task(ADD, 1)
    async_task(ADD, 2)
    oldest = worker.claim_next()
    assert oldest
    worker.batch.add(oldest)
    monkeypatch.setattr(Conf, "RECYCLE", 1)
    worker.begun = 1
    assert worker.turn()
    assert functions.ran == [(1, 0)]
    assert not worker.turn()


@pytest.mark.sqlite
def test_what_was_claimed_in_a_write_that_failed_is_not_claimed(
    ahead: Callable[[], bool], worker: Worker, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    async_task(ADD, 1)
    second = async_task(ADD, 2)
    claim = worker.claim_next
    found: list[list[tuple[Lease, str]]] = []

    def claim_and_fail(ahead: bool = False) -> list[tuple[Lease, str]]:
        found.append(claim(ahead))
        if len(found) == 2:  # the one in the first try to settle
            raise OperationalError("database is locked")
        return found[-1]

    monkeypatch.setattr(worker, "claim_next", claim_and_fail)
    assert ahead()
    assert len(pauses) == 1
    assert len([claimed for claimed in found if claimed]) == 3
    assert Job.objects.get(pk=second).delivery == 1


@pytest.mark.sqlite
def test_a_node_whose_row_is_gone_loses_no_outcome(
    ahead: Callable[[], bool], worker: Worker
) -> None:
    """The next task can't be claimed for it, which is found when both are committed."""
    async_task(f"{__name__}.forget_all_nodes")
    second = async_task(ADD, 2)
    assert not ahead()
    job, other = Job.objects.exclude(pk=second).get(), Job.objects.get(pk=second)
    assert (job.state, job.error, other.state) == (JobState.DONE, "", JobState.QUEUED)


def forget_all_nodes() -> None:
    Node.objects.all().delete()


@pytest.mark.sqlite
def test_what_was_claimed_ahead_and_cannot_be_read_is_given_up(
    ahead: Callable[[], bool], worker: Worker
) -> None:
    async_task(ADD, 1)
    unreadable = async_task(ADD, 2)
    OrmQ.objects.filter(pk=Job.objects.get(pk=unreadable).queue_id).update(payload="nonsense")
    async_task(ADD, 3)
    assert ahead()
    assert not ahead()
    assert Job.objects.get(pk=unreadable).state == JobState.FAILED
    assert functions.ran == [(1, 0)]
    assert not ahead()
    assert functions.ran == [(1, 0), (3, 0)]
