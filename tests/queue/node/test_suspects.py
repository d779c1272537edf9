"""Which task may have killed its guard, and what becomes of it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from django.db.models.functions import Now
from django_q.conf import Conf
from django_q.models import Failure
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.models import Job, JobState
from compute.queue.node import suspects as suspects_module
from compute.queue.node.board import Board
from compute.queue.node.guard import Guard
from compute.queue.node.suspects import LONGEST_PAUSE_S, MOST, REMEMBERED, SOON_S, Suspects
from tests import recipes
from tests.queue.conftest import the_job

ADD = "tests.queue.functions.add"


def at_work(*ages_s: float | None) -> Board:
    """Workers at tasks 1, 2, … for so many seconds; None is idle."""
    board = Board(len(ages_s))
    for number, (slot, age_s) in enumerate(zip(board.slots, ages_s, strict=True), start=1):
        if age_s is not None:
            slot.held, slot.since = number, time.monotonic() - age_s
    return board


@pytest.mark.parametrize(
    ("ages_s", "expected"),
    [
        ((3, 1, 2, None), 2),
        ((None, None), 0),
        ((SOON_S + 1,), 0),
        ((SOON_S + 1, 1), 2),
    ],
)
def test_the_last_that_was_begun_is_suspected(
    ages_s: tuple[float | None, ...], expected: int
) -> None:
    assert Suspects().note(at_work(*ages_s)) == expected


def test_what_was_claimed_and_not_begun_is_not() -> None:
    board = at_work(None)
    board.slots[0].have([7])
    assert Suspects().note(board) == 0
    board.slots[0].held = 7
    assert Suspects().note(board) == 0


def test_as_many_are_remembered_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects_module, "REMEMBERED", 2)
    assert REMEMBERED > 2
    suspects = Suspects()
    for number in (1, 2, 1, 3):
        board = at_work(1)
        board.slots[0].held = number
        suspects.note(board)
    assert suspects.counts == {1: 2, 3: 1}


@pytest.fixture
def held(db: None) -> Job:
    recipes.node.make(pk="a" * 32)
    async_task(ADD, 1)
    transitions.claim(Conf.CLUSTER_NAME, 1, "a" * 32)
    return the_job()


@pytest.mark.parametrize(
    ("count", "pause_s"), [(1, 0), (2, 1), (3, 2), (4, 4), (5, LONGEST_PAUSE_S), (MOST, 5)]
)
def test_one_that_is_suspected_again_is_up_later(held: Job, count: int, pause_s: float) -> None:
    suspects = Suspects()
    suspects.counts[held.queue_id or 0] = count
    suspects.pause("a" * 32, held.queue_id or 0)
    job: Any = Job.objects.annotate(now=Now()).get()
    if not pause_s:
        assert (job.state, job.due_at) == (JobState.RUNNING, None)
        return
    assert job.state == JobState.QUEUED
    assert job.due_at is not None
    assert 0 < (job.due_at - job.now).total_seconds() <= pause_s


def test_nobody_is_paused_if_nobody_is_suspected(held: Job) -> None:
    Suspects().pause("a" * 32, 0)
    assert the_job().state == JobState.RUNNING


def test_one_that_is_suspected_too_often_fails(held: Job) -> None:
    suspects = Suspects()
    suspects.counts = {held.queue_id or 0: MOST, 5: MOST - 1}
    (culprit,) = suspects.culprits()
    culprit.bury("a" * 32, SimpleNamespace())  # type: ignore[arg-type]
    job = the_job()
    assert (job.state, job.error_class) == (JobState.FAILED, "WorkerDied")
    assert job.error.startswith("the guard of its worker was killed just after it had been started")
    assert Failure.objects.get().pk == job.pk
    culprit.bury("a" * 32, SimpleNamespace())  # type: ignore[arg-type]
    assert Failure.objects.count() == 1
    job.retry()
    culprit.bury("a" * 32, SimpleNamespace())  # type: ignore[arg-type]
    assert the_job().state == JobState.QUEUED, "another package"


def test_the_next_guard_sees_to_that(held: Job) -> None:
    suspects = Suspects()
    suspects.counts = {held.queue_id or 0: MOST}
    guard = Guard("a" * 32, Board(workers=1), suspects.culprits())
    try:
        guard.bury()
    finally:
        guard.reports.close()
        guard.bell.close()
    assert guard.dead == []
    assert the_job().state == JobState.FAILED
