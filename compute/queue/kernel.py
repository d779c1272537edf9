"""Linux' own ways with processes, and stand-ins for them elsewhere, as on macOS.

Q_PORTABLE=1 has Linux do without, too, for a trial of the rest. It is weaker: an orphan
ends when it next looks, a commit is heard after 20 ms, a frozen process costs a `ps`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from .defaults import settings

#: How a node starts its processes, whatever this Python does by itself: what all share is
#: loaded once, and channels need no name to be found by.
PROCESSES = get_context("fork")


def is_linux() -> bool:
    return sys.platform == "linux" and not settings.Q_PORTABLE


# --- no process outlives its parent -----------------------------------------------------

_parent = 0


def end_with(parent: int) -> None:
    """End this process, which has just been forked, as soon as that one has ended.

    Linux' kernel sees to it at once. Elsewhere each calls `end_if_orphaned` now and then.
    """
    global _parent
    _parent = parent
    if is_linux():
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    end_if_orphaned()  # before the line above


def end_if_orphaned() -> None:
    """End this process, if the one that forked it has ended."""
    if _parent and os.getppid() != _parent:
        os._exit(1)


def adopt() -> None:
    """Let what a dead child leaves running be this process' own child. Linux alone can."""
    if is_linux():
        PR_SET_CHILD_SUBREAPER = 36
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


# --- who runs here ----------------------------------------------------------------------


class Listed(NamedTuple):
    """A process as the system lists it."""

    pid: int
    parent: int
    #: The process group, by its leader's pid.
    group: int
    #: A letter: T or t for one that a signal or a tracer has stopped, Z for one that has ended.
    state: str


def listed(pids: Collection[int] | None = None) -> list[Listed]:
    """All processes, or those of them that there are."""
    return list((_stats if is_linux() else _ps)(pids))


def stopped(pids: Collection[int | None]) -> set[int]:
    """Those of the processes that a signal has stopped at this moment."""
    return {each.pid for each in listed([pid for pid in pids if pid]) if each.state in "Tt"}


def memory_kb() -> int:
    """The most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def children() -> set[int]:
    """The processes that this one has started, and that are still there."""
    return {each.pid for each in listed() if each.parent == os.getpid()}


def has_children() -> bool:
    """Whether this process has children, ended ones included. One system call.

    Where that system call is not to be had (Python on macOS before 3.13), one that has ended
    is forgotten by it.
    """
    try:
        if hasattr(os, "waitid"):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        else:  # pragma: no cover
            os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _stats(pids: Collection[int] | None) -> Iterator[Listed]:
    if pids is None:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            with open(f"/proc/{pid}/stat", "rb") as file:
                state, parent, group = file.read().rpartition(b")")[2].split()[:3]
            yield Listed(pid, int(parent), int(group), state.decode())


def _ps(pids: Collection[int] | None) -> Iterator[Listed]:
    chosen = ["-A"] if pids is None else ["-p", ",".join(map(str, pids))]
    if pids is not None and not pids:
        return
    command = ["ps", *chosen, "-o", "pid=,ppid=,pgid=,state="]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ps:  # noqa: S603
        lines = ps.communicate()[0].splitlines()
    for line in lines:
        pid, parent, group, state = line.split()[:4]
        if int(pid) != ps.pid:
            yield Listed(int(pid), int(parent), int(group), state[0])


def place() -> str:
    """Where process ids of this process count: the machine since its start, and a namespace."""
    if not is_linux():
        return socket.gethostname()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"
