"""What Linux alone has, and what stands in for it elsewhere, as on macOS.

Q_PORTABLE=1 has Linux do without, too, for a trial of the rest. It is weaker: an orphan
ends when it next looks, a commit is heard after 20 ms, a frozen process costs a `ps`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from multiprocessing import get_context
from pathlib import Path

from django.conf import settings

#: How a node starts its processes, whatever this Python does by itself: what all share is
#: loaded once, and channels need no name to be found by.
PROCESSES = get_context("fork")

#: Seconds between two looks at a file, where nothing tells of a touch.
FILE_LOOK = 0.02


def is_linux() -> bool:
    return sys.platform == "linux" and not settings.Q_PORTABLE


# --- no process outlives its parent -----------------------------------------------------

_forking = 0
_parent = 0


def watch_parents() -> None:  # pragma: no cover - runs in a node
    """Have every process that is forked from here on end with the one that forked it.

    Linux' kernel sees to that at once. Elsewhere each calls `end_if_orphaned` now and then.
    """
    os.register_at_fork(before=_remember, after_in_child=_end_with_parent)


def end_if_orphaned() -> None:
    """End this process, if the one that forked it has ended."""
    if _parent and os.getppid() != _parent:  # pragma: no cover - in a node's processes
        os._exit(1)


def _remember() -> None:  # pragma: no cover - runs in a node's processes
    global _forking
    _forking = os.getpid()


def _end_with_parent() -> None:  # pragma: no cover - runs in forked processes
    global _parent
    _parent = _forking
    if is_linux():
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    end_if_orphaned()  # before the line above


# --- processes that were stopped --------------------------------------------------------


def stopped(pids: Collection[int | None]) -> set[int]:
    """Those of the processes that a signal has stopped at this moment."""
    states = _states if is_linux() else _ps
    return {pid for pid, state in states([pid for pid in pids if pid]) if state[0] in "Tt"}


def _states(pids: Collection[int]) -> Iterator[tuple[int, str]]:
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            yield pid, stat.rpartition(")")[2].split()[0]


def _ps(pids: Collection[int]) -> Iterator[tuple[int, str]]:
    command = ["ps", "-o", "pid=,state=", "-p", ",".join(map(str, pids))]
    listed = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    for line in listed.stdout.splitlines():
        pid, state = line.split()[:2]
        yield int(pid), state


# --- touches of a file ------------------------------------------------------------------


def touch(file: Path) -> None:
    """Give the file this moment's time: the clock of files may stand still for some ms."""
    try:
        os.utime(file, ns=(time.time_ns(), time.time_ns()))
    except FileNotFoundError:
        file.touch()


def touches(file: Path) -> Iterator[None]:
    """Yield once, and then after touches of the file, of which several may count as one.

    OSError if its folder can't be watched.
    """
    return _told(file) if is_linux() else _looked(file)


def _looked(file: Path) -> Iterator[None]:
    touch(file)
    last = file.stat().st_mtime_ns
    yield
    while True:
        time.sleep(FILE_LOOK)
        end_if_orphaned()
        with contextlib.suppress(FileNotFoundError):
            last, before = file.stat().st_mtime_ns, last
            if last != before:  # pragma: no branch
                yield


def _told(file: Path) -> Iterator[None]:
    """By inotify(7) on the file's folder."""
    libc = ctypes.CDLL(None, use_errno=True)
    IN_ATTRIB, IN_CREATE = 0x4, 0x100
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if (
        descriptor < 0
        or libc.inotify_add_watch(descriptor, bytes(file.parent), IN_ATTRIB | IN_CREATE) < 0
    ):
        raise OSError(ctypes.get_errno(), "inotify")
    header = struct.Struct("iIII")
    try:
        yield
        while True:
            events, offset = os.read(descriptor, 1 << 16), 0
            names = set()
            while offset < len(events):
                *_, length = header.unpack_from(events, offset)
                offset += header.size
                names.add(events[offset : offset + length].rstrip(b"\0"))
                offset += length
            if file.name.encode() in names:
                yield
    finally:
        os.close(descriptor)
