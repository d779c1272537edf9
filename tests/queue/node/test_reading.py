"""A package that can't be read here is left to nodes that can, or given up; none blocks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from django.db.models.functions import Now
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Failure, OrmQ
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from compute.queue import packages, transitions
from compute.queue.engines import UP
from compute.queue.models import Job, JobState
from compute.queue.node import reading
from compute.queue.node.reading import FOREIGN_LIMIT, FOREIGN_LOG_S, FOREIGN_PAUSE, read
from compute.queue.signals import groups_changed
from compute.queue.transitions import UNKNOWN_PAUSE, UNKNOWN_TRIES
from tests.queue import functions
from tests.queue.conftest import LocalNode, leases, received, the_job

ADD = "tests.queue.functions.add"


def read_next(node: LocalNode) -> dict[str, Any] | None:
    """What a worker of the node finds in the oldest package; None if nothing is to be run."""
    claimed = transitions.claim(Conf.CLUSTER_NAME, 1, node.row.pk)
    tasks = [read(lease, package) for lease, package in claimed]
    return tasks[0] if tasks else None


def test_what_is_queued_is_read(node: LocalNode) -> None:
    task_id = async_task(ADD, 1)
    task = read_next(node)
    assert task
    assert (task["id"], task["args"]) == (task_id, (1,))
    assert read_next(node) is None


# --- given up -----------------------------------------------------------------------------


@pytest.fixture
def unreadable(db: None) -> str:
    """The package that was there before it was spoiled."""
    async_task(ADD, 1)
    package: str = OrmQ.objects.get().payload
    OrmQ.objects.update(payload="signed by nobody")
    return package


@pytest.mark.usefixtures("unreadable")
def test_an_unreadable_package_fails_its_job(node: LocalNode) -> None:
    with received(groups_changed) as changes:
        assert read_next(node) is None
    job = the_job()
    assert (job.state, job.error_class) == (JobState.FAILED, "BadSignature")
    assert job.error == "the queued task can't be read: BadSignature: it is not signed"
    assert job.finished_at
    assert not OrmQ.objects.exists()
    assert Failure.objects.get().pk == job.pk
    assert [change["groups"] for change in changes] == [{job.group}]


def test_an_unreadable_package_can_be_retried_once_it_can_be_read(
    node: LocalNode, unreadable: str
) -> None:
    read_next(node)
    assert the_job().payload == "signed by nobody"
    assert the_job().retry()
    OrmQ.objects.update(payload=unreadable)
    node.run()
    assert the_job().state == JobState.DONE


def test_an_unreadable_package_without_a_job_is_listed_as_failed(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    queue_id = get_broker().enqueue("signed by nobody")
    assert read_next(node) is None
    assert not OrmQ.objects.exists()
    failure = Failure.objects.get()
    why = "the queued task can't be read: BadSignature: it is not signed"
    assert (failure.name, failure.result) == (f"package {queue_id}", why)
    assert f"failed: package {queue_id}: {why}" in caplog.text


@pytest.mark.usefixtures("unreadable")
def test_a_settled_job_is_not_failed_by_its_package(node: LocalNode) -> None:
    Job.objects.update(state=JobState.CANCELLED)
    transitions.look_for_strays("sumsite")
    assert read_next(node) is None
    assert (the_job().state, the_job().error) == (JobState.CANCELLED, "")
    assert not OrmQ.objects.exists()
    assert not Failure.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda task: [task],
        lambda task: None,
        lambda task: {key: value for key, value in task.items() if key != "func"},
        lambda task: {**task, "args": 7},
        lambda task: {**task, "kwargs": ["a"]},
    ],
)
def test_a_package_of_no_known_shape_fails_with_the_reason(
    node: LocalNode, change: Callable[[dict[str, Any]], Any]
) -> None:
    async_task(ADD, 1)
    task = SignedPackage.loads(OrmQ.objects.get().payload)
    OrmQ.objects.update(payload=SignedPackage.dumps(change(task)))
    assert read_next(node) is None
    assert (the_job().state, the_job().error) == (
        JobState.FAILED,
        "the queued task can't be read: TypeError: it has not the shape of a task",
    )
    assert not OrmQ.objects.exists()


def test_what_a_package_holds_beyond_that_is_let_be(node: LocalNode) -> None:
    async_task(ADD, 1, b=2)
    task = SignedPackage.loads(OrmQ.objects.get().payload)
    OrmQ.objects.update(payload=SignedPackage.dumps({**task, "colour": "green"}))
    node.run()
    assert (the_job().state, the_job().result) == (JobState.DONE, 3)


# --- left to nodes of other code ----------------------------------------------------------


@pytest.fixture
def of_other_code(db: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """A task whose class was deployed away between queueing and running; its id."""
    module: Any = ModuleType("deployed_away")
    module.Thing = type("Thing", (), {"__module__": "deployed_away"})
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "deployed_away", module)
        return str(async_task(functions.give, module.Thing()))


def test_a_package_whose_class_is_gone_does_not_block_the_queue(
    node: LocalNode, of_other_code: str
) -> None:
    good = async_task(ADD, 1)
    assert read_next(node) is None
    task = read_next(node)
    assert task
    assert task["id"] == good
    left = Job.objects.get(pk=of_other_code)
    assert (left.state, left.node) == (JobState.QUEUED, None), "a newer node may know it"
    assert 0 < leases()[0] <= UNKNOWN_PAUSE.total_seconds()


@pytest.mark.parametrize(
    ("starts", "state"),
    [(UNKNOWN_TRIES - 2, JobState.QUEUED), (UNKNOWN_TRIES - 1, JobState.FAILED)],
)
def test_a_class_that_no_node_knows_fails_after_so_many_tries(
    node: LocalNode, of_other_code: str, starts: int, state: JobState
) -> None:
    Job.objects.update(starts=starts, attempt=1000)  # of which most were before a retry
    assert read_next(node) is None
    job = Job.objects.get(pk=of_other_code)
    assert job.state == state
    if state == JobState.FAILED:
        assert "the queued task can't be read: ModuleNotFoundError" in job.error
    assert OrmQ.objects.exists() == (state == JobState.QUEUED)


# --- left to nodes with another key -------------------------------------------------------


@pytest.fixture
def foreign(db: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """A task that was signed with another key; its id."""
    monkeypatch.setattr(reading, "_said", reading._said - 2 * FOREIGN_LOG_S)
    task_id = async_task(ADD, 1)
    with monkeypatch.context() as context:
        context.setattr(Conf, "SECRET_KEY", "another key")
        OrmQ.objects.update(payload=packages.write({"id": task_id}))
    return str(task_id)


@pytest.mark.usefixtures("foreign")
def test_a_foreign_package_is_left_for_a_moment_and_no_start_is_counted(node: LocalNode) -> None:
    for delivery in (2, 4):
        assert read_next(node) is None
        job = the_job()
        assert (job.state, job.attempt, job.starts) == (JobState.QUEUED, 0, 0)
        assert job.delivery == delivery
        assert 0 < leases()[0] <= FOREIGN_PAUSE.total_seconds()
        OrmQ.objects.update(lock=UP)


@pytest.mark.usefixtures("foreign")
def test_a_foreign_package_that_was_taken_over_meanwhile_is_left_all_the_same(
    node: LocalNode,
) -> None:
    ((lease, package),) = transitions.claim(Conf.CLUSTER_NAME, 1, node.row.pk)
    Job.objects.update(delivery=7)
    assert read(lease, package) is None
    assert the_job().delivery == 7
    assert 0 < leases()[0] <= FOREIGN_PAUSE.total_seconds()


@pytest.mark.usefixtures("foreign")
def test_a_foreign_package_is_given_up_after_a_day(node: LocalNode) -> None:
    Job.objects.update(queued_at=Now() - FOREIGN_LIMIT - FOREIGN_PAUSE)
    assert read_next(node) is None
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, "ForeignError")
    assert not OrmQ.objects.exists()


@pytest.mark.usefixtures("foreign")
def test_a_foreign_package_of_a_settled_job_is_removed(node: LocalNode) -> None:
    Job.objects.update(state=JobState.CANCELLED)
    transitions.look_for_strays("sumsite")
    assert read_next(node) is None
    assert the_job().state == JobState.CANCELLED
    assert not OrmQ.objects.exists()


@pytest.mark.usefixtures("foreign")
def test_foreign_packages_are_told_of_once_a_minute(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert read_next(node) is None
        OrmQ.objects.update(lock=UP)
    assert caplog.text.count("was signed with another SECRET_KEY") == 1
    monkeypatch.setattr(reading, "_said", reading._said - FOREIGN_LOG_S)
    read_next(node)
    assert caplog.text.count("was signed with another SECRET_KEY") == 2
