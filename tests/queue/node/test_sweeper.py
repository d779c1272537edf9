from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from compute.queue.node.board import Board
from compute.queue.node.sweeper import GROUP, Sweeper, sweep
from tests.processes import wait_until

pytestmark = pytest.mark.once


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    sweeper = Sweeper(Board(workers=2))
    yield sweeper
    sweeper.finish()
    os.close(sweeper.outlet)


@pytest.fixture
def group() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a group of its own, as a guard does."""
    leader = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield leader
    leader.kill()
    leader.wait()


@pytest.fixture
def as_process(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """`sweep` can be called here: which signals its process would ignore."""
    ignored: list[int] = []

    def ignore(number: int, handler: object) -> None:
        assert handler == signal.SIG_IGN
        ignored.append(number)

    monkeypatch.setattr(os, "setpgid", lambda *_: None)
    monkeypatch.setattr(signal, "signal", ignore)
    return ignored


# --- the process ----------------------------------------------------------------------


def test_when_the_supervisor_is_gone_the_group_is_killed(
    sweeper: Sweeper, group: subprocess.Popen[bytes], as_process: list[int]
) -> None:
    sweeper.mind(2**31 - 1)
    sweeper.mind(group.pid)
    sweeper.let_go()
    sweep(sweeper.outlet, sweeper.board)
    assert group.wait(30) == -signal.SIGKILL
    assert set(as_process) == {signal.SIGINT, signal.SIGTERM}


def test_and_those_of_the_workers(
    sweeper: Sweeper, group: subprocess.Popen[bytes], as_process: list[int]
) -> None:
    sweeper.mind(2**31 - 1)
    sweeper.board.slots[1].group = group.pid
    sweeper.let_go()
    sweep(sweeper.outlet, sweeper.board)
    assert group.wait(30) == -signal.SIGKILL


@pytest.mark.parametrize("was_minded", [True, False])
def test_a_group_that_is_not_to_be_minded_goes_on(
    sweeper: Sweeper, group: subprocess.Popen[bytes], as_process: list[int], was_minded: bool
) -> None:
    if was_minded:
        sweeper.mind(group.pid)
        sweeper.mind(0)
    sweeper.board.slots[0].group = group.pid
    sweeper.let_go()
    sweep(sweeper.outlet, sweeper.board)
    assert group.poll() is None


def test_a_group_that_is_gone_is_no_error(sweeper: Sweeper, as_process: list[int]) -> None:
    gone = subprocess.Popen(["true"], start_new_session=True)
    gone.wait()
    sweeper.mind(gone.pid)
    sweeper.let_go()
    sweep(sweeper.outlet, sweeper.board)


# --- its place in the supervisor --------------------------------------------------------


def test_a_real_one_kills_the_group_when_the_pipe_ends(
    sweeper: Sweeper, group: subprocess.Popen[bytes]
) -> None:
    sweeper.start()
    sweeper.mind(group.pid)
    sweeper.let_go()  # as the supervisor's end does
    assert group.wait(30) == -signal.SIGKILL
    sweeper.join(30)
    assert sweeper.leave() == "ended with exit code 0"


def test_a_quiet_end_leaves_the_group_alone(
    sweeper: Sweeper, group: subprocess.Popen[bytes]
) -> None:
    sweeper.start()
    sweeper.mind(group.pid)
    sweeper.mind(0)
    sweeper.finish()
    assert not sweeper.is_alive()
    assert group.poll() is None


def test_a_signal_to_the_supervisors_group_does_not_reach_it(sweeper: Sweeper) -> None:
    sweeper.start()
    sweeper.mind(0)
    assert not sweeper.is_bound, "it outlives the supervisor"
    wait_until(lambda: os.getpgid(sweeper.pid) == sweeper.pid)


def test_no_process_that_is_forked_holds_the_pipe(sweeper: Sweeper) -> None:
    if not (child := os.fork()):
        os._exit(0 if sweeper.inlet is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sweeper.inlet is not None
    sweeper.mind(7)
    assert GROUP.unpack(os.read(sweeper.outlet, GROUP.size)) == (7,)


def test_who_has_let_go_minds_nothing(sweeper: Sweeper) -> None:
    sweeper.let_go()
    sweeper.let_go()
    sweeper.mind(7)
    assert os.read(sweeper.outlet, 1) == b""
