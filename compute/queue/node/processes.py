"""How a node's processes start, how they end, and what tasks have started beside them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Collection
from multiprocessing.process import BaseProcess
from typing import Any

from django.db import connections

from .. import kernel

log = logging.getLogger(__name__)

#: Seconds that processes which have nothing more to do get for their end.
MARGIN_S = 1.5
#: Seconds before another is started in the place of one that died at once: twice as many after
#: each that does. At once is: within a second, and before it came to do anything.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0
AT_ONCE_S = 1.0
#: The same where there was no room for another.
NO_ROOM_S = 30.0
#: The exit code of a worker without the database's files, which its task has closed.
LOST_DATABASE = 79
#: How often it is looked for what a process has left, which may start others meanwhile.
SWEEPS = 20


class Child:
    """A place for one process of the node: its first, and each that is started after it."""

    #: Whether it ends with this process, however that ends.
    is_bound = True

    def __init__(self, role: str, target: Callable[..., None], *args: Any) -> None:
        self.role = role
        self.target = target
        self.args = args
        self.process: BaseProcess | None = None
        self.started = 0.0
        self.pause_s = 0.0
        #: When another may be started, by the monotonic clock.
        self.due = 0.0

    @property
    def pid(self) -> int:
        """0 while there is no process."""
        return (self.process and self.process.pid) or 0

    def start(self) -> None:
        connections.close_all()  # no process may inherit one
        parent = os.getpid() if self.is_bound else 0
        self.process = kernel.PROCESSES.Process(target=run, args=(parent, self.target, *self.args))
        self.started = time.monotonic()
        self.process.start()

    def start_if_due(self) -> bool:
        """Whether another was started. A machine that has no room for it (tasks may have taken all
        of its memory, or all of its processes) may have some later."""
        if self.process or time.monotonic() < self.due:
            return False
        try:
            self.start()
        except OSError as error:
            self.process = None
            self.due = time.monotonic() + NO_ROOM_S
            log.error("no %s can be started, next try in %s s: %s", self.role, NO_ROOM_S, error)
            return False
        return True

    def is_alive(self) -> bool:
        return self.process is not None and self.process.is_alive()

    def join(self, timeout_s: float) -> None:
        if self.process:
            self.process.join(timeout_s)

    def end(self, within_s: float = 0.0) -> None:
        """Wait for its end so long, and then kill it."""
        if self.process:
            self.process.join(within_s)
            self.process.kill()
            self.process.join()

    def leave(self, useful: bool = False) -> str:
        """Give up the process, which has ended; how, in words. `useful`: it did something."""
        assert self.process is not None  # noqa: S101
        how = ended(self.process.exitcode)
        at_once = not useful and time.monotonic() - self.started < AT_ONCE_S
        self.pause_s = min(LONGEST_PAUSE_S, self.pause_s * 2 or FIRST_PAUSE_S) if at_once else 0.0
        self.due = time.monotonic() + self.pause_s
        self.process = None
        return how

    def what_next(self) -> str:
        return f"starting another in {self.pause_s:g} s" if self.pause_s else "starting another"


def run(parent: int, target: Callable[..., None], *args: Any) -> None:
    """The whole life of a process of the node. Its end waits for nothing that a task or a
    library may have left in it: threads, children, functions to be called at exit."""
    code = 1
    try:
        if parent:
            kernel.end_with(parent)
        target(*args)
        code = 0
    except BaseException:
        log.exception("a process of the node can't go on")
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def ended(exitcode: int | None) -> str:
    """How a process ended, in words."""
    if exitcode is not None and exitcode < 0:
        names = {number.value: number.name for number in signal.Signals}
        # Most of the real-time signals have no name.
        return f"was killed by {names.get(-exitcode, f'signal {-exitcode}')}"
    if exitcode == LOST_DATABASE:
        return "ended itself, without the database's files, which had been closed,"
    return f"ended with exit code {exitcode}"


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Frozen:
    """Tells which processes stay stopped (SIGSTOP); a tracer stops one for moments only."""

    def __init__(self) -> None:
        self.before: set[int] = set()

    def among(self, pids: Collection[int]) -> set[int]:
        """Those that are stopped now, and were when asked before."""
        before, self.before = self.before, kernel.stopped(pids)
        return before & self.before


def end_groups(groups: Collection[int]) -> None:
    """Kill all processes of these groups; 0 is none."""
    for group in groups:
        with contextlib.suppress(OSError):
            if group:
                os.killpg(group, signal.SIGKILL)


# --- what tasks have started -------------------------------------------------------------


def strangers(
    known: Collection[int] = (), groups: Collection[int] = (), root: int = 0
) -> list[kernel.Listed]:
    """The processes below this one, or another, and those in groups, but for the known ones and
    what is below them. One that has lost its parent is below nobody, where `kernel.adopt` can't
    help."""
    root = root or os.getpid()
    listed = {each.pid: each for each in kernel.listed()}
    found = []
    for each in listed.values():
        above: kernel.Listed | None = each
        while above and above.pid != root and above.pid not in known:
            above = listed.get(above.parent)
        is_below = above.pid == root if above else each.group in groups
        if is_below and each.pid != root:
            found.append(each)
    return found


def end_strangers(known: Collection[int] = (), groups: Collection[int] = (), root: int = 0) -> int:
    """Kill them; how many. Those that they start meanwhile are found by another look."""
    killed: set[int] = set()  # one that takes its time to end is seen again
    for _ in range(SWEEPS):
        living = False
        for each in strangers(known, groups, root):
            with contextlib.suppress(OSError):
                if each.state != "Z":
                    living = True
                    killed.add(each.pid)
                    os.kill(each.pid, signal.SIGKILL)
                os.waitpid(each.pid, os.WNOHANG)
        if not living:
            break
        time.sleep(0.001)
    return len(killed)
