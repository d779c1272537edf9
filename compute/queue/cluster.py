"""A node: the processes of one `manage.py qcluster`, from start to a quiet stop.

    supervisor        gets the signals; starts a fresh sentinel if one dies or freezes
    └── sentinel      guards the others, renews leases, gives the node's signs of life
        ├── pusher    wakes idle workers when a commit may have queued something
        ├── monitor   tells who listens that a task has run
        ├── scheduler queues tasks whose time has come
        └── workers   django-q2's: claim tasks and run them, one at a time each

The sentinel leads a process group of its own, so that a terminal's Ctrl-C or a process
manager's signal reaches the supervisor alone, and that one kill sweeps all below it.
No process outlives its parent, however that died.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections
from django.utils.autoreload import StatReloader
from django_q.conf import Conf

from . import kernel, schema
from .logs import in_node
from .models import Job, Node
from .sentinel import MARGIN, Frozen, ended, guard
from .signals import watching
from .text import one_line

log = logging.getLogger(__name__)

#: Seconds without a heartbeat after which a sentinel counts as frozen. Longer than it may
#: wait for a database that is away or locked.
SILENCE = 30
#: Seconds between two looks at the code, in development.
LOOK = 1


class Supervisor:  # pragma: no cover - runs in a process of its own (tests/workers)
    """The process that a person or a process manager started, and that they signal."""

    def __init__(self) -> None:
        self.node = uuid.uuid4()
        self.heartbeat = RawValue("L", 0)
        self.signals = 0
        self.hurry = False
        self.code = Code() if settings.DEBUG else None

    def on_signal(self, number: int, frame: Any) -> None:
        # A process manager may repeat SIGTERM; only a person's second Ctrl-C hurries.
        self.hurry = self.hurry or (number == signal.SIGINT and self.signals > 0)
        self.signals += 1

    def run(self, once: bool = False) -> None:
        """Keep a sentinel running until a signal (or, `once`, just until it has started)."""
        signal.signal(signal.SIGINT, self.on_signal)
        signal.signal(signal.SIGTERM, self.on_signal)
        kernel.watch_parents()
        logging.getLogger("django-q").setLevel(Conf.LOG_LEVEL)
        in_node(self.node.hex)
        log.info("node %s with %s worker(s)", self.node.hex, Conf.WORKERS)
        schema.wait(stopped=lambda: self.signals)
        if not self.signals:
            take_back(Node.objects.left_behind(socket.gethostname(), is_alive).values("pk"))
        # What is there by now all processes share, until one writes to it; and to collect
        # garbage is to write to everything. Without this each grew by 20 MB in its time.
        gc.collect()
        gc.freeze()
        while not self.signals:
            connections.close_all()  # no process may inherit one
            sentinel = kernel.PROCESSES.Process(target=guard, args=(self.node, self.heartbeat))
            sentinel.start()
            self.signals += once
            why = self.watch(sentinel)
            if self.signals or why == "reload":
                self.stop(sentinel)
            sweep(sentinel)
            take_back([self.node.hex])
            if why == "reload" and not self.signals:
                log.info("the code has changed, starting again with it")
                connections.close_all()
                os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
            if not self.signals:
                log.error("sentinel %s %s, starting another", sentinel.pid, why)
        log.info("stopped")

    def watch(self, sentinel: BaseProcess) -> str:
        """Wait for a signal, or a reason to replace the sentinel, which is told."""
        beat, beaten = self.heartbeat.value, time.monotonic()
        frozen = Frozen()
        looked = beaten
        while not self.signals:
            sentinel.join(0.4)
            if time.monotonic() - looked > SILENCE / 2:  # stopped itself: what could it hear?
                beaten = time.monotonic()
            looked = time.monotonic()
            if not sentinel.is_alive():
                return ended(sentinel.exitcode)
            if frozen.among([sentinel.pid]):
                return "was frozen"
            if self.heartbeat.value != beat:
                beat, beaten = self.heartbeat.value, time.monotonic()
            elif time.monotonic() - beaten > SILENCE:
                return f"gave no sign of life for {SILENCE} s"
            if self.code and self.code.has_changed():
                return "reload"
        return "stopped"

    def stop(self, sentinel: BaseProcess) -> None:
        deadline = time.monotonic() + settings.Q_GRACE + 3 * MARGIN
        if sentinel.is_alive() and sentinel.pid:
            os.kill(sentinel.pid, signal.SIGTERM)
        while sentinel.is_alive() and time.monotonic() < deadline and not self.hurry:
            sentinel.join(0.1)
            if kernel.stopped([sentinel.pid]):
                return


class Code:  # pragma: no cover - used by Supervisor
    """The files this process has imported, watched as Django's runserver does, and the
    folders that receivers of `watching` name: there a file counts from its first day."""

    def __init__(self) -> None:
        self.reloader = StatReloader()
        watching.send(sender=Code, reloader=self.reloader)
        self.seen = self.look()
        self.looked = time.monotonic()

    def look(self) -> dict[Path, float]:
        return dict(self.reloader.snapshot_files())

    def in_folders(self, path: Path) -> bool:
        return any(Path(path).is_relative_to(folder) for folder in self.reloader.directory_globs)

    def has_changed(self) -> bool:
        """Whether a file has, and the new code can be loaded; if not, says so and waits."""
        if time.monotonic() - self.looked < LOOK:
            return False
        self.looked = time.monotonic()
        now, before = self.look(), self.seen
        self.seen = now
        new = any(self.in_folders(path) for path in now.keys() - before.keys())
        # Any other that is new here has just been imported, as it is.
        if not new and all(now.get(path) == changed for path, changed in before.items()):
            return False
        check = [sys.executable, "manage.py", "check"]
        tried = subprocess.run(check, cwd=settings.BASE_DIR, capture_output=True, text=True)  # noqa: S603
        if tried.returncode:
            extra = {"traceback": tried.stderr}
            log.error("the changed code can't be loaded, the old one goes on", extra=extra)
        return tried.returncode == 0


def take_back(nodes: Any) -> None:  # pragma: no cover - see Supervisor
    """What dead nodes held is up for every node again, at once."""
    try:
        count = Job.objects.filter(node__in=nodes).give_back()
        if count:
            log.warning("took back %s task(s) of dead processes", count)
    except DatabaseError as error:
        log.warning("nothing could be taken back, leases run out: %s", one_line(error))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sweep(sentinel: BaseProcess) -> None:  # pragma: no cover - see Supervisor
    """Kill what is left of the sentinel's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(sentinel.pid or 0, signal.SIGKILL)
    sentinel.join()
