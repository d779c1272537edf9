"""A node whose parts are called one at a time, in the tests' own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from django_q.tasks import async_task
from pytest_django import Settings

from compute.queue import logs, packages, transitions
from compute.queue.engines.postgres import places
from compute.queue.models import Job, JobState, Node
from compute.queue.node.attempt import Attempt
from compute.queue.node.board import Board
from compute.queue.node.channels import Bell, Reports
from compute.queue.node.reading import admitted
from compute.queue.node.reporter import report
from compute.queue.node.worker import Worker
from tests import recipes
from tests.queue import functions

Task = dict[str, Any]


class LocalNode:
    """A node's worker and reporter, a step at a time."""

    def __init__(self, row: Node) -> None:
        self.row = row
        self.board = Board(workers=1)
        self.bell, self.reports = Bell(), Reports()
        self.worker = Worker(row.pk, self.board, 0, self.bell, self.reports)

    def close(self) -> None:
        self.bell.close()
        self.reports.close()

    def claim(self, limit: int = 1) -> list[Task]:
        """What the worker would run next, each with its lease as `ack_id`."""
        claimed = transitions.claim(Conf.CLUSTER_NAME, limit, self.row.pk)
        tasks = []
        for lease, package in claimed:
            task = packages.read(package)
            tasks.append({**task, "ack_id": admitted(lease, task, self.row.pk)})
        return tasks

    def claim_one(self) -> Task:
        (task,) = self.claim()
        return task

    def work(self, task: Task, claim_ahead: Callable[[], None] | None = None) -> Task:
        """Run one task that was claimed; the task with its result."""
        Attempt(task["ack_id"], task, self.board.slots[0], claim_ahead).run()
        return task

    def run(self) -> list[Task]:
        """All that is queued, one after the other, to the end."""
        ended = []
        while tasks := self.claim():
            for task in tasks:
                attempt = Attempt(task["ack_id"], task, self.board.slots[0])
                if attempt.run():
                    report([task])
                ended.append(task)
        return ended


@pytest.fixture(autouse=True)
def nothing_has_run() -> None:
    logs._warned.clear()
    functions.ran.clear()
    functions.interruption.clear()


@pytest.fixture(autouse=True)
def the_tests_connection_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers and monitors close old connections; in here they share the test's own."""
    ours = [f"compute.queue.node.{name}" for name in ("worker", "reporter", "scheduler")]
    for module in ("django_q.worker", "django_q.monitor", *ours):
        monkeypatch.setattr(f"{module}.close_old_django_connections", lambda: None)


@pytest.fixture(autouse=True)
def no_claim_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine they would ask for their places, too."""
    monkeypatch.setattr(places, "LONG_S", 60)


@pytest.fixture(autouse=True)
def quick_passwords(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def make_node(db: None) -> Iterator[Callable[[], LocalNode]]:
    """Makes nodes, and closes their channels."""
    nodes: list[LocalNode] = []

    def make() -> LocalNode:
        nodes.append(LocalNode(recipes.node.make()))
        return nodes[-1]

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def node(make_node: Callable[[], LocalNode]) -> LocalNode:
    return make_node()


@pytest.fixture
def other_node(make_node: Callable[[], LocalNode]) -> LocalNode:
    return make_node()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses the queue made, none of which takes any time."""
    made: list[float] = []
    monkeypatch.setattr("compute.queue.away.time.sleep", made.append)
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


def queue_past_us(func: Any, *args: Any, **options: Any) -> int:
    """Queue a task as a program would that knows nothing of our `pre_enqueue`."""
    task = {"id": "a" * 32, "name": "foreign", "func": func, "args": args, "kwargs": {}}
    package = {**task, "started": timezone.now(), **options}
    return int(get_broker().enqueue(SignedPackage.dumps(package)))


def expire_leases() -> None:
    OrmQ.objects.update(lock=Now())


def leases() -> list[float]:
    """The seconds that each queued task is still leased for, oldest first; under 0 if free."""
    ends = OrmQ.objects.order_by("pk").values_list("lock", flat=True)
    return [(end - timezone.now()).total_seconds() for end in ends]


def the_id(job: Job) -> int:
    """Of its package."""
    assert job.queue_id
    return job.queue_id


def the_job() -> Job:
    return Job.objects.get()


def a_running(node: LocalNode, **fields: Any) -> Task:
    async_task("tests.queue.functions.add", 1)
    task = node.claim_one()
    Job.objects.update(state=JobState.RUNNING, attempt=1, worker=7, **fields)
    return task
