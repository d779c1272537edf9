from __future__ import annotations

import ctypes
import os
import time

import pytest

from compute.queue.node.board import SPOOL_BYTES, Board

pytestmark = pytest.mark.once


@pytest.fixture
def board() -> Board:
    return Board(workers=3)


def test_all_begin_with_nothing(board: Board) -> None:
    assert len(board.slots) == 3
    assert board.held() == []
    assert (board.head.heartbeat, board.head.stopping, board.head.closing) == (0, 0, 0)
    assert not any(slot.is_over() for slot in board.slots)


def test_the_numbers_of_one_are_not_those_of_another(board: Board) -> None:
    for number, slot in enumerate(board.slots, start=1):
        slot.held, slot.progress, slot.ended = number, number / 4, 10 * number
    board.head.heartbeat = 7
    assert [(slot.held, slot.progress, slot.ended) for slot in board.slots] == [
        (1, 0.25, 10),
        (2, 0.5, 20),
        (3, 0.75, 30),
    ]


def test_what_a_process_writes_its_parent_sees(board: Board) -> None:
    if not (child := os.fork()):
        board.slots[1].held, board.slots[1].progress = 2**40, 0.5
        os._exit(0)
    os.waitpid(child, 0)
    assert board.held() == [2**40]
    assert board.slots[1].progress == 0.5


def test_a_node_has_what_its_workers_run_and_will_run_next(board: Board) -> None:
    board.slots[0].held = 1
    board.slots[1].held = 2
    board.slots[1].have([2, 3, 4])
    assert board.slots[1].ids() == [2, 3, 4]
    assert board.held() == [1, 2, 3, 4]
    board.slots[1].taken = board.slots[1].spool
    assert board.held() == [1, 2], "the guard has given back the rest"


def test_outcomes_that_are_not_written_yet_lie_in_the_nodes_memory(board: Board) -> None:
    slot = board.slots[1]
    if not (child := os.fork()):
        slot.keep(b"one")
        slot.keep(b"two")
        os._exit(0)
    os.waitpid(child, 0)
    assert slot.kept() == b"onetwo"
    assert board.slots[0].kept() == b""
    slot.empty()
    assert slot.kept() == b""


def test_what_does_not_fit_is_not_kept(board: Board) -> None:
    slot = board.slots[0]
    assert slot.keep(bytes(SPOOL_BYTES - 1))
    assert not slot.keep(b"..")
    assert slot.keep(b".")
    assert slot.kept() == bytes(SPOOL_BYTES - 1) + b"."


def test_of_a_worker_that_has_just_written_its_outcomes_none_are_found(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = board.slots[0]
    slot.keep(b"one")
    read = ctypes.string_at

    def written_meanwhile(*where: int) -> bytes:
        slot.empty()
        return read(*where)

    monkeypatch.setattr(ctypes, "string_at", written_meanwhile)
    assert slot.kept() == b""


@pytest.mark.parametrize(("seconds", "over"), [(-0.001, True), (60, False)])
def test_a_task_is_over_when_its_deadline_has_passed(
    board: Board, seconds: float, over: bool
) -> None:
    board.slots[0].deadline = time.monotonic() + seconds
    assert board.slots[0].is_over() == over


def test_the_place_of_an_ended_worker_is_cleared_but_for_what_it_has_counted(board: Board) -> None:
    slot = board.slots[0]
    slot.held, slot.begun, slot.ended, slot.waiting = 1, 3, 4, 1
    slot.have([1, 2])
    slot.keep(b"one")
    slot.progress, slot.limit_s, slot.deadline = 0.5, 60, 1
    slot.clear()
    assert (slot.ids(), slot.progress, slot.limit_s, slot.deadline) == ([], 0, 0, 0)
    assert (slot.kept(), slot.waiting) == (b"", 0)
    assert (slot.begun, slot.ended) == (3, 4)


def test_a_guard_that_starts_finds_nobody_at_work(board: Board) -> None:
    for slot in board.slots:
        slot.held, slot.ended = 1, 2
    board.head.heartbeat, board.head.stopping, board.head.closing = 5, 1, 1
    board.clear()
    assert board.held() == []
    assert (board.head.heartbeat, board.head.stopping, board.head.closing) == (5, 0, 0)
    assert [slot.ended for slot in board.slots] == [2, 2, 2]


@pytest.mark.parametrize("why", ["stopping", "draining", "paused"])
def test_workers_claim_unless_there_is_a_reason_not_to(board: Board, why: str) -> None:
    assert board.head.claims
    setattr(board.head, why, 1)
    assert not board.head.claims


def test_a_guard_that_takes_over_does_not_forget_that_the_node_drains(board: Board) -> None:
    board.head.stopping = board.head.draining = board.head.paused = 1
    board.clear()
    assert (board.head.stopping, board.head.draining, board.head.paused) == (0, 1, 1)
