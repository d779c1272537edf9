"""django-q2's ORM broker, with leases that live as long as their node, and no cache."""

from __future__ import annotations

import logging
import math
import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.humanhash import humanize
from django_q.models import OrmQ
from django_q.signing import BadSignature, SignedPackage

from . import packages
from .call import Call
from .engines import Lease, engine
from .models import Job, JobState, Node
from .records import note_failure
from .text import one_line, shorten
from .transitions import UNSETTLED, claim, enter, leave

log = logging.getLogger(__name__)

#: Seconds between two signs of life in the database.
SIGN_OF_LIFE = 1

#: How long a package that was signed with another key is left to others.
FOREIGN_PAUSE = timedelta(seconds=5)
#: How long after it was queued it counts as nobody's.
FOREIGN_LIMIT = timedelta(days=1)
#: Seconds between two lines in the log about such packages.
FOREIGN_LOG = 60


class NoCache:
    """In the place of django-q2's cache, for those who would lose something in it."""

    def __getattr__(self, name: str) -> Any:
        raise TypeError(
            "django-q2 would keep this in a cache, where it can get lost. Results are rows "
            "here; call compute.queue.fanout.async_iter, with the same arguments."
        )


class DatabaseBroker(ORM):
    """The queue, its leases and the nodes' signs of life, all in one database.

    A claim is a lease of `Q_LEASE` seconds on the database's clock. The node that
    holds it renews it as long as it lives, so a task may run for hours, and a dead
    node's tasks are soon up for others. What django-q2 calls an `ack_id` is a `Lease`.
    """

    #: Id of the node whose processes use this broker; None outside of a queue server.
    node: str | None = None
    #: How many tasks that node's workers have ended, as its sentinel counts them.
    ended: int = 0

    _written: tuple[float, str] = (0.0, "")
    _foreign: float = -math.inf

    @staticmethod
    def get_cache() -> NoCache:
        return NoCache()

    def enqueue(self, task: str) -> int:
        """Queue a signed package and its Job, both or neither; the queue id.

        TypeError for a task that no worker could read: with an argument, for one, that can
        be pickled and not unpickled. What this site has not signed has no Job.
        """
        read = packages.read_back(task)
        of_ours = read is not None and isinstance(read["func"], Call)
        return enter(self.list_key, task, read if of_ours else None)

    def dequeue(self) -> list[tuple[Lease, str]] | None:
        """Claim the oldest task, or wait a moment; a missing database is only waited for."""
        try:
            claimed = self.claim(Conf.BULK)
        except (OperationalError, InterfaceError) as error:
            log.warning("the database is away: %s", one_line(error))
            connection.close()
            claimed = []
        if not claimed:
            time.sleep(Conf.POLL)
        return [each for each in claimed if self.unpack(*each)] or None

    def unpack(self, lease: Lease, package: str) -> dict[str, Any] | None:
        """The task in a claimed package. One that can't be read is given up, and is None.

        What names a class that this code lacks is left to nodes of the code that queued it;
        what was signed with another key to nodes that have it, for as long as it takes.
        """
        try:
            return packages.read(package)
        except packages.ForeignError as error:
            self.leave(lease, error)
        except Exception as error:  # whatever a pickle may raise
            held = Job.objects.filter(queue_id=lease.queue_id, delivery=lease.delivery)
            if not (isinstance(error, ImportError | AttributeError) and held.postpone()):
                self.give_up(lease, error)
        return None

    def leave(self, lease: Lease, error: packages.ForeignError) -> None:
        """Leave a package with another key to nodes that have it; no try is counted.

        After a day, in which none of these came, its job fails, and can be retried.
        """
        jobs = Job.objects.filter(queue_id=lease.queue_id)
        waited = jobs.filter(queued_at__lt=Now() - FOREIGN_LIMIT)
        if waited.exists() or jobs.exclude(state__in=UNSETTLED).exists():
            self.give_up(lease, error)
            return
        with transaction.atomic():
            held = jobs.filter(delivery=lease.delivery).held()
            if not (held and leave(held[0], FOREIGN_PAUSE)):
                OrmQ.objects.filter(pk=lease.queue_id).update(lock=Now() + FOREIGN_PAUSE)
        now = time.monotonic()
        if now - self._foreign > FOREIGN_LOG:
            self._foreign = now
            log.warning(
                "task %s in the queue was signed with another SECRET_KEY, "
                "it and its like are left to nodes that have that",
                lease.queue_id,
            )

    def claim(self, limit: int) -> list[tuple[Lease, str]]:
        """Lease up to `limit` tasks that nobody holds, oldest first; no two claims get the same.

        Their jobs run from here on: whoever dies now may have died of them.
        """
        return claim(self.list_key, limit, self.node)

    def renew(self, queue_ids: list[int]) -> None:
        """Renew the leases of what this node's workers run, where it still is theirs."""
        held = Job.objects.filter(node=self.node, queue_id__in=queue_ids).unsettled()
        until = Now() + timedelta(seconds=settings.Q_LEASE)
        with engine().turn():
            OrmQ.objects.filter(pk__in=held.values("queue_id")).update(lock=until)

    def note_progress(self, queue_id: int, progress: float) -> None:
        """Write down how much of what a worker of this node runs is done, from 0 to 1."""
        held = Job.objects.filter(node=self.node, queue_id=queue_id).unsettled()
        with engine().turn():
            held.update(progress=min(1, max(0, progress)))

    def cancelled(self, queue_ids: list[int]) -> list[int]:
        """Which of what this node's workers run has been cancelled."""
        held = Job.objects.filter(node=self.node, queue_id__in=queue_ids)
        cancelled = set(held.filter(state=JobState.CANCELLED).values_list("queue_id", flat=True))
        return [queue_id for queue_id in queue_ids if queue_id in cancelled]

    def delete(self, ack_id: Lease | int) -> None:
        super().delete(ack_id.queue_id if isinstance(ack_id, Lease) else ack_id)

    def fail(self, ack_id: Lease) -> None:
        self.give_up(ack_id, BadSignature("it could not be read"))

    def give_up(self, lease: Lease, error: Exception) -> None:
        """Take a package that can't be read out of the queue; its job has failed.

        One without a job is listed with the failed tasks, too: nothing goes without a trace.
        """
        why = f"the queued task can't be read: {one_line(error)}"
        with transaction.atomic():
            jobs = Job.objects.filter(queue_id=lease.queue_id)
            job = jobs.unsettled().first()
            if job is not None:
                job.fail(why, type(error).__name__)
            elif not jobs.exists():
                name = f"package {lease.queue_id}"
                note_failure(name, "", why)
                log.error("failed: %s: %s", name, why)
            self.delete(lease)

    # --- statistics: rows of Node, where django-q2 wants a cache -----------------------

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        """Write a node's sign of life, once a second and when its status changes.

        The sentinel calls this in every cycle of its guard loop.
        """
        stat = SignedPackage.loads(value)
        status = str(stat.status)
        now = time.monotonic()
        if now - self._written[0] < SIGN_OF_LIFE and status == self._written[1]:
            return
        node = {
            "name": node_name(stat.cluster_id.hex),
            "host": stat.host,
            "pid": stat.pid,
            "workers": len(stat.workers),
            "restarts": stat.reincarnations,
            "ended": self.ended,
            "started_at": stat.tob,
            "seen_at": Now(),
            "stopped_at": Now() if stat.status == Conf.STOPPED else None,
            "stat": value,
        }
        # No update_or_create(): nobody else writes this row, and its lock is three statements.
        with engine().turn():
            if not Node.objects.filter(pk=stat.cluster_id.hex).update(**node):
                Node.objects.create(pk=stat.cluster_id.hex, **node)
        self._written = (now, status)

    def get_stat(self, key: str) -> str | None:
        return Node.objects.alive().filter(pk=node_id(key)).values_list("stat", flat=True).first()

    def get_stats(self, pattern: str) -> list[str]:
        return list(Node.objects.alive().values_list("stat", flat=True))


def node_name(node: str) -> str:
    """What people call a node; with its queue, if that is not the default one."""
    name = humanize(node)
    other = Conf.CLUSTER_NAME != Conf.PREFIX
    return shorten(f"{name} ({Conf.CLUSTER_NAME})" if other else name, 100)


def node_id(key: str) -> str:
    """The node's id in a statistic's key, "django_q:<prefix>:cluster:<uuid>"."""
    return key.rpartition(":")[2].replace("-", "")
