"""django-q2's ORM broker, with leases that live as long as their node, and no cache."""

from __future__ import annotations

import logging
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

from .call import one_line, shorten, take_enqueuing
from .engines import Lease, engine
from .models import Job, JobState, Node
from .transitions import claim, enter

log = logging.getLogger(__name__)

#: Seconds between two signs of life in the database.
SIGN_OF_LIFE = 1


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

    @staticmethod
    def get_cache() -> NoCache:
        return NoCache()

    def enqueue(self, task: str) -> int:
        """Queue a signed package and its Job, both or neither; the queue id."""
        package = take_enqueuing()
        if package and not is_of(task, package):  # left over from one that couldn't be signed
            package = None
        return enter(self.list_key, task, package)

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

        (It would come again for ever: django-q2's pusher survives a wrong signature and
        dies of anything else.) The signature is checked before anything is unpickled. What
        names a class that this code lacks is left to nodes of the code that queued it.
        """
        try:
            task: dict[str, Any] = SignedPackage.loads(package)
            if not is_task(task):
                raise TypeError("it has not the shape of a task")
        except Exception as error:  # whatever a pickle may raise
            held = Job.objects.filter(queue_id=lease.queue_id, delivery=lease.delivery)
            if not (isinstance(error, ImportError | AttributeError) and held.postpone()):
                self.give_up(lease, error)
            return None
        return task

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
        self.give_up(ack_id, BadSignature("it was signed with another SECRET_KEY"))

    def give_up(self, lease: Lease, error: Exception) -> None:
        """Take a package that can't be read out of the queue; its job has failed."""
        with transaction.atomic():
            job = Job.objects.filter(queue_id=lease.queue_id).unsettled().first()
            if job is not None:
                job.fail(f"the queued task can't be read: {one_line(error)}", type(error).__name__)
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


def is_task(package: Any) -> bool:
    """Whether a worker can run it; what it holds beyond this is let be."""
    return (
        isinstance(package, dict)
        and package.keys() >= {"id", "name", "func"}
        and isinstance(package.get("args"), tuple | list)
        and isinstance(package.get("kwargs"), dict)
    )


def is_of(signed: str, task: dict[str, Any]) -> bool:
    try:
        return bool(SignedPackage.loads(signed)["id"] == task["id"])
    except Exception:  # no package of django-q2's at all
        return False


def node_name(node: str) -> str:
    """What people call a node; with its queue, if that is not the default one."""
    name = humanize(node)
    other = Conf.CLUSTER_NAME != Conf.PREFIX
    return shorten(f"{name} ({Conf.CLUSTER_NAME})" if other else name, 100)


def node_id(key: str) -> str:
    """The node's id in a statistic's key, "django_q:<prefix>:cluster:<uuid>"."""
    return key.rpartition(":")[2].replace("-", "")
