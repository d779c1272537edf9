from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections
from pytest_django import Settings

from compute.queue import kernel
from compute.queue.kernel import Listed
from compute.queue.node import processes
from compute.queue.node.processes import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    LOST_DATABASE,
    Child,
    Frozen,
    end_strangers,
    ended,
    is_alive,
    run,
    strangers,
)
from tests.processes import wait_until
from tests.queue.node.conftest import Clock

pytestmark = pytest.mark.once


@pytest.fixture(params=[False, True], ids=["linux", "elsewhere"])
def portable(request: pytest.FixtureRequest, settings: Settings) -> Any:
    settings.Q_PORTABLE = request.param
    return request.param


def children() -> set[int]:
    """Those of the tests' own process, such as its database's server."""
    return {each.pid for each in kernel.listed() if each.parent == os.getpid()}


# --- a child ---------------------------------------------------------------------------


def nothing() -> None:
    pass


def fail() -> None:
    raise ValueError("it can't go on")


def ended_child(child: Child) -> Child:
    """Its process was started, and has ended by itself."""
    child.start()
    child.join(30)
    assert not child.is_alive()
    return child


def test_a_child_has_no_process_before_it_is_started() -> None:
    child = Child("helper", nothing)
    assert (child.pid, child.is_alive()) == (0, False)
    child.join(30)
    child.end()


def test_a_child_runs_until_it_is_ended() -> None:
    child = Child("helper", time.sleep, 600)
    assert child.start_if_due()
    assert child.is_alive()
    assert is_alive(child.pid)
    assert not child.start_if_due(), "it is running"
    pid = child.pid
    child.end()
    assert not is_alive(pid)
    assert child.leave() == "was killed by SIGKILL"
    assert (child.pid, child.is_alive()) == (0, False)


def test_a_child_may_have_time_to_end_by_itself() -> None:
    child = Child("helper", nothing)
    child.start()
    child.end(within_s=30)
    assert child.leave() == "ended with exit code 0"


def test_how_a_child_failed_shows_in_its_exit_code() -> None:
    assert ended_child(Child("helper", fail)).leave() == "ended with exit code 1"


@pytest.mark.thorough
def test_what_dies_at_once_is_started_again_after_growing_pauses(clock: Clock) -> None:
    child = Child("helper", os._exit, 3)
    pauses = []
    for _ in range(11):
        assert child.start_if_due()
        child.join(30)
        child.leave()
        pauses.append(child.pause_s)
        clock.now += child.pause_s * 0.99
        assert not child.start_if_due()
        clock.now += child.pause_s
    assert pauses[:4] == [FIRST_PAUSE_S, 0.2, 0.4, 0.8]
    assert pauses[-2:] == [LONGEST_PAUSE_S] * 2
    assert child.what_next() == "starting another in 30 s"


def test_where_there_is_no_room_for_another_there_may_be_later(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    child = Child("helper", nothing)
    with monkeypatch.context() as full:
        full.setattr(os, "fork", lambda: os.kill(-(2**31), 0))  # OSError
        assert not child.start_if_due()
    assert "no helper can be started, next try in 30.0 s" in caplog.text
    assert (child.pid, child.is_alive()) == (0, False)
    assert not child.start_if_due()
    clock.now += processes.NO_ROOM_S
    assert child.start_if_due()
    child.end()


@pytest.mark.parametrize("why", ["it did something", "it lived for a while"])
def test_what_was_of_use_is_started_again_at_once(clock: Clock, why: str) -> None:
    child = ended_child(Child("helper", nothing))
    child.leave()
    assert child.pause_s
    clock.now = child.due
    ended_child(child)
    clock.now += processes.AT_ONCE_S if why == "it lived for a while" else 0
    child.leave(useful=why == "it did something")
    assert child.what_next() == "starting another"
    assert child.start_if_due()
    child.end()


def test_a_childs_connections_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(connections, "close_all", lambda: closed.append(True))
    ended_child(Child("helper", nothing)).leave()
    assert closed == [True]


# --- its process -----------------------------------------------------------------------


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """With which codes this process would have ended."""
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    return exits


@pytest.fixture
def parents(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """With which processes this one would end."""
    parents: list[int] = []
    monkeypatch.setattr(kernel, "end_with", parents.append)
    return parents


def test_a_process_runs_its_function_and_ends(exits: list[int], parents: list[int]) -> None:
    ran: list[int] = []
    run(7, ran.append, 1)
    assert (parents, ran, exits) == ([7], [1], [0])


def test_one_that_is_bound_to_nobody_outlives_its_parent(
    exits: list[int], parents: list[int]
) -> None:
    run(0, nothing)
    assert (parents, exits) == ([], [0])


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_whatever_ends_it_is_told(
    exits: list[int],
    parents: list[int],
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
) -> None:
    def raising() -> None:
        raise error("no more")

    run(7, raising)
    assert exits == [1]
    assert "a process of the node can't go on" in caplog.text
    assert "no more" in caplog.text


def test_it_ends_although_nobody_reads_what_it_prints(
    exits: list[int], parents: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed:
        def flush(self) -> None:
            raise BrokenPipeError

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Closed())
        run(7, nothing)
    assert exits == [0]


# --- how one is ------------------------------------------------------------------------


def test_a_process_is_alive_until_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_alive(os.getpid())
    assert is_alive(1), "also somebody else's"
    ended_long_ago = subprocess.Popen(["true"])
    ended_long_ago.wait()
    assert not is_alive(ended_long_ago.pid)

    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert is_alive(1)


def test_how_a_process_ended_is_said_in_words() -> None:
    assert ended(-9) == "was killed by SIGKILL"
    assert ended(-40) == "was killed by signal 40", "which has no name"
    assert ended(1) == "ended with exit code 1"
    assert ended(LOST_DATABASE).startswith("ended itself, without the database's files")


def test_a_process_is_frozen_if_it_stays_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = iter([{1}, {2}, {1}, {1, 2}, {1}, set()])
    monkeypatch.setattr(kernel, "stopped", lambda pids: next(stopped))
    frozen = Frozen()
    assert [frozen.among([1, 2]) for _ in range(6)] == [set(), set(), set(), {1}, {1}, set()]


# --- what tasks have started -----------------------------------------------------------

#: A guard (10) with a worker (11), whose task has started 12, and that 13; one of a dead worker
#: that has become the guard's (14), and one that has become init's (15), still of its group (9).
TREE = [
    Listed(1, 0, 1, "S"),
    Listed(2, 1, 2, "S"),
    Listed(10, 2, 10, "S"),
    Listed(11, 10, 10, "S"),
    Listed(12, 11, 12, "S"),
    Listed(13, 12, 12, "S"),
    Listed(14, 10, 14, "S"),
    Listed(15, 1, 9, "S"),
]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"known": [11], "groups": [9], "root": 10}, [14, 15]),
        ({"known": [11], "root": 10}, [14]),
        ({"root": 10}, [11, 12, 13, 14]),
        ({"root": 11}, [12, 13]),
        ({"known": [12], "root": 11}, []),
        ({"root": 12}, [13]),
        ({"root": 99}, []),
    ],
)
def test_strangers_are_below_or_of_the_group_and_not_known(
    monkeypatch: pytest.MonkeyPatch, asked: Any, found: list[int]
) -> None:
    monkeypatch.setattr(kernel, "listed", lambda: TREE)
    assert [each.pid for each in strangers(**asked)] == found


def test_strangers_are_looked_for_below_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "listed", lambda: TREE)
    monkeypatch.setattr(os, "getpid", lambda: 11)
    assert [each.pid for each in strangers()] == [12, 13]


@pytest.fixture
def shell() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a shell with something to do, and leaves nothing of it."""
    started: list[subprocess.Popen[bytes]] = []

    def shell(command: str, **options: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sh", "-c", command], **options))
        return started[-1]

    known = children()
    yield shell
    for each in started:
        end_strangers(known, groups=[each.pid])
        each.wait()


def test_strangers_and_what_they_have_started_are_ended(portable: bool, shell: Any) -> None:
    known = children()
    one = shell("sleep 600 & sleep 600 & wait")
    other = shell("exec sleep 600")
    wait_until(lambda: len(strangers(known)) == 4)
    found = strangers(known)
    assert end_strangers(known) == 4
    wait_until(lambda: not any(is_running(each.pid) for each in found))
    assert strangers(known) == []
    assert not kernel.listed([one.pid, other.pid]), "this process has waited for them"
    assert end_strangers(known) == 0


def is_running(pid: int) -> bool:
    return any(each.state != "Z" for each in kernel.listed([pid]))


def test_known_ones_and_what_they_have_started_go_on(portable: bool, shell: Any) -> None:
    known = children()
    kept = shell("sleep 600 & wait")
    wait_until(lambda: len(strangers(known)) == 2)
    gone = shell("exec sleep 600")
    assert end_strangers([*known, kept.pid]) == 1
    assert is_running(kept.pid)
    assert not is_running(gone.pid)
    assert len(strangers(known)) == 2


def test_what_is_below_another_process_is_ended_and_that_goes_on(
    portable: bool, shell: Any
) -> None:
    root = shell("sleep 600 & wait; exec sleep 600")
    wait_until(lambda: len(strangers(root=root.pid)) == 1)
    root.send_signal(signal.SIGSTOP)  # as the guard does, so that no other is started meanwhile
    assert end_strangers(root=root.pid) == 1
    assert is_running(root.pid)


def test_what_has_lost_its_parent_is_ended_by_its_group(portable: bool, shell: Any) -> None:
    known = children()
    leader = shell("sleep 600 &", start_new_session=True)
    leader.wait()
    (orphan,) = strangers(known, groups=[leader.pid])
    assert end_strangers(known, groups=[leader.pid]) == 1
    wait_until(lambda: not is_running(orphan.pid))


def test_one_that_has_ended_is_waited_for_and_not_counted(portable: bool) -> None:
    known = children()
    gone = subprocess.Popen(["true"])
    wait_until(lambda: kernel.listed([gone.pid])[0].state == "Z")
    assert end_strangers(known) == 0
    with pytest.raises(ChildProcessError):
        os.waitpid(gone.pid, os.WNOHANG)
    gone.wait()


#: As no system has them, and what is below it.
ROOT = Listed(5_000_000, 1, 1, "S")
ONE = Listed(5_000_001, ROOT.pid, 1, "R")


def test_one_that_takes_its_time_to_end_counts_once(
    monkeypatch: pytest.MonkeyPatch, sent: list[tuple[int, int]]
) -> None:
    looks = iter([[ROOT, ONE], [ROOT, ONE], [ROOT, ONE._replace(state="Z")]])
    monkeypatch.setattr(kernel, "listed", lambda: next(looks))
    assert end_strangers(root=ROOT.pid) == 1
    assert sent == [(ONE.pid, signal.SIGKILL)] * 2


def test_those_that_start_others_all_the_time_are_looked_for_so_often(
    monkeypatch: pytest.MonkeyPatch, sent: list[tuple[int, int]]
) -> None:
    pids = itertools.count(ONE.pid)
    monkeypatch.setattr(kernel, "listed", lambda: [ROOT, ONE._replace(pid=next(pids))])
    assert end_strangers(root=ROOT.pid) == processes.SWEEPS
    assert len(sent) == processes.SWEEPS
