from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from django_q.tasks import async_task

from compute.queue.engines import engine
from compute.queue.engines.postgres import listening
from compute.queue.fanout import async_iter
from compute.queue.models import Job

ADD = "tests.queue.functions.add"
QUEUEING: dict[str, Callable[[], object]] = {
    "a task": lambda: async_task(ADD, 1),
    "a fan-out": lambda: async_iter(ADD, [1, 2]),
    "a retry": lambda: Job.objects.filter(state=Job.State.FAILED).retry(),
    "giving back": lambda: Job.objects.all().give_back(),
}


def until_quiet(heard: queue.Queue[float]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            heard.get(timeout=0.3)


@pytest.fixture
def commits(transactional_db: None) -> Iterator[queue.Queue[float]]:
    """What the tests' database tells a thread of its own, which has its own connection."""
    heard: queue.Queue[float] = queue.Queue()
    ready, end = threading.Event(), threading.Event()

    def listen() -> None:
        try:
            for _ in engine().commits():
                ready.set()
                heard.put(time.monotonic())
                if end.is_set():
                    break
        finally:
            connection.close()

    thread = threading.Thread(target=listen)
    thread.start()
    ready.wait(10)
    until_quiet(heard)  # what came with its start
    yield heard
    end.set()
    async_task(ADD, "the end")
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.thorough
@pytest.mark.parametrize("what", QUEUEING)
def test_a_commit_that_queues_is_heard_long_before_a_poll(
    commits: queue.Queue[float], what: str
) -> None:
    Job.objects.filter(pk=async_task(ADD, 0)).update(state=Job.State.FAILED, payload="x")
    async_task(ADD, 0)
    commits.get(timeout=5)
    until_quiet(commits)
    began = time.monotonic()
    QUEUEING[what]()
    assert commits.get(timeout=5) - began < listening.PATIENCE_S
