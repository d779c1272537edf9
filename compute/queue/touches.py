"""Touches of a file, by which one process wakes others: on Linux the kernel tells of them."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from . import kernel

log = logging.getLogger(__name__)

#: Seconds between two looks at a file, where nothing tells of a touch.
LOOK_S = 0.02


def touch(file: str | Path) -> bool:
    """Give the file this moment's time: the clock of files may stand still for some ms. False if
    there is none."""
    try:
        os.utime(file, ns=(time.time_ns(), time.time_ns()))
    except FileNotFoundError:
        return False
    return True


class Watch:
    """Tells of a file's touches, by inotify(7) on its folder. Processes that have it by a fork
    share what is to be read: of several that read at once, one is told.

    OSError if the folder can't be watched.
    """

    HEADER = struct.Struct("iIII")

    def __init__(self, file: Path) -> None:
        self.name = file.name.encode()
        libc = ctypes.CDLL(None, use_errno=True)
        IN_ATTRIB, IN_CREATE = 0x4, 0x100
        self.descriptor = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        if libc.inotify_add_watch(self.descriptor, bytes(file.parent), IN_ATTRIB | IN_CREATE) < 0:
            self.close()
            raise OSError(ctypes.get_errno(), "inotify")

    def fileno(self) -> int:
        return int(self.descriptor)

    def heard(self) -> bool:
        """Whether the file was touched since somebody asked."""
        try:
            events, offset = os.read(self.descriptor, 1 << 16), 0
        except BlockingIOError:  # another process was quicker
            return False
        names = set()
        while offset < len(events):
            *_, length = self.HEADER.unpack_from(events, offset)
            offset += self.HEADER.size
            names.add(events[offset : offset + length].rstrip(b"\0"))
            offset += length
        return self.name in names

    def close(self) -> None:
        os.close(self.descriptor)


def watch(file: Path) -> Watch | None:
    """None where nothing tells of a touch: elsewhere, and where Linux has no more to give."""
    if not kernel.is_linux():
        return None
    try:
        return Watch(file)
    except OSError as error:
        log.warning("touches of %s are looked for, as there is no %s", file, error)
        return None


def touches(file: Path) -> Iterator[None]:
    """Yield once, and then after touches of the file, of which several may count as one.

    OSError if there can be no such file.
    """
    if told := watch(file):
        with contextlib.closing(told):
            yield
            while select.select([told], [], [])[0]:  # pragma: no branch
                if told.heard():
                    yield
    file.touch()
    last = file.stat().st_mtime_ns
    yield
    while True:
        time.sleep(LOOK_S)
        kernel.end_if_orphaned()
        with contextlib.suppress(FileNotFoundError):
            last, before = file.stat().st_mtime_ns, last
            if last != before:  # pragma: no branch
                yield
