"""The process that guards a node's others: django-q2's sentinel, made to survive them."""

from __future__ import annotations

import logging
import os
import signal
import time
import uuid
from collections.abc import Collection
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawValue
from typing import Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections
from django_q.brokers import get_broker
from django_q.cluster import Sentinel
from django_q.conf import Conf
from django_q.status import Stat
from django_q.worker import worker

from . import kernel, scheduler
from .broker import SIGN_OF_LIFE
from .channels import STOP, Bell, Inbox, NoQueue, Outbox, Timer
from .engines import engine
from .models import Job
from .monitor import monitor
from .text import one_line
from .wakeup import listen

log = logging.getLogger(__name__)

#: Seconds that processes which have nothing more to do get for their end.
MARGIN = 1.5
#: Seconds that django-q2's worker adds to a time limit, for the task to be ended by it.
TIMEOUT_MARGIN = 3
#: Why the sentinel itself ended a process.
CANCELLED, FROZEN = "ran what has been cancelled", "was frozen"


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
    """django-q2's sentinel with channels that survive a kill, and a stop that ends.

    django-q2's guard loop shares a lock with each worker, restarts only what has ended
    and not what is frozen, and leaves what a dead worker ran to a fixed time; its stop
    waits for every fetched task. So both loops are this class's own.
    """

    pool: list[Any]

    def __init__(self, cluster_id: uuid.UUID, heartbeat: Any) -> None:
        self.heartbeat = heartbeat
        self.stopping = RawValue("b", 0)
        self.bell = Bell()
        self.dead: list[Any] = []  # workers whose end is not yet written down
        self.frozen = Frozen()
        self.ended = 0  # tasks, by workers that are gone
        self.renewed = self.noted = time.monotonic()
        broker = get_broker()
        broker.node = cluster_id.hex
        super().__init__(Flag(), Flag(), cluster_id, broker=broker, start=False)
        self.task_queue = NoQueue()
        self.result_queue = Outbox()
        signal.signal(signal.SIGTERM, self.stop_event.set)

    # --- what is spawned ----------------------------------------------------------------

    def spawn_pusher(self) -> Any:
        """No task is pushed: in that place stands the process that wakes idle workers."""
        return self.spawn_process(listen, self.bell)

    def spawn_worker(self) -> None:
        inbox = Inbox(self.broker, self.bell, self.stopping)
        self.spawn_process(worker, inbox, self.result_queue, Timer(), self.timeout)
        self.pool[-1].inbox = inbox

    def spawn_monitor(self) -> Any:
        return self.spawn_process(monitor, self.result_queue, self.broker)

    def spawn_scheduler(self) -> Any:
        return self.spawn_process(scheduler.run, self.broker)

    def spawn_cluster(self) -> None:
        super().spawn_cluster()
        self.helpers = ["monitor", "pusher"]
        if Conf.SCHEDULER:
            self.helpers.append("scheduler")
            self.scheduler = self.spawn_scheduler()

    # --- the guard loop -----------------------------------------------------------------

    def guard(self) -> None:
        self.start_event.set()
        log.info("Q Cluster %s running", self.cluster_id.hex)
        while not self.stop_event.is_set():
            self.check()
            self.stop_event.wait(Conf.GUARD_CYCLE)
        self.stop()

    def check(self) -> None:
        """One round: replace what has died or is frozen, renew leases, give a sign of life."""
        kernel.end_if_orphaned()
        close_old_connections()  # one that has failed would go on failing
        cancelled = self.cancelled()
        processes = [*self.pool, *(getattr(self, role) for role in self.helpers)]
        all_frozen = self.frozen.among([process.pid for process in processes])
        for process in processes:
            frozen = process.pid in all_frozen
            if process in cancelled or frozen:
                process.kill()
                process.join()
            elif process in self.pool and process.timer.value == 0:
                process.join(MARGIN)  # after a timeout it ends by itself
                process.kill()
                process.join()
            if not process.is_alive():
                process.why = CANCELLED if process in cancelled else frozen and FROZEN
                self.replace(process)
        self.broker.ended = self.ended + sum(each.inbox.ended.value for each in self.pool)
        # A beat after each: a database that is locked makes it wait, but is no reason to die.
        cut_log = engine().cut_log
        for step in (self.bury, self.renew, self.note_progress, cut_log, Stat(self).save):
            step()
            self.heartbeat.value += 1

    def cancelled(self) -> list[Any]:
        """The workers whose job has been cancelled, stopped where they are.

        Stopped before a second look, so that none has gone on to another job meanwhile.
        """
        holders = {process.inbox.held.value: process for process in self.pool}
        holders.pop(0, None)
        try:
            found = self.broker.cancelled(list(holders)) if holders else []
        except DatabaseError as error:
            log.warning("nothing can be cancelled: %s", one_line(error))
            return []
        stopped = []
        for queue_id in found:
            process = holders[queue_id]
            os.kill(process.pid, signal.SIGSTOP)
            if process.inbox.held.value == queue_id:
                stopped.append(process)
            else:
                os.kill(process.pid, signal.SIGCONT)
        return stopped

    def replace(self, process: Any) -> None:
        helpers = {getattr(self, role): role for role in self.helpers}
        role = helpers.get(process, "worker")
        how = process.why or ended(process.exitcode)
        quiet = role == "worker" and (process.exitcode == 0 or how == CANCELLED)
        log.log(
            logging.INFO if quiet else logging.ERROR,
            "%s %s %s, starting another",
            role,
            process.pid,
            how,
        )
        if role == "worker":
            self.ended += process.inbox.ended.value
            self.dead.append(process)
            self.pool.remove(process)
        connections.close_all()  # no process may inherit one
        if role == "worker":
            self.spawn_worker()
        else:
            setattr(self, role, getattr(self, f"spawn_{role}")())
        self.reincarnations += 1

    def bury(self) -> None:
        """Write down what dead workers ran; while the database is away, later."""
        while self.dead:
            process = self.dead[0]
            claimed = Job.objects.filter(node=self.cluster_id.hex, worker=process.pid)
            ran = claimed.filter(queue_id=process.inbox.held.value)
            over = process.timer.value == 0
            try:
                if over:
                    limit = process.timer.limit.value - TIMEOUT_MARGIN
                    reason = f"it ran for more than {limit:.0f} seconds and had to be killed"
                    ran.fail(reason, "TimeoutException")
                elif not process.why:  # by itself, with whatever exit code
                    ran.bury(ended(process.exitcode))
                claimed.give_back()  # what it had not begun with, or has not to answer for
            except DatabaseError as error:
                log.warning("the database is away: %s", one_line(error))
                return
            self.dead.pop(0)

    def renew(self) -> None:
        if time.monotonic() - self.renewed < settings.Q_LEASE / 3:
            return
        try:
            inboxes = [process.inbox for process in self.pool]
            ids = [id_ for each in inboxes for id_ in (each.held.value, each.ahead.value) if id_]
            self.broker.renew(ids)
            self.renewed = time.monotonic()
        except DatabaseError as error:
            log.warning("the leases can't be renewed: %s", one_line(error))

    def note_progress(self) -> None:
        """Write down how far the workers say they are, once a second, if that has changed."""
        if time.monotonic() - self.noted < SIGN_OF_LIFE:
            return
        self.noted = time.monotonic()
        for inbox in [process.inbox for process in self.pool]:
            held, progress = inbox.held.value, inbox.progress.value
            if held and progress not in (0, inbox.noted):
                try:
                    self.broker.note_progress(held, progress)
                    inbox.noted = progress
                except DatabaseError as error:
                    log.warning("progress can't be noted: %s", one_line(error))

    # --- the end ------------------------------------------------------------------------

    def stop(self) -> None:
        """Claim no more, wait `Q_GRACE` seconds for what runs, give back the rest."""
        log.info("stopping: running tasks have %s s to finish", settings.Q_GRACE)
        self.stopping.value = 1
        for _ in self.pool:
            self.bell.ring()
        deadline = time.monotonic() + settings.Q_GRACE
        while any(process.is_alive() for process in self.pool) and time.monotonic() < deadline:
            for _ in self.pool:
                self.bell.ring()
            close_old_connections()
            self.renew()
            Stat(self).save()
            self.heartbeat.value += 1
            time.sleep(0.05)
        for process in self.pool:
            process.kill()
            process.join()
        self.pool = []
        self.result_queue.put(STOP)
        end(self.monitor)
        for role in self.helpers[1:]:
            getattr(self, role).kill()
            getattr(self, role).join()
        self.result_queue.close()
        self.bell.close()
        try:
            count = Job.objects.filter(node=self.cluster_id.hex).give_back()
            log.info("gave back %s task(s)", count)
        except DatabaseError as error:
            log.warning("nothing could be given back, leases run out: %s", one_line(error))
        Stat(self).save()


def end(process: BaseProcess) -> None:  # pragma: no cover - runs in forked processes
    process.join(MARGIN)
    process.kill()
    process.join()


def ended(exitcode: int | None) -> str:
    """How a process ended, in words."""
    if exitcode is not None and exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}"
    return f"ended with exit code {exitcode}"


class Frozen:
    """Tells which processes stay stopped (SIGSTOP); a tracer stops one for moments only."""

    def __init__(self) -> None:
        self.before: set[int] = set()

    def among(self, pids: Collection[int | None]) -> set[int]:
        """Those that are stopped now, and were when asked before."""
        before, self.before = self.before, kernel.stopped(pids)
        return before & self.before


def guard(node: uuid.UUID, heartbeat: Any) -> None:  # pragma: no cover - a forked process
    """The sentinel's process."""
    os.setpgid(0, 0)
    NodeSentinel(node, heartbeat).start()
