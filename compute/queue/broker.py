"""django-q2's ORM broker, with leases that live as long as their node, and no cache."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.humanhash import humanize
from django_q.models import OrmQ
from django_q.signing import BadSignature, SignedPackage

from .call import job_for, one_line, take_enqueuing
from .models import FREE, Job, JobState, Node, lease
from .wakeup import notify

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
    node's tasks are soon up for others. What the broker calls an `ack_id` is the pair
    (queue id, delivery); `delivery` is None for a package that has no Job.
    """

    #: Id of the node whose processes use this broker; None outside of a queue server.
    node: str | None = None

    _written: tuple[float, str] = (0.0, "")

    @staticmethod
    def get_cache() -> NoCache:
        return NoCache()

    def enqueue(self, task: str) -> int:
        """Queue a signed package and its Job, both or neither; the queue id."""
        package = take_enqueuing()
        if package and not is_of(task, package):  # left over from one that couldn't be signed
            package = None
        with transaction.atomic():
            row = OrmQ.objects.create(key=self.list_key, payload=task, lock=FREE)
            if package is not None:
                job_for(package, queue=self.list_key, queue_id=row.pk).save(force_insert=True)
            notify()
        return int(row.pk)

    def dequeue(self) -> list[tuple[tuple[int, int | None], str]] | None:
        """Claim the oldest task, or wait a moment; a missing database is only waited for."""
        try:
            claimed = self.claim(Conf.BULK)
        except (OperationalError, InterfaceError) as error:
            log.warning("the database is away: %s", one_line(error))
            connection.close()
            claimed = []
        if not claimed:
            time.sleep(Conf.POLL)
        readable = [
            (ack_id, package) for ack_id, package in claimed if self.unpack(ack_id, package)
        ]
        return readable or None

    def unpack(self, ack_id: tuple[int, int | None], package: str) -> dict[str, Any] | None:
        """The task in a claimed package. One that can't be read is given up, and is None.

        (It would come again for ever: django-q2's pusher survives a wrong signature and
        dies of anything else.) The signature is checked before anything is unpickled.
        """
        try:
            task: dict[str, Any] = SignedPackage.loads(package)
        except Exception as error:  # whatever a pickle may raise
            self.give_up(ack_id, error)
            return None
        return task

    def claim(self, limit: int) -> list[tuple[tuple[int, int | None], str]]:
        """Lease up to `limit` tasks that nobody holds, oldest first; no two claims get the same."""
        waiting = self.get_connection().filter(key=self.list_key, lock__lte=Now()).order_by("pk")
        if not waiting.exists():  # so that an idle node takes no write lock
            return []
        with transaction.atomic():
            rows = list(waiting.select_for_update(skip_locked=True)[:limit])
            ids = [row.pk for row in rows]
            OrmQ.objects.filter(pk__in=ids).update(lock=lease())
            jobs = Job.objects.filter(queue_id__in=ids).unsettled()
            jobs.update(
                state=JobState.QUEUED,
                delivery=F("delivery") + 1,
                node=self.node,
                worker=os.getpid() if self.node else None,
            )
            deliveries = dict(jobs.values_list("queue_id", "delivery"))
        return [((row.pk, deliveries.get(row.pk)), row.payload) for row in rows]

    def renew(self, queue_ids: list[int]) -> None:
        """Renew the leases of what this node's workers run, where it still is theirs."""
        held = Job.objects.filter(node=self.node, queue_id__in=queue_ids).unsettled()
        OrmQ.objects.filter(pk__in=held.values("queue_id")).update(lock=lease())

    def delete(self, ack_id: tuple[int, int | None] | int) -> None:
        super().delete(ack_id[0] if isinstance(ack_id, tuple) else ack_id)

    def fail(self, ack_id: tuple[int, int | None]) -> None:
        self.give_up(ack_id, BadSignature("it was signed with another SECRET_KEY"))

    def give_up(self, ack_id: tuple[int, int | None], error: Exception) -> None:
        """Take a package that can't be read out of the queue; its job has failed."""
        with transaction.atomic():
            job = Job.objects.filter(queue_id=ack_id[0]).unsettled().first()
            if job is not None:
                job.fail(f"the queued task can't be read: {one_line(error)}", type(error).__name__)
            self.delete(ack_id)

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
        Node.objects.update_or_create(
            pk=stat.cluster_id.hex,
            defaults={
                "name": humanize(stat.cluster_id.hex),
                "host": stat.host,
                "pid": stat.pid,
                "workers": len(stat.workers),
                "restarts": stat.reincarnations,
                "started_at": stat.tob,
                "seen_at": Now(),
                "stopped_at": Now() if stat.status == Conf.STOPPED else None,
                "stat": value,
            },
        )
        self._written = (now, status)

    def get_stat(self, key: str) -> str | None:
        return Node.objects.alive().filter(pk=node_id(key)).values_list("stat", flat=True).first()

    def get_stats(self, pattern: str) -> list[str]:
        return list(Node.objects.alive().values_list("stat", flat=True))


def is_of(signed: str, task: dict[str, Any]) -> bool:
    try:
        return bool(SignedPackage.loads(signed)["id"] == task["id"])
    except Exception:  # no package of django-q2's at all
        return False


def node_id(key: str) -> str:
    """The node's id in a statistic's key, "django_q:<prefix>:cluster:<uuid>"."""
    return key.rpartition(":")[2].replace("-", "")
