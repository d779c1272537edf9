from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django_q.brokers import get_broker
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task
from pytest_django import DjangoCaptureOnCommitCallbacks

from compute.queue import packages
from compute.queue.engines import UP
from compute.queue.fanout import async_iter
from compute.queue.models import Job
from tests.queue import functions
from tests.queue.conftest import LocalNode
from tests.queue.node.test_reading import read_next

ADD = "tests.queue.functions.add"


@pytest.mark.parametrize(
    "queue",
    [
        lambda: async_task(ADD, functions.WriteOnly()),
        lambda: async_task(ADD, 1, b=functions.WriteOnly()),
        lambda: async_iter(ADD, [functions.WriteOnly()]),
        lambda: async_iter(ADD, [1, 2, functions.WriteOnly()]),
        lambda: async_task(ADD, functions.WriteOnly(), sync=True),
        lambda: async_task(ADD, 1, chain=[(ADD, (functions.WriteOnly(),))]),
    ],
    ids=[
        "an argument",
        "a keyword",
        "a fan-out's first",
        "a fan-out's last",
        "in the request",
        "a chain's",
    ],
)
def test_what_no_worker_could_read_is_refused_at_the_call(
    db: None, queue: Callable[..., Any]
) -> None:
    with pytest.raises(TypeError, match="a worker could not read this task: ValueError"):
        queue()
    assert not OrmQ.objects.exists()
    assert not Job.objects.exists()


def test_what_cannot_be_read_and_has_no_job_is_listed_as_failed(node: LocalNode) -> None:
    """Queued by somebody who asks less."""
    task = {"id": "x" * 32, "name": "a task", "func": ADD, "args": (functions.WriteOnly(),)}
    OrmQ.objects.create(key="sumsite", payload=packages.write({**task, "kwargs": {}}), lock=UP)
    assert read_next(node) is None
    failure = Failure.objects.get()
    assert failure.result.startswith("the queued task can't be read: ValueError")
    assert not OrmQ.objects.exists()


def test_a_package_of_anyone_is_queued_and_has_no_job(db: None) -> None:
    get_broker().enqueue(
        packages.write({"id": "x", "name": "n", "func": ADD, "args": (), "kwargs": {}})
    )
    assert OrmQ.objects.count() == 1
    assert not Job.objects.exists()


@pytest.mark.parametrize("value", [None, [1], {"id": 1}, {"id": 1, "name": "", "func": "f"}])
def test_what_is_no_task_is_said_so(value: Any) -> None:
    with pytest.raises(TypeError, match="not the shape of a task"):
        packages.read(packages.write(value))


def test_a_hook_is_called_where_no_record_is_kept(
    node: LocalNode, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        async_task(ADD, 1, 2, task_name="sum", save=False, hook="tests.queue.functions.note")
        node.run()
    assert User.objects.get().username == "sum: True, 3"
