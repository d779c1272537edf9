"""The backends with which the framework's own tests are run: ours, with what those tests ask of
the ones that they were written for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from asgiref.sync import AsyncToSync
from django.db import connections
from django_q.conf import Conf
from django_q.models import OrmQ

from compute.queue import packages, transitions
from compute.queue.backend import QueueBackend
from compute.queue.models import Job
from compute.queue.node.attempt import Attempt
from compute.queue.node.board import Board
from compute.queue.node.reporter import report


def outside_of_loops(ask: Callable[..., Any], *args: Any) -> Any:
    """Some of these tests ask a backend within a coroutine, which Django's ORM refuses."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ask(*args)

    def in_thread() -> Any:
        try:
            return ask(*args)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(in_thread).result()


@contextmanager
def within_no_coroutine() -> Iterator[None]:
    """Forget that a coroutine of a test has called this, for a node is called by none."""
    executors: Any = AsyncToSync.executors
    current = getattr(executors, "current", None)
    if current is not None:
        del executors.current
    try:
        yield
    finally:
        if current is not None:
            executors.current = current


class Stored(QueueBackend):
    """In the place of the dummy: nothing runs."""

    def get_result(self, result_id: str) -> Any:
        return outside_of_loops(super().get_result, result_id)

    @property
    def results(self) -> list[Any]:
        return list(map(self.get_result, outside_of_loops(ids)))

    def clear(self) -> None:
        Job.objects.all().delete()
        OrmQ.objects.all().delete()


def ids() -> list[str]:
    return list(Job.objects.order_by("queued_at").values_list("pk", flat=True))


class Here(QueueBackend):
    """In the place of the immediate one: what is enqueued has run, as a node would do it."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        result = super().enqueue(task, args, kwargs)
        slot = Board(workers=1).slots[0]
        with within_no_coroutine():
            for lease, package in transitions.claim(Conf.CLUSTER_NAME, 1, None):
                taken = {**packages.read(package), "ack_id": lease}
                if Attempt(lease, taken, slot).run():
                    report([taken])
        return self.get_result(result.id)
