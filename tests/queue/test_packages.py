from __future__ import annotations

import pytest
from django_q.brokers import get_broker
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task

from compute.queue import packages
from compute.queue.engines import FREE
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from tests.queue import functions
from tests.queue.conftest import the_job

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
def test_what_no_worker_could_read_is_refused_at_the_call(db, queue):
    with pytest.raises(TypeError, match="a worker could not read this task: ValueError"):
        queue()
    assert not OrmQ.objects.exists()
    assert not Job.objects.exists()


def test_what_cannot_be_read_and_has_no_job_is_listed_as_failed(node):
    """Queued by somebody who asks less."""
    task = {"id": "x" * 32, "name": "a task", "func": ADD, "args": (functions.WriteOnly(),)}
    OrmQ.objects.create(key="sumsite", payload=packages.write({**task, "kwargs": {}}), lock=FREE)
    assert [node.broker.unpack(*each) for each in node.broker.claim(1)] == [None]
    failure = Failure.objects.get()
    assert failure.result.startswith("the queued task can't be read: ValueError")
    assert not OrmQ.objects.exists()


def test_a_package_of_anyone_is_queued_and_has_no_job(db):
    get_broker().enqueue(
        packages.write({"id": "x", "name": "n", "func": ADD, "args": (), "kwargs": {}})
    )
    assert OrmQ.objects.count() == 1
    assert not Job.objects.exists()


@pytest.mark.parametrize("value", [None, [1], {"id": 1}, {"id": 1, "name": "", "func": "f"}])
def test_what_is_no_task_is_said_so(value):
    with pytest.raises(TypeError, match="not the shape of a task"):
        packages.read(packages.write(value))


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        *(("timeout", value, "timeout is ") for value in (None, "5", 0, -2, 2**31, 1e12, True)),
        ("timeout", float("nan"), "timeout is nan"),
        ("group", "caf\udce9", "a character that no database stores"),
        ("group", "a\0b", "a character that no database stores"),
        ("hook", "a\0b", "a character that no database stores"),
        ("cluster", "a\0b", "a character that no database stores"),
        ("group", "g" * 101, "group has over 100 characters"),
        ("hook", "h" * 257, "hook has over 256 characters"),
    ],
)
def test_options_that_cannot_work_are_refused_at_the_call(db, option, value, why):
    for call in (
        lambda: async_task(ADD, 1, **{option: value}),
        lambda: async_task(ADD, 1, q_options={option: value}),
        lambda: async_task(ADD, 1, sync=True, **{option: value}),
    ):
        with pytest.raises(ValueError, match=why):
            call()
    assert not OrmQ.objects.exists()
    assert not Job.objects.exists()


def test_a_name_is_a_text(db):
    with pytest.raises(TypeError, match="task_name is no text: 7"):
        async_task(ADD, 1, task_name=7)


@pytest.mark.parametrize("timeout", [0.5, 1, 2**31 - 1, -1])
def test_other_limits_are_taken(node, timeout):
    async_task(ADD, 1, timeout=timeout)
    node.run()
    assert the_job().state == JobState.DONE


def test_a_hook_is_called_where_no_record_is_kept(node, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        async_task(ADD, 1, 2, task_name="sum", save=False, hook="tests.queue.functions.note")
        node.run()
    assert functions.User.objects.get().username == "sum: True, 3"


def test_a_hook_is_called_by_a_task_of_its_own_where_no_worker_can(node):
    task_id = async_task(ADD, 1, task_name="sum", hook="tests.queue.functions.note")
    the_job().fail("its worker died", "WorkerDied")
    node.run()
    assert functions.User.objects.get().username == "sum: False, its worker died"
    hook = Job.objects.exclude(pk=task_id).get()
    assert (hook.name, hook.state) == ("hook of sum", JobState.DONE)


def test_a_hook_whose_record_is_gone_is_not_called(node):
    async_task(ADD, 1, hook="tests.queue.functions.note")
    the_job().fail("its worker died", "WorkerDied")
    Failure.objects.all().delete()
    node.run()
    assert not functions.User.objects.exists()
