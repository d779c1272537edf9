"""Tasks that are claimed together, and whose outcomes are written together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection, transaction
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext
from django_q.conf import Conf
from django_q.models import Task
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.broker import sharing
from compute.queue.engines.values import Outcome, Then
from compute.queue.fanout import async_iter, results
from compute.queue.models import Flow, Job, JobState
from compute.queue.node import batch as module
from compute.queue.node.batch import (
    BATCH_S,
    LATE_S,
    REST_S,
    SMALL_ONES,
    is_stuck,
    take_over,
    unwritten,
)
from compute.queue.node.board import MOST, Slot
from compute.queue.node.worker import Worker
from compute.queue.node.workers import Dead
from tests.queue import functions
from tests.queue.conftest import received

ADD = "tests.queue.functions.add"
INTERRUPTED = "tests.queue.functions.interrupted"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.fixture
def queue(transactional_db: None, worker: Worker, clock: Clock) -> Callable[..., list[Job]]:
    """Queues a group whose tasks are known to take nothing."""

    def queue(function: str = ADD, count: int = 5, **options: Any) -> list[Job]:
        group = async_iter(function, list(range(count)), **options)
        jobs = list(Job.objects.in_group(group))
        worker.batch.times[Flow.objects.get(key=group).pk] = 0.0
        return jobs

    return queue


def states(jobs: list[Job]) -> list[str]:
    found = Job.objects.in_bulk([job.pk for job in jobs])
    return [found[job.pk].state for job in jobs]


def reported(worker: Worker) -> list[str]:
    return [task["id"] for task in worker.reports.collect(0, 0)]


def interrupt(number: int, step: Callable[[], Any]) -> None:
    """Have something happen while the task of that number runs."""
    functions.interruption.append(lambda: step() if len(functions.ran) == number + 1 else None)


# --- claimed together ---------------------------------------------------------------------


def test_tasks_that_take_nothing_are_claimed_and_written_together(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    jobs = queue()
    for number in range(4):
        assert worker.turn()
        assert states(jobs) == [JobState.RUNNING] * 5, number
        assert worker.slot.ids() == [job.queue_id for job in jobs]
        assert reported(worker) == []
    assert worker.turn()
    assert states(jobs) == [JobState.DONE] * 5
    assert results(jobs[0].group) == [0, 1, 2, 3, 4]
    assert worker.slot.ids() == []
    assert reported(worker) == [job.pk for job in jobs]
    assert functions.ran == [(number, 0) for number in range(5)]


def test_no_statement_is_made_for_each_but_what_writes_its_outcome(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    queue(count=20)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(20):
            worker.turn()
    outcomes = 1 if connection.vendor == "postgresql" else 20
    assert len(queries) <= 30 + outcomes
    writes = [query for query in queries if query["sql"].startswith(("BEGIN", "WITH"))]
    assert len(writes) <= 6


def test_an_outcome_is_as_one_that_was_written_alone(
    queue: Callable[..., list[Job]], worker: Worker, clock: Clock
) -> None:
    alone, *others = queue(count=4)
    worker.batch.times.clear()
    while worker.turn() and Job.objects.filter(state=JobState.QUEUED).exists():
        worker.batch.times = dict.fromkeys(worker.batch.times, 0.0)
    while worker.batch.ahead:
        worker.turn()
    expected = job_and_record(alone.pk)
    assert Job.objects.in_group(alone.group).filter(state=JobState.DONE).count() == 4
    for other in others:
        assert job_and_record(other.pk) == expected


def job_and_record(pk: str) -> tuple[dict[str, Any], dict[str, Any]]:
    own = ("task_id", "position", "queue_id", "name", "result", "id", "args")
    times = ("queued_at", "started_at", "finished_at", "started", "stopped")
    jobs: Any = Job.objects.filter(pk=pk).values()
    records: Any = Task.objects.filter(pk=pk).values()
    job, record = jobs.get(), records.get()
    assert job["queued_at"] <= job["started_at"] <= job["finished_at"]
    assert record["started"] <= record["stopped"]
    for row in (job, record):
        for column in (*own, *times):
            row.pop(column, None)
    return job, record


def test_each_has_its_own_time(queue: Callable[..., list[Job]], worker: Worker) -> None:
    jobs = queue(f"{__name__}.slow", count=3)
    began = time.monotonic()
    while Job.objects.unsettled().exists():
        worker.turn()
    took = time.monotonic() - began
    times = []
    for job in jobs:
        job.refresh_from_db()
        assert job.started_at
        assert job.finished_at
        times.append((job.finished_at - job.started_at).total_seconds())
    assert min(times) >= 0.03
    assert sum(times) <= took
    ends, begins = (
        Job.objects.order_by("position").values_list(f"{name}_at", flat=True)
        for name in ("finished", "started")
    )
    assert all(end <= begin for end, begin in zip(ends, [*begins][1:], strict=False))


def slow(number: int) -> int:
    import time

    time.sleep(0.03)
    return number


@pytest.mark.parametrize(
    ("seconds", "size"), [(None, 1), (0.0, MOST), (0.004, 4), (0.019, 2), (0.021, 1), (60.0, 1)]
)
def test_as_many_as_take_a_moment(
    queue: Callable[..., list[Job]], worker: Worker, seconds: float | None, size: int
) -> None:
    queue(count=MOST + 3)
    (flow,) = worker.batch.times
    worker.batch.times = {} if seconds is None else {flow: seconds}
    assert len(worker.claim_next()) == size


def test_the_last_ones_count_most(worker: Worker) -> None:
    note, times = worker.batch.note, worker.batch.times
    note(1, 0.001, plain=True)
    assert times[1] == 0.001
    note(1, 60, plain=True)
    assert times[1] > BATCH_S, "the next comes alone"
    for _ in range(50):
        note(1, 0.001, plain=True)
    assert times[1] == pytest.approx(0.001, abs=0.001)
    note(2, 0.001, plain=False)
    assert times[2] > BATCH_S
    note(3, 0.001, plain=True)
    for _ in range(5):
        note(3, 0.001, plain=False)
    assert times[3] > BATCH_S, "what is written alone is claimed alone"


def test_only_so_many_flows_are_remembered(worker: Worker) -> None:
    for flow in range(module.FLOWS + 5):
        worker.batch.note(flow, 0.0, plain=True)
    assert list(worker.batch.times) == list(range(5, module.FLOWS + 5))


def test_while_another_worker_waits_one_is_claimed(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    jobs = queue()
    waiting = Slot()
    waiting.spool, waiting.waiting = 1, 1
    worker.board.slots.append(waiting)
    assert worker.turn()
    assert states(jobs).count(JobState.QUEUED) >= 3, "one is done, and one may be claimed ahead"


def test_no_more_than_the_workers_share_are_claimed(
    queue: Callable[..., list[Job]], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conf, "RECYCLE", 3)
    jobs = queue()
    while worker.turn():
        pass
    assert states(jobs) == [JobState.DONE] * 3 + [JobState.QUEUED] * 2


def test_what_was_run_before_comes_alone(queue: Callable[..., list[Job]], worker: Worker) -> None:
    jobs = queue()
    transitions.give_back([(jobs[0].pk, 0)])
    Job.objects.filter(pk=jobs[0].pk).update(attempt=1)
    assert worker.turn()
    assert states(jobs)[0] == JobState.DONE
    assert len(worker.batch.ahead) in (0, 4)


def test_what_has_a_limit_comes_alone(queue: Callable[..., list[Job]], worker: Worker) -> None:
    jobs = queue(broker=sharing("somebody", at_once=3))
    worker.board.head.limited = 1
    assert worker.turn()
    assert states(jobs) == [JobState.DONE] + [JobState.QUEUED] * 4


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the worker rested, each time."""
    made: list[float] = []
    monkeypatch.setattr("compute.queue.node.worker.time.sleep", made.append)
    return made


def test_while_tiny_tasks_come_one_by_one_a_worker_rests_before_it_claims(
    transactional_db: None, worker: Worker, rests: list[float]
) -> None:
    for number in range(SMALL_ONES + 2):
        async_task(ADD, number)
        worker.batch.times = dict.fromkeys(Flow.objects.values_list("pk", flat=True), 0.0)
        assert worker.turn()
        assert Job.objects.counts()["done"] == number + 1
    assert rests == [REST_S] * 2
    worker.turn()
    assert not worker.batch.rests, "nothing was there"


def test_a_worker_that_has_as_much_as_it_may_does_not_rest(
    queue: Callable[..., list[Job]], worker: Worker, rests: list[float]
) -> None:
    queue(count=MOST * (SMALL_ONES + 2))
    while worker.turn() and Job.objects.unsettled().exists():
        reported(worker)  # for a reporter that does not listen a worker waits
    assert rests == []


@pytest.mark.parametrize("seconds", [60.0, BATCH_S * 0.7, REST_S])
def test_of_tasks_that_take_longer_than_a_rest_no_more_is_expected(
    queue: Callable[..., list[Job]], worker: Worker, rests: list[float], seconds: float
) -> None:
    for _ in range(SMALL_ONES + 2):
        (job,) = queue(count=1)
        worker.batch.times = {job.flow_id or 0: seconds}
        worker.turn()
    assert not worker.batch.rests
    assert rests == []


# --- written at once ----------------------------------------------------------------------


def test_what_has_taken_its_moment_is_written(
    queue: Callable[..., list[Job]], worker: Worker, clock: Clock
) -> None:
    jobs = queue()
    worker.turn()
    clock.now += BATCH_S * 1.1
    worker.turn()
    assert states(jobs) == [JobState.DONE] * 2 + [JobState.RUNNING] * 3
    assert reported(worker) == [jobs[0].pk, jobs[1].pk]


def test_what_is_late_is_put_up_for_others(
    queue: Callable[..., list[Job]], worker: Worker, clock: Clock
) -> None:
    jobs = queue()
    worker.turn()
    clock.now += LATE_S * 1.1
    worker.turn()
    assert states(jobs) == [JobState.DONE] * 2 + [JobState.RUNNING] + [JobState.QUEUED] * 2
    assert worker.slot.ids() == [jobs[2].queue_id], "any worker of this node may have the rest"
    assert [job.attempt for job in Job.objects.in_group(jobs[0].group)] == [1, 1, 1, 0, 0]
    while worker.turn() and Job.objects.unsettled().exists():
        pass
    assert results(jobs[0].group) == [0, 1, 2, 3, 4]
    assert len(functions.ran) == 5


def test_who_waits_gets_the_rest(queue: Callable[..., list[Job]], worker: Worker) -> None:
    jobs = queue()
    worker.turn()
    waiting = Slot()
    waiting.spool, waiting.waiting = 1, 1
    worker.board.slots.append(waiting)
    worker.turn()
    assert states(jobs) == [JobState.DONE] * 2 + [JobState.RUNNING] + [JobState.QUEUED] * 2


@pytest.mark.parametrize(
    ("function", "options", "state"),
    [
        (ADD, {"hook": "tests.queue.functions.hook"}, JobState.DONE),
        ("tests.queue.functions.fail", {}, JobState.FAILED),
        (f"{__name__}.long", {}, JobState.DONE),
    ],
    ids=["a_hook", "an_error", "a_long_result"],
)
def test_some_outcomes_are_written_alone(
    queue: Callable[..., list[Job]],
    worker: Worker,
    function: str,
    options: dict[str, Any],
    state: JobState,
) -> None:
    jobs = queue(function, **options)
    assert worker.turn()
    assert states(jobs)[0] == state
    assert reported(worker) == [jobs[0].pk]
    while worker.batch.ahead:
        worker.turn()
    assert set(states(jobs)) == {state}


def long(number: int) -> str:
    return os.urandom(1 << 16).hex()


def test_whoever_hears_of_each_end_hears_of_it_at_once(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    from django_q.signals import post_execute_in_worker

    jobs = queue()
    with received(post_execute_in_worker) as sent:
        worker.turn()
    assert len(sent) == 1
    assert states(jobs)[0] == JobState.DONE


def test_whoever_hears_of_records_hears_of_each(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    jobs = queue()
    told: list[tuple[str, Any]] = []

    def hear(instance: Task, **kwargs: Any) -> None:
        told.append((instance.pk, instance.result))

    post_save.connect(hear, sender=Task)
    try:
        for _ in range(5):
            worker.turn()
    finally:
        post_save.disconnect(hear, sender=Task)
    assert told == [(job.pk, number) for number, job in enumerate(jobs)]


def test_without_a_record_there_is_none(queue: Callable[..., list[Job]], worker: Worker) -> None:
    jobs = queue(save=False)
    for _ in range(5):
        worker.turn()
    assert states(jobs) == [JobState.DONE] * 5
    assert not Task.objects.exists()


# --- trouble ------------------------------------------------------------------------------


def test_what_was_cancelled_meanwhile_does_not_count(
    queue: Callable[..., list[Job]], worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = queue(count=3)
    worker.turn()
    Job.objects.filter(pk=jobs[0].pk).cancel("by a test")
    worker.turn()
    worker.turn()
    assert states(jobs) == [JobState.CANCELLED, JobState.DONE, JobState.DONE]
    assert reported(worker) == [jobs[1].pk, jobs[2].pk]
    assert "its lease was lost, the outcome is dropped" in caplog.text


def test_outcomes_that_are_refused_together_are_written_one_by_one(
    queue: Callable[..., list[Job]], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> set[str]:
        raise DataError("one of them")

    monkeypatch.setattr(transitions, "settle_done", refuse)
    jobs = queue(count=3)
    for _ in range(3):
        worker.turn()
    assert states(jobs) == [JobState.DONE] * 3
    assert sorted(reported(worker)) == sorted(job.pk for job in jobs)


def test_while_the_database_is_away_nothing_is_forgotten(
    queue: Callable[..., list[Job]],
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    pauses: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    settle = transitions.settle_done

    def away(*_: Any) -> set[str]:
        raise OperationalError("it is away")

    monkeypatch.setattr(transitions, "settle_done", away)
    jobs = queue(count=3)
    for _ in range(3):
        assert worker.turn()
    assert "outcomes can't be written yet: OperationalError: it is away" in caplog.text
    assert len(list(unwritten(worker.slot))) == 3
    monkeypatch.setattr(transitions, "settle_done", settle)
    worker.turn()
    assert states(jobs) == [JobState.DONE] * 3
    assert len(functions.ran) == 3


def test_what_is_kept_is_written_before_the_worker_ends(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    jobs = queue()
    worker.turn()
    worker.turn()
    worker.board.head.stopping = 1
    assert not worker.turn()
    assert states(jobs) == [JobState.DONE] * 2 + [JobState.RUNNING] * 3


# --- the guard's part ---------------------------------------------------------------------


def guard_takes_over(worker: Worker) -> None:
    take_over(worker.node, worker.slot, os.getpid(), worker.reports)


def test_while_a_task_takes_long_the_guard_writes_what_is_done_and_gives_back_the_rest(
    queue: Callable[..., list[Job]], worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = queue(INTERRUPTED)
    meanwhile: list[list[str]] = []

    def take_over() -> None:
        guard_takes_over(worker)
        meanwhile.append(states(jobs))

    interrupt(2, take_over)
    for _ in range(3):
        worker.turn()
    done, running, queued = JobState.DONE, JobState.RUNNING, JobState.QUEUED
    assert meanwhile == [[done, done, running, queued, queued]]
    assert reported(worker) == [job.pk for job in jobs[:2]]
    worker.turn()
    assert states(jobs)[:3] == [done] * 3
    assert reported(worker)[0] == jobs[2].pk
    while Job.objects.unsettled().exists():
        worker.turn()
    assert states(jobs) == [JobState.DONE] * 5
    assert len(functions.ran) == 5
    assert "lease was lost" not in caplog.text
    assert set(Job.objects.values_list("attempt", "starts", "deaths")) == {(1, 1, 0)}


def test_a_worker_begins_nothing_that_the_guard_has_given_back(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    jobs = queue()
    worker.turn()
    worker.slot.held = jobs[0].queue_id or 0
    guard_takes_over(worker)
    worker.slot.held = 0
    assert worker.batch.next() is None
    assert worker.slot.held == 0
    assert states(jobs) == [JobState.DONE] + [JobState.QUEUED] * 4
    while worker.turn() and Job.objects.unsettled().exists():
        pass
    assert results(jobs[0].group) == [0, 1, 2, 3, 4]
    assert len(functions.ran) == 5


def test_it_does_so_for_a_worker_that_has_been_at_a_task_for_long(
    queue: Callable[..., list[Job]], worker: Worker, clock: Clock
) -> None:
    jobs, slot = queue(), worker.slot
    worker.turn()
    assert not is_stuck(slot), "between two tasks"
    slot.held = jobs[1].queue_id or 0
    assert not is_stuck(slot), "it has just begun"
    clock.now += 3 * LATE_S
    assert is_stuck(slot)
    slot.taken = slot.spool
    assert not is_stuck(slot), "that is done"


def test_what_a_dead_worker_has_done_is_written_and_its_rest_given_back(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    jobs, slot = queue(), worker.slot
    for _ in range(2):
        worker.turn()
    killer = jobs[2].queue_id or 0
    dead = Dead(os.getpid(), killer, False, 0.0, "was killed", "", list(unwritten(slot)))
    dead.bury(worker.node, worker.reports)
    assert states(jobs) == [JobState.DONE] * 2 + [JobState.QUEUED] * 3
    deaths = Job.objects.in_group(jobs[0].group).values_list("deaths", flat=True)
    assert list(deaths) == [0, 0, 1, 0, 0]
    assert reported(worker) == [jobs[0].pk, jobs[1].pk]
    dead.bury(worker.node, worker.reports)
    assert reported(worker) == [], "they are told of once"


def test_the_signals_of_what_the_guard_has_written_are_sent(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    """By the worker: they are foreign code."""
    jobs = queue(INTERRUPTED, count=2)
    interrupt(1, lambda: guard_takes_over(worker))
    told: list[str] = []

    def hear(instance: Task, **kwargs: Any) -> None:
        told.append(instance.pk)

    post_save.connect(hear, sender=Task)
    try:
        while Job.objects.unsettled().exists():
            worker.turn()
    finally:
        post_save.disconnect(hear, sender=Task)
    assert told == [job.pk for job in jobs]


def test_two_workers_of_a_node_share_what_was_given_back(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    jobs = queue()
    worker.turn()
    worker.slot.held = jobs[0].queue_id or 0
    guard_takes_over(worker)
    assert set(worker.board.held()) == {jobs[0].queue_id}
    claimed = transitions.claim(Conf.CLUSTER_NAME, 9, worker.node, worker.board.held())
    assert [lease.queue_id for lease, _ in claimed] == [job.queue_id for job in jobs[1:]]


def test_what_somebody_has_locked_is_written_alone_also_behind_what_the_guard_has_written(
    queue: Callable[..., list[Job]], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = queue(INTERRUPTED, count=3)
    settle = transitions.settle_done

    def all_but_the_last(outcomes: list[Outcome], then: Then = None) -> set[str]:
        return settle([each for each in outcomes if each.task_id != jobs[2].pk], then)

    interrupt(2, lambda: guard_takes_over(worker))
    monkeypatch.setattr(transitions, "settle_done", all_but_the_last)
    while Job.objects.unsettled().exists():
        worker.turn()
    assert states(jobs) == [JobState.DONE] * 3
    assert reported(worker) == [job.pk for job in jobs]


def test_a_worker_that_has_gone_on_meanwhile_is_left_alone(
    queue: Callable[..., list[Job]], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = queue()
    worker.turn()
    found = module.unwritten

    def gone_on(slot: Slot) -> Any:
        if worker.batch.kept:
            worker.write(now=True)
        return found(slot)

    monkeypatch.setattr(module, "unwritten", gone_on)
    guard_takes_over(worker)
    assert not worker.slot.was_taken
    assert states(jobs)[0] == JobState.DONE


def test_a_task_that_ends_while_the_guard_takes_over_is_not_given_back(
    queue: Callable[..., list[Job]], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = queue()
    worker.turn()
    found, looks = module.unwritten, []

    def one_ends_meanwhile(slot: Slot) -> Any:
        outcomes = list(found(slot))
        looks.append(len(outcomes))
        if len(looks) == 1:
            worker.turn()
        return outcomes

    monkeypatch.setattr(module, "unwritten", one_ends_meanwhile)
    guard_takes_over(worker)
    assert looks == [1, 2]
    done, running, queued = JobState.DONE, JobState.RUNNING, JobState.QUEUED
    assert states(jobs) == [done, running, queued, queued, queued]
    while Job.objects.unsettled().exists():
        worker.turn()
    assert functions.ran == [(number, 0) for number in range(5)]
    assert reported(worker) == [job.pk for job in jobs]


def test_what_the_guard_has_taken_is_forgotten_also_if_nothing_was_kept(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    jobs = queue(INTERRUPTED)
    interrupt(0, lambda: 1 / 0)  # what fails is written at once
    worker.batch.add(worker.claim_next())
    claimed = worker.batch.next()
    assert claimed
    guard_takes_over(worker)
    assert states(jobs) == [JobState.RUNNING] + [JobState.QUEUED] * 4
    worker.take(*claimed)
    assert worker.batch.next() is None
    assert worker.slot.was_taken
    worker.write(now=True)
    assert not worker.slot.was_taken
    assert states(jobs)[0] == JobState.FAILED


def test_what_has_no_room_beside_the_others_is_written_alone(
    queue: Callable[..., list[Job]], worker: Worker
) -> None:
    group = async_iter(functions.large, [30_000] * 3)
    worker.batch.times[Flow.objects.get(key=group).pk] = 0.0
    jobs = list(Job.objects.in_group(group))
    worker.turn()
    assert states(jobs) == [JobState.RUNNING] * 3
    worker.turn()
    assert states(jobs)[1] == JobState.DONE
    worker.turn()
    assert results(group) == [functions.large(30_000)] * 3


def test_within_a_write_more_is_claimed_or_nothing_stands(
    queue: Callable[..., list[Job]], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> list[Any]:
        raise OperationalError("it is away")

    queue()
    monkeypatch.setattr(transitions, "claim_more", away)
    with pytest.raises(OperationalError), transaction.atomic():
        worker.claim_ahead()
    assert Job.objects.filter(state=JobState.QUEUED).count() == 5


def test_what_was_claimed_is_run_if_more_could_not_be(
    queue: Callable[..., list[Job]], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    more, asked = transitions.claim_more, []

    def away_once(*what: Any) -> list[Any]:
        asked.append(what)
        if len(asked) == 1:
            raise OperationalError("it is away")
        return more(*what)

    jobs = queue()
    monkeypatch.setattr(transitions, "claim_more", away_once)
    assert worker.turn()
    assert states(jobs)[0] == JobState.DONE
    assert functions.ran == [(0, 0)]
