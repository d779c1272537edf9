"""A node whose parts are called one at a time, in the tests' own process."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Value
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db.models.functions import Now
from django.dispatch import Signal
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from django_q.worker import worker

from compute.queue.broker import DatabaseBroker
from compute.queue.models import Job, Node
from compute.queue.monitor import report
from tests import recipes
from tests.queue import functions

Task = dict[str, Any]


class LocalNode:
    """Pusher, worker and monitor, a step at a time."""

    def __init__(self, row: Node) -> None:
        self.row = row
        self.broker: DatabaseBroker = get_broker()
        self.broker.node = row.pk

    def claim(self, limit: int = 1) -> list[Task]:
        """As the pusher hands tasks to the workers."""
        claimed = self.broker.claim(limit)
        return [{**SignedPackage.loads(package), "ack_id": ack} for ack, package in claimed]

    def claim_one(self) -> Task:
        (task,) = self.claim()
        return task

    def work(self, task: Task) -> Task:
        """django-q2's own worker, on one task; the task with its result."""
        tasks: Queue[Any] = Queue()
        results: Queue[Task] = Queue()
        tasks.put(task)
        tasks.put("STOP")
        worker(tasks, results, Value("f", -1), -1)
        return results.get_nowait()

    def run(self) -> list[Task]:
        """All that is queued, one after the other, to the end."""
        ended = []
        while tasks := self.claim():
            ended += [self.work(task) for task in tasks]
            report(ended[-1:], self.broker)
        return ended


@pytest.fixture(autouse=True)
def nothing_has_run() -> None:
    functions.ran.clear()
    functions.interruption.clear()


@pytest.fixture(autouse=True)
def the_tests_connection_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers and monitors close old connections; in here they share the test's own."""
    for module in ("django_q.worker", "django_q.monitor", "compute.queue.monitor"):
        monkeypatch.setattr(f"{module}.close_old_django_connections", lambda: None)


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def node(db: None) -> LocalNode:
    return LocalNode(recipes.node.make())


@pytest.fixture
def other_node(db: None) -> LocalNode:
    return LocalNode(recipes.node.make())


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses the queue made, none of which takes any time."""
    made: list[float] = []
    monkeypatch.setattr("compute.queue.call.time.sleep", made.append)
    return made


@contextmanager
def received(signal: Signal) -> Iterator[list[dict[str, Any]]]:
    """What is sent by a signal meanwhile; `savepoints` tells in how many transactions."""
    sent: list[dict[str, Any]] = []

    def receiver(sender: Any, **kwargs: Any) -> None:
        sent.append({**kwargs, "savepoints": len(transaction.get_connection().savepoint_ids)})

    signal.connect(receiver)
    try:
        yield sent
    finally:
        signal.disconnect(receiver)


def failing(times: int, function: Callable[..., Any], error: Exception | None = None) -> Any:
    """`function`, in front of which the database is away for so many calls."""
    left = [error or OperationalError("the server\nis gone")] * times

    def attempt(*args: Any, **kwargs: Any) -> Any:
        if left:
            raise left.pop()
        return function(*args, **kwargs)

    return attempt


def expire_leases() -> None:
    OrmQ.objects.update(lock=Now())


def leases() -> list[float]:
    """The seconds that each queued task is still leased for, oldest first; under 0 if free."""
    ends = OrmQ.objects.order_by("pk").values_list("lock", flat=True)
    return [(end - timezone.now()).total_seconds() for end in ends]


def the_job() -> Job:
    return Job.objects.get()


def sentinel(node: LocalNode, status: Any = Conf.IDLE, **differing: Any) -> Any:
    """What django-q2's statistics want to know of a sentinel."""
    queue = SimpleNamespace(qsize=lambda: 0)
    process = SimpleNamespace(pid=2)
    return SimpleNamespace(
        **{
            "pid": 1,
            "parent_pid": 1,
            "cluster_id": uuid.UUID(node.row.pk),
            "broker": node.broker,
            "tob": timezone.now(),
            "reincarnations": 0,
            "status": lambda: status,
            "result_queue": queue,
            "task_queue": queue,
            "monitor": process,
            "pusher": process,
            "pool": [process] * 3,
            **differing,
        }
    )
