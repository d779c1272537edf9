"""A node: the processes of one `manage.py qcluster`, from start to a quiet stop.

    supervisor        gets the signals, starts the sentinel, and starts a fresh one if it dies
    └── sentinel      django-q2's: guards the others, gives the node's signs of life
        ├── pusher    django-q2's: claims tasks through the broker
        ├── monitor   reports what has run
        └── workers   django-q2's: run the tasks, one at a time each

The sentinel leads a process group of its own, so that a terminal's Ctrl-C or a process
manager's signal reaches the supervisor alone, and that one kill sweeps all below it.
On Linux no process outlives its parent, however that died.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
import uuid
from multiprocessing.process import BaseProcess
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections
from django_q.brokers import get_broker
from django_q.cluster import Sentinel, get_mp_context
from django_q.conf import Conf
from django_q.status import Stat

from .call import one_line
from .models import Job, JobState
from .monitor import monitor

log = logging.getLogger(__name__)

#: Seconds that processes which have nothing more to do get for their end.
MARGIN = 1.5


class Flag:
    """An event that a signal handler may set: multiprocessing's and threading's own can
    deadlock there, for the handler interrupts a thread that may hold their lock."""

    def __init__(self) -> None:
        self.value = False

    def set(self, *_: Any) -> None:
        self.value = True

    def is_set(self) -> bool:
        return self.value

    def wait(self, timeout: float) -> bool:
        if not self.value:
            time.sleep(timeout)
        return self.value


class NodeSentinel(Sentinel):  # pragma: no cover - runs in forked processes (tests/workers)
    """django-q2's sentinel, whose own stop waits for every fetched task to end.

    This one gives back what has not started, lets running tasks finish for `Q_GRACE`
    seconds and gives back the rest; likewise what a dead worker or pusher held.
    """

    pool: list[Any]

    def __init__(self, cluster_id: uuid.UUID) -> None:
        broker = get_broker()
        broker.node = cluster_id.hex
        super().__init__(Flag(), Flag(), cluster_id, broker=broker, start=False)
        signal.signal(signal.SIGTERM, self.stop_event.set)

    def spawn_monitor(self) -> Any:
        return self.spawn_process(monitor, self.result_queue, self.broker)

    def reincarnate(self, process: Any) -> None:
        if process in self.pool and process.timer.value == 0:
            process.join(MARGIN)  # it has timed out and is ending by itself, or never will
            process.kill()
        pusher = process == self.pusher
        super().reincarnate(process)
        if pusher:
            self.give_back(state=JobState.QUEUED)
        else:
            self.give_back(worker=process.pid)

    def give_back(self, **held: Any) -> None:
        count = Job.objects.filter(node=self.cluster_id.hex, **held).give_back()
        if count:
            log.warning("gave back %s task(s)", count)

    def stop(self) -> None:
        log.info("stopping: running tasks have %s s to finish", settings.Q_GRACE)
        Stat(self).save()
        self.event_out.set()
        end(self.pusher)
        self.give_back(state=JobState.QUEUED)  # a worker that fetches one finds it gone
        for _ in self.pool:
            self.task_queue.put("STOP")
        deadline = time.monotonic() + settings.Q_GRACE
        while any(worker.is_alive() for worker in self.pool) and time.monotonic() < deadline:
            Stat(self).save()  # renews the leases of what still runs
            time.sleep(0.05)
        for worker in self.pool:
            worker.kill()
            worker.join()
        self.pool = []
        self.give_back()
        self.result_queue.put("STOP")
        end(self.monitor)
        Stat(self).save()


def end(process: BaseProcess) -> None:  # pragma: no cover - runs in forked processes
    process.join(MARGIN)
    process.kill()
    process.join()


def guard(node: uuid.UUID) -> None:  # pragma: no cover - runs in a forked process
    """The sentinel's process."""
    os.setpgid(0, 0)
    NodeSentinel(node).start()


class Supervisor:  # pragma: no cover - runs in a process of its own (tests/workers)
    """The process that a person or a process manager started, and that they signal."""

    def __init__(self) -> None:
        self.node = uuid.uuid4()
        self.signals = 0
        self.hurry = False

    def on_signal(self, number: int, frame: Any) -> None:
        # A process manager may repeat SIGTERM; only a person's second Ctrl-C hurries.
        self.hurry = self.hurry or (number == signal.SIGINT and self.signals > 0)
        self.signals += 1

    def run(self, once: bool = False) -> None:
        """Keep a sentinel running until a signal (or, `once`, just until it has started)."""
        signal.signal(signal.SIGINT, self.on_signal)
        signal.signal(signal.SIGTERM, self.on_signal)
        os.register_at_fork(before=remember_parent, after_in_child=die_with_parent)
        logging.getLogger("django-q").setLevel(Conf.LOG_LEVEL)
        log.info("node %s with %s worker(s)", self.node.hex, Conf.WORKERS)
        while not self.signals:
            connections.close_all()  # no process may inherit one
            sentinel = get_mp_context().Process(target=guard, args=(self.node,))
            sentinel.start()
            self.signals += once
            while sentinel.is_alive() and not self.signals:
                sentinel.join(0.2)
            if self.signals:
                self.stop(sentinel)
            sweep(sentinel)
            self.take_back()
            if not self.signals:
                log.critical("the sentinel ended (%s), starting afresh", sentinel.exitcode)
                time.sleep(1)
        log.info("stopped")

    def stop(self, sentinel: BaseProcess) -> None:
        deadline = time.monotonic() + settings.Q_GRACE + 3 * MARGIN
        if sentinel.is_alive() and sentinel.pid:
            os.kill(sentinel.pid, signal.SIGTERM)
        while sentinel.is_alive() and time.monotonic() < deadline and not self.hurry:
            sentinel.join(0.1)

    def take_back(self) -> None:
        """What the dead sentinel's workers held is up for every node again, at once."""
        try:
            Job.objects.filter(node=self.node.hex).give_back()
        except DatabaseError as error:
            log.warning("the leases run out by themselves: %s", one_line(error))


def sweep(sentinel: BaseProcess) -> None:  # pragma: no cover - see Supervisor
    """Kill what is left of the sentinel's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(sentinel.pid or 0, signal.SIGKILL)
    sentinel.join()


_parent = 0


def remember_parent() -> None:  # pragma: no cover - see Supervisor
    global _parent
    _parent = os.getpid()


def die_with_parent() -> None:  # pragma: no cover - runs in forked processes
    """Have the kernel kill this process as soon as its parent ends (Linux only)."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != _parent:  # it ended before the line above
            os._exit(1)
