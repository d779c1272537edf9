"""A guard and a supervisor in the tests' own process, whose children are none."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from compute.queue import kernel, progress
from compute.queue.node import guard as guard_module
from compute.queue.node import processes, supervisor
from compute.queue.node import worker as worker_module
from compute.queue.node.board import Board
from compute.queue.node.guard import Guard
from compute.queue.node.processes import Child
from compute.queue.node.worker import Worker
from tests import recipes
from tests.queue.conftest import LocalNode

#: To whom, or to whose group if that is negative, and which signal.
Sent = list[tuple[int, int]]

#: Higher than any process id of a system.
PIDS = itertools.count(5_000_000)


class Clock:
    """Goes on when somebody sleeps, or a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class StandIn:
    """Stands where a process would: it starts at once, and ends when a test says so."""

    #: Goes on while it is waited for.
    clock: Clock

    def __init__(self, target: Any, args: Any) -> None:
        self.target, self.args = target, args
        self.pid = 0
        self.exitcode: int | None = None
        #: What happens while it is waited for.
        self.meanwhile: Callable[[], Any] = lambda: None

    @property
    def sentinel(self) -> int:
        return self.pid

    def start(self) -> None:
        self.pid = next(PIDS)

    def is_alive(self) -> bool:
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        if self.exitcode is None:
            self.clock.sleep(timeout or 0)
            self.meanwhile()

    def kill(self) -> None:
        if self.exitcode is None:
            self.exitcode = -9


def process_of(child: Child) -> StandIn:
    assert isinstance(child.process, StandIn)
    return child.process


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the guard and the supervisor."""
    clock = Clock()
    for module in (guard_module, processes, supervisor):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def stand_ins(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started, none of the tests' own is ended, and no time passes."""
    monkeypatch.setattr(kernel, "PROCESSES", SimpleNamespace(Process=StandIn))
    monkeypatch.setattr(StandIn, "clock", clock, raising=False)
    # The test goes on with its own connection.
    monkeypatch.setattr(processes, "connections", SimpleNamespace(close_all=lambda: None))
    monkeypatch.setattr(guard_module, "close_old_connections", lambda: None)
    for module in (guard_module, supervisor):
        monkeypatch.setattr(module, "end_strangers", lambda *_, **__: 0)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The signals that were sent, none of which reaches anybody."""
    sent: Sent = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(os, "killpg", lambda pid, number: sent.append((-pid, number)))
    return sent


@pytest.fixture
def guard(db: None, sent: Sent) -> Iterator[Guard]:
    """A guard of two workers whose processes have started; none of its children is one."""
    guard = Guard(recipes.node.make().pk, Board(workers=2))
    for child in guard.children:
        child.start()
    yield guard
    guard.bell.close()
    guard.reports.close()


@pytest.fixture
def ended_below(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Where it was looked for what tasks had started; one process is found each time."""
    asked: list[dict[str, Any]] = []

    def end_strangers(*known: Any, **where: Any) -> int:
        asked.append({"known": list(*known), **where})
        return 1

    monkeypatch.setattr(guard_module, "end_strangers", end_strangers)
    return asked


@pytest.fixture
def worker(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A node's only worker; when it is idle it does not wait."""
    monkeypatch.setattr(worker_module, "SLOW_POLL_S", 0)
    monkeypatch.setattr(progress, "_slot", None)
    return node.worker
