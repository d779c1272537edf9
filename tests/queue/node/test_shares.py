"""A node writes down who had how much of its workers, and looks after the flows."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from compute.queue import orphans, transitions
from compute.queue.broker import sharing
from compute.queue.fanout import async_iter
from compute.queue.models import Flow, Job, JobState
from compute.queue.node import shares as shares_module
from compute.queue.node.board import Board
from compute.queue.node.channels import SLOW_POLL_S
from compute.queue.node.meter import Meter
from compute.queue.node.shares import IDLE_LOOK_S, LOOK_S, STRAYS_S, Shares, patience
from compute.queue.sharing import Client
from tests.conftest import About, without_database
from tests.queue.conftest import LocalNode, expire_leases, the_job
from tests.queue.node.conftest import Clock

ADD = "tests.queue.functions.add"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(shares_module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def shares(db: None, clock: Clock) -> Shares:
    return Shares(Board(workers=1))


def work(shares: Shares, flow: int, seconds: float) -> None:
    """A worker has worked so long for a flow."""
    slot = shares.board.slots[0]
    slot.begin_for(flow)
    slot.since -= seconds
    slot.bill()


def test_for_whom_workers_worked_is_charged(shares: Shares, about: About) -> None:
    async_iter(ADD, [1], broker=sharing("ann"))
    work(shares, Flow.objects.get().pk, 3)
    shares.turn()
    shares.turn()
    assert Flow.objects.get().seconds == about(3)
    assert Client.objects.get().served == about(3)


def test_what_a_database_that_is_away_did_not_take_is_charged_later(
    transactional_db: None, clock: Clock, caplog: pytest.LogCaptureFixture, about: About
) -> None:
    shares = Shares(Board(workers=1))
    async_iter(ADD, [1], broker=sharing("ann"))
    work(shares, Flow.objects.get().pk, 3)
    with without_database():
        shares.turn()
    assert "nobody is charged: OperationalError" in caplog.text
    shares.turn()
    assert Flow.objects.get().seconds == about(3)


def test_it_looks_after_the_flows_more_often_while_it_works(shares: Shares, clock: Clock) -> None:
    shares.turn()
    async_iter(ADD, [1], broker=sharing(at_once=1))
    clock.now += LOOK_S + 0.5
    shares.turn()
    assert not shares.board.head.limited
    work(shares, 0, 1)
    shares.turn()
    assert shares.board.head.limited
    Flow.objects.all().delete()
    clock.now += IDLE_LOOK_S + 1
    shares.turn()
    assert not shares.board.head.limited


def test_workers_know_whether_several_share_them(shares: Shares, clock: Clock) -> None:
    async_iter(ADD, [1], broker=sharing("ann"))
    shares.turn()
    assert not shares.board.head.shared
    async_iter(ADD, [1], broker=sharing("ann"))
    clock.now += 10
    shares.turn()
    assert shares.board.head.shared


@pytest.mark.parametrize(
    ("shared", "charged", "pauses"),
    [(0, 0, [0.5]), (1, 0, [0.15, 0.15, 0.15, 0.05]), (1, 40, [0.2, 0.2, 0.1]), (1, 999, [0.5])],
)
def test_while_several_share_them_workers_are_charged_more_often(
    shares: Shares,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    about: About,
    shared: int,
    charged: int,
    pauses: list[float],
) -> None:
    seen: list[Any] = []

    def wait(ends: list[int], seconds: float) -> list[int]:
        clock.now += seconds
        seen.append(round(seconds, 6))
        return []

    monkeypatch.setattr(shares_module, "wait", wait)
    monkeypatch.setattr(shares, "turn", lambda: seen.append("charged"))
    shares.board.head.shared = bool(shared)
    shares.charged = charged
    beats = shares.board.head.heartbeat
    assert shares.wait([1], 0.5) == []
    assert [each for each in seen if each != "charged"] == pauses
    assert seen.count("charged") == len(pauses) - 1
    assert shares.board.head.heartbeat == beats + len(pauses) - 1


def test_who_waits_is_told_at_once_which_process_has_ended(
    shares: Shares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares_module, "wait", lambda ends, seconds: ends[1:])
    assert shares.wait([1, 2], 60) == [2]


def test_what_a_guard_before_has_not_charged_is_nobodys(db: None) -> None:
    board = Board(workers=1)
    board.slots[0].begin_for(7)
    board.slots[0].bill()
    Shares(board)
    assert not Meter(board).uncharged()


def test_what_was_lost_waits_in_its_flow_again(shares: Shares, node: LocalNode) -> None:
    async_task(ADD, 1)
    node.claim_one()
    assert shares.board.head.again == 0
    expire_leases()
    shares.turn()
    assert the_job().state == JobState.QUEUED
    assert shares.board.head.again == 1, "the workers ask for it first"


def test_what_its_own_workers_have_is_not_lost(shares: Shares, node: LocalNode) -> None:
    async_task(ADD, 1)
    shares.board.slots[0].held = node.claim_one()["ack_id"].queue_id
    expire_leases()
    shares.turn()
    assert the_job().state == JobState.RUNNING


def test_packages_that_wait_in_no_line_are_found_now_and_then(shares: Shares, clock: Clock) -> None:
    shares.turn()
    async_task(ADD, 1)
    Job.objects.all().delete()
    shares.turn()
    assert transitions.claim("sumsite", 1, None) == []
    clock.now += STRAYS_S + 1
    shares.turn()
    assert len(transitions.claim("sumsite", 1, None)) == 1


def test_jobs_without_a_package_get_their_outcome_so_many_a_turn(
    shares: Shares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "MOST", 2)
    for _ in range(3):
        async_task(ADD, 1)
    OrmQ.objects.all().delete()
    for left in (1, 0):
        shares.turn()
        assert Job.objects.unsettled().count() == left


# --- what waits for a time --------------------------------------------------------------


def claiming() -> Board:
    board = Board(workers=1)
    board.head.starting = 0
    return board


def wait_for(seconds: float, **options: object) -> None:
    """Queue a task that is due in so many seconds; below 0 it has been for so long."""
    async_task(ADD, 1, broker=sharing("ann", **options))  # type: ignore[arg-type]
    due_at = timezone.now() + timedelta(seconds=seconds)
    Job.objects.update(due_at=due_at)
    OrmQ.objects.update(lock=due_at)


def test_a_worker_waits_no_longer_than_until_the_next_is_due(db: None) -> None:
    assert patience(claiming(), SLOW_POLL_S) == SLOW_POLL_S
    wait_for(0.5)
    assert 0 < patience(claiming(), SLOW_POLL_S) <= 0.501
    wait_for(60)
    assert patience(claiming(), SLOW_POLL_S) == SLOW_POLL_S


def test_what_is_due_and_has_a_limit_is_put_in_line(db: None, node: LocalNode) -> None:
    wait_for(-1, at_once=1)
    assert node.claim() == []
    board = claiming()
    assert patience(board, SLOW_POLL_S) == SLOW_POLL_S
    assert board.head.limited
    assert the_job().due_at is None


def test_who_claims_nothing_asks_for_nothing(db: None) -> None:
    wait_for(0.5)
    board = claiming()
    board.head.paused = 1
    assert patience(board, SLOW_POLL_S) == SLOW_POLL_S


def test_of_a_database_that_is_away_nobody_knows(
    database_away: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert patience(claiming(), SLOW_POLL_S) == SLOW_POLL_S
    assert "nobody knows what is due" in caplog.text
