from __future__ import annotations

import queue
import threading
import time

import pytest
from django.db import connection
from django_q.tasks import async_task

from compute.queue.engines import engine
from compute.queue.engines.postgres import listening
from compute.queue.engines.sqlite import bell
from compute.queue.fanout import async_iter
from compute.queue.models import Job

ADD = "tests.queue.functions.add"
QUEUEING = {
    "a task": lambda: async_task(ADD, 1),
    "a fan-out": lambda: async_iter(ADD, [1, 2]),
    "a retry": lambda: Job.objects.get(pk=the_failed()).retry(),
    "giving back": lambda: Job.objects.all().give_back(),
}


def the_failed() -> str:
    task_id = async_task(ADD, 1)
    Job.objects.filter(pk=task_id).update(state=Job.State.FAILED, payload="x")
    return task_id


@pytest.fixture
def commits(transactional_db):
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
    while True:  # what came with its start
        try:
            heard.get(timeout=0.3)
        except queue.Empty:
            break
    yield heard
    end.set()
    async_task(ADD, "the end")
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("what", QUEUEING)
def test_a_commit_that_queues_is_heard_long_before_a_poll(commits, what):
    async_task(ADD, 0)
    commits.get(timeout=5)
    began = time.monotonic()
    QUEUEING[what]()
    assert commits.get(timeout=5) - began < listening.PATIENCE


@pytest.mark.sqlite
def test_where_the_kernel_tells_nothing_a_commit_is_heard_as_well(transactional_db, settings):
    settings.Q_PORTABLE = True
    commits = engine().commits()
    assert next(commits) is None  # what came before
    async_task(ADD, 1)
    assert next(commits) is None


@pytest.mark.postgres
def test_where_a_proxy_swallows_notifications_the_node_polls(transactional_db, monkeypatch):
    monkeypatch.setattr(listening, "echoes", lambda _: False)
    polls = engine().commits()
    assert [next(polls), next(polls)] == [None, None]
    polls.close()


def test_where_no_bell_can_be_rung_queueing_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setitem(connection.settings_dict, "NAME", tmp_path / "in-memory")
    bell.ring()
    assert not any(tmp_path.iterdir())
    (tmp_path / "in-memory").touch()
    (tmp_path / "in-memory-bell").symlink_to(tmp_path / "nowhere" / "at-all")
    bell.ring()
