"""django-q2's door to the queue: a broker of its kind, and no cache."""

from __future__ import annotations

from typing import Any, cast

from django_q.brokers import get_broker
from django_q.brokers.orm import ORM

from . import packages
from .call import Call, label
from .engines import Lease, Share, engine
from .models import Job, JobState, Node
from .sharing import Priority
from .transitions import enter, enter_alone

NO_CACHE = (
    "django-q2 would keep this in a cache, where it can get lost. Results are rows here; call "
    "compute.queue.fanout.async_iter, with the same arguments."
)
OWN_NODE = (
    "The tasks of this queue are run by `manage.py qcluster`, which is a node of its own "
    "(compute.queue.node) and claims them by itself: nothing here hands them to a cluster."
)


class DatabaseBroker(ORM):
    """Takes what `async_task` queues, and answers what django-q2's commands and admin ask.

    Our node claims and settles tasks by itself, so what only django-q2's cluster would call
    raises an error that says so.
    """

    #: The flow of what is queued here; None for that of its function.
    share: Share | None = None

    @property
    def cache(self) -> Any:
        raise TypeError(NO_CACHE)

    @cache.setter
    def cache(self, value: None) -> None:
        """django-q2 sets what `get_cache` gives."""

    @staticmethod
    def get_cache() -> None:
        return None

    def enqueue(self, task: str) -> int:
        """Queue a signed package and its Job, both or neither; the queue id.

        TypeError for a task that no worker could read: with an argument, for one, that can
        be pickled and not unpickled. What this site has not signed has no Job.
        """
        read = packages.read_back(task)
        if read is None or not isinstance(read["func"], Call):
            return enter_alone(self.list_key, task)
        return enter(self.list_key, task, read, self.share_of(read))

    def share_of(self, task: dict[str, Any]) -> Share:
        """The flow of a task: one of its own as it was asked for, or else that of its function."""
        function = label(task["func"])
        if self.share is None:
            return Share(function, function)
        return filled(self.share, task["id"], function)

    def delete(self, ack_id: Lease | int) -> None:
        super().delete(ack_id.queue_id if isinstance(ack_id, Lease) else ack_id)

    def dequeue(self) -> None:
        raise NotImplementedError(OWN_NODE)

    def acknowledge(self, task_id: Any) -> None:
        raise NotImplementedError(OWN_NODE)

    def fail(self, task_id: Any) -> None:
        raise NotImplementedError(OWN_NODE)

    # --- statistics: rows of Node, where django-q2 wants a cache -----------------------

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        raise NotImplementedError(OWN_NODE)

    def get_stat(self, key: str) -> str | None:
        """By a statistic's key, "django_q:<prefix>:cluster:<uuid>"."""
        node = key.rpartition(":")[2].replace("-", "")
        return Node.objects.alive().filter(pk=node).values_list("stat", flat=True).first()

    def get_stats(self, pattern: str) -> list[str]:
        return list(Node.objects.alive().values_list("stat", flat=True))


def filled(share: Share, key: str, function: str) -> Share:
    """A share of which all is known: what it leaves open is of its task, or group, alone."""
    key = share.key or key
    pool = share.pool or key if share.at_once else ""
    return share._replace(key=key, client=share.client or function, pool=pool)


def sharing(
    client: str = "",
    *,
    priority: str = "normal",
    at_once: int | None = None,
    pool: str = "",
    key: str = "",
    kind: str = "",
    cluster: str | None = None,
) -> DatabaseBroker:
    """A broker for `async_task(…, broker=…)` and `async_iter`, whose tasks are a flow of their own.

    They count for `client`, by default their function. An "urgent" flow gets four times the worker
    seconds of a "normal" one, and a "background" one a quarter. At most `at_once` of them are at
    work at once, over all nodes, together with those of other flows that name the same `pool`. All
    flows of a `kind` can be paused together. What has the `key` of a flow that there is joins it.
    ValueError for another priority, and for less than one at once.
    """
    if at_once is not None and at_once < 1:
        raise ValueError(f"at_once is {at_once}; give 1 or more, or None for no limit")
    weight = Priority(priority).weight
    broker = get_broker(cluster)
    broker.share = Share(key, client, weight, at_once, pool, kind)
    return cast(DatabaseBroker, broker)


def set_apart(task_id: str, broker: DatabaseBroker) -> None:
    """Move a task that waits in the line of its function to the one that it would have been in,
    had this broker queued it: for code that just calls `async_task`. In its transaction."""
    waiting = Job.objects.filter(pk=task_id, state=JobState.QUEUED)
    for queue, client in waiting.values_list("queue", "flow__client"):
        share = filled(broker.share or Share("", ""), task_id, client or task_id)
        waiting.update(flow=engine().flow(queue, share))
