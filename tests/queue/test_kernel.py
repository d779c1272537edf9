from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_django import Settings

from compute.queue import kernel
from compute.queue.models import Node
from tests.processes import wait_until

pytestmark = pytest.mark.once


@pytest.fixture(params=[False, True], ids=["linux", "elsewhere"])
def portable(request: pytest.FixtureRequest, settings: Settings) -> bool:
    settings.Q_PORTABLE = request.param
    return bool(request.param)


def test_a_stopped_process_is_known_from_others(portable: bool) -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    pids = [os.getpid(), sleeper.pid]
    try:
        assert kernel.stopped(pids) == set()
        sleeper.send_signal(signal.SIGSTOP)
        wait_until(lambda: kernel.stopped(pids) == {sleeper.pid}, 5)
        sleeper.send_signal(signal.SIGCONT)
        wait_until(lambda: kernel.stopped(pids) == set(), 5)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert kernel.stopped(pids) == set()


# --- no process outlives its parent ----------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the kernel would have been told of this process, and with which codes it had ended."""
    calls: list[Any] = []
    libc = SimpleNamespace(prctl=lambda *call: calls.append(call))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    monkeypatch.setattr(os, "_exit", lambda code: calls.append(("exit", code)))
    monkeypatch.setattr(kernel, "_parent", 0)
    return calls


def test_who_has_no_parent_to_end_with_goes_on(calls: list[Any]) -> None:
    kernel.end_if_orphaned()
    assert calls == []


def test_who_is_to_end_with_its_parent_goes_on_while_that_is_there(
    portable: bool, calls: list[Any]
) -> None:
    kernel.end_with(os.getppid())
    kernel.end_if_orphaned()
    assert calls == ([] if portable else [(1, signal.SIGKILL)])  # PR_SET_PDEATHSIG


def test_an_orphan_ends_when_it_looks(portable: bool, calls: list[Any]) -> None:
    kernel.end_with(5_000_000)  # which had ended before it could be told
    assert ("exit", 1) in calls


def test_what_dead_children_leave_is_adopted_on_linux(portable: bool, calls: list[Any]) -> None:
    kernel.adopt()
    assert calls == ([] if portable else [(36, 1)])  # PR_SET_CHILD_SUBREAPER


# --- who runs here ----------------------------------------------------------------------


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield sleeper
    sleeper.kill()
    sleeper.wait()


def test_processes_are_listed_with_parent_group_and_state(
    portable: bool, sleeper: subprocess.Popen[bytes]
) -> None:
    mine = wait_until(lambda: [each for each in kernel.listed() if each == as_it_is(sleeper)])
    assert mine == kernel.listed([sleeper.pid])
    everybody = {each.pid: each for each in kernel.listed()}
    here = everybody[os.getpid()]
    assert (here.parent, here.group) == (os.getppid(), os.getpgrp())
    assert 1 in everybody


def as_it_is(sleeper: subprocess.Popen[bytes]) -> kernel.Listed:
    return kernel.Listed(sleeper.pid, parent=os.getpid(), group=sleeper.pid, state="S")


def test_those_that_were_asked_for_are_listed_if_there_are_any(
    portable: bool, sleeper: subprocess.Popen[bytes]
) -> None:
    gone = subprocess.Popen(["true"])
    wait_until(lambda: [each.state for each in kernel.listed([gone.pid])] == ["Z"])
    gone.wait()
    assert [each.pid for each in kernel.listed([gone.pid, sleeper.pid])] == [sleeper.pid]
    assert kernel.listed([gone.pid]) == []
    assert kernel.listed([]) == []
    assert kernel.stopped([None, 0]) == set()


def test_its_children_are_those_that_it_has_started() -> None:
    before = kernel.children()
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(writing)
        os.read(reading, 1)  # until the test's end of it is closed
        os._exit(0)
    os.close(reading)
    assert kernel.children() - before == {child}
    os.close(writing)
    os.waitpid(child, 0)
    assert child not in kernel.children()


def test_a_process_has_children_until_it_has_waited_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a process that has no others, as the tests' own may have."""

    def answers() -> tuple[bool, bool, bool]:
        before = kernel.has_children()
        if not (child := os.fork()):
            os._exit(0)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        while_it_has = kernel.has_children()
        os.waitpid(child, 0)
        return before, while_it_has, kernel.has_children()

    if not (process := os.fork()):
        os._exit(0 if answers() == (False, True, False) else 1)
    assert os.waitpid(process, 0)[1] == 0
    if not (child := os.fork()):
        os._exit(0)
    assert kernel.has_children()
    os.waitpid(child, 0)

    def nobody(*_: Any) -> None:
        raise ChildProcessError

    monkeypatch.setattr(os, "waitid", nobody)
    assert not kernel.has_children()


def test_a_place_is_the_same_for_all_processes_of_a_machine(portable: bool) -> None:
    place = kernel.place()
    if not (child := os.fork()):
        os._exit(0 if kernel.place() == place else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (place == socket.gethostname()) == portable
    longest = Node._meta.get_field("place").max_length
    assert longest
    assert 0 < len(place) <= longest


def test_memory_is_counted_in_kb_wherever_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    here = kernel.memory_kb()
    assert 10_000 < here < 10_000_000
    monkeypatch.setattr(sys, "platform", "darwin")
    assert kernel.memory_kb() == here // 1024
