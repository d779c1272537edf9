"""Each second of a worker's is counted once, for whom it worked."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from compute.queue.node import board as board_module
from compute.queue.node import meter as meter_module
from compute.queue.node.board import BILLS, Board, Slot
from compute.queue.node.meter import Meter
from tests.queue.node.conftest import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (board_module, meter_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def slot(board: Board) -> Slot:
    slot: Slot = board.slots[0]
    return slot


@pytest.fixture
def board() -> Board:
    return Board(workers=2)


@pytest.fixture
def meter(board: Board) -> Meter:
    return Meter(board)


def test_a_task_that_has_ended_is_counted_once(clock: Clock, slot: Slot, meter: Meter) -> None:
    slot.begin_for(7)
    clock.now += 2
    slot.bill()
    assert meter.read() == {7: 2}
    meter.clear()
    assert meter.read() == {}


def test_what_is_not_cleared_is_there_the_next_time(clock: Clock, slot: Slot, meter: Meter) -> None:
    for seconds in (1, 2):
        slot.begin_for(7)
        clock.now += seconds
        slot.bill()
        meter.read()
    assert meter.read() == {7: 3}


def test_a_task_that_runs_is_counted_as_it_goes(clock: Clock, slot: Slot, meter: Meter) -> None:
    slot.begin_for(7)
    for _ in range(3):
        clock.now += 2
        assert meter.read() == {7: 2}
        meter.clear()
    clock.now += 1
    slot.bill()
    slot.begin_for(8)
    clock.now += 4
    assert meter.read() == {7: 1, 8: 4}


def test_a_worker_that_is_killed_is_counted_to_its_end(
    clock: Clock, slot: Slot, meter: Meter
) -> None:
    slot.begin_for(7)
    clock.now += 5
    meter.read()
    slot.clear()
    clock.now += 5
    assert meter.read() == {7: 5}
    slot.begin_for(8)
    clock.now += 1
    assert meter.read() == {7: 5, 8: 1}


def test_each_worker_counts(clock: Clock, board: Board, meter: Meter) -> None:
    for slot in board.slots:
        slot.begin_for(7)
    clock.now += 3
    assert meter.read() == {7: 6}


def test_of_more_bills_than_there_is_room_for_the_last_count(
    clock: Clock, slot: Slot, meter: Meter
) -> None:
    for _ in range(BILLS + 10):
        slot.begin_for(7)
        clock.now += 1
        slot.bill()
    assert meter.read() == {7: BILLS}


def test_what_ends_while_one_looks_is_counted_the_next_time(
    clock: Clock, slot: Slot, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot.begin_for(7)
    clock.now += 2

    class Hasty:
        """A slot whose worker ends its task when its guard has read how many bills there are."""

        billed_to, billed_s = slot.billed_to, slot.billed_s
        flow = 7

        @property
        def since(self) -> float:
            return slot.since

        @property
        def bills(self) -> int:
            seen, bills = slot.bills, slot.bills
            if not bills:
                slot.bill()
            return seen

    monkeypatch.setattr(meter.readings[0], "slot", Hasty())
    assert meter.read() == {}
    assert meter.read() == {7: 2}


def test_workers_count_what_their_guard_has_not_charged(
    clock: Clock, board: Board, meter: Meter
) -> None:
    mine, others = board.slots
    worker = Meter(board)
    others.begin_for(8)
    clock.now += 1
    others.bill()
    mine.begin_for(7)
    clock.now += 2
    assert worker.uncharged() == {7: 2, 8: 1}
    meter.read()
    clock.now += 3  # until they are charged, in which time the task goes on
    assert worker.uncharged() == {7: 5, 8: 1}
    meter.clear()
    assert worker.uncharged() == {7: 3}
    mine.bill()
    mine.begin_for(8)
    clock.now += 4
    assert worker.uncharged() == {7: 3, 8: 4}


def test_a_worker_that_comes_later_knows_what_was_charged(
    clock: Clock, slot: Slot, board: Board, meter: Meter
) -> None:
    slot.begin_for(7)
    clock.now += 2
    slot.bill()
    slot.begin_for(7)
    clock.now += 3
    meter.read()
    meter.clear()
    slot.bill()
    assert Meter(board).uncharged() == {7: 0}
    clock.now += 1
    slot.begin_for(7)
    clock.now += 1
    assert Meter(board).uncharged() == {7: 1}


def test_it_goes_by_a_clock_that_all_processes_share() -> None:
    slot = Board(workers=1).slots[0]
    slot.begin_for(7)
    assert abs(slot.since - time.monotonic()) < 60
