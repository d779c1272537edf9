"""Jobs whose packages are gone, as after a while with django-q2's own cluster."""

from __future__ import annotations

from typing import Any

import pytest
from django_q.models import Failure, OrmQ, Success, Task
from django_q.tasks import async_task

from compute.queue import orphans
from compute.queue.fanout import async_iter, results
from compute.queue.models import Job, JobState
from compute.queue.signals import groups_changed
from tests.queue import functions
from tests.queue.conftest import LocalNode, the_job

ADD = "tests.queue.functions.add"
QUEUE = "sumsite"


def run_by_another(**outcomes: Any) -> None:
    """All that is queued is run by a cluster that knows no jobs; what each name comes to."""
    for package in OrmQ.objects.order_by("pk"):
        task = package.task
        result = outcomes[task["name"]]
        Task.objects.create(
            id=task["id"],
            name=task["name"],
            func=str(task["func"]),
            args=task["args"],
            kwargs=task["kwargs"],
            started=task["started"],
            stopped=task["started"],
            success=not isinstance(result, Exception),
            result=str(result) if isinstance(result, Exception) else result,
        )
        package.delete()


def test_nothing_is_an_orphan_while_it_waits_or_runs(node: LocalNode) -> None:
    async_task(ADD, 1)
    async_task(ADD, 2)
    node.claim()
    assert orphans.settle(QUEUE) is False
    assert Job.objects.unsettled().count() == 2


def test_what_another_cluster_has_run_counts(node: LocalNode) -> None:
    heard = []

    def hear(sender: Any, groups: set[str], **kwargs: Any) -> None:
        heard.append(groups)

    group = async_iter(ADD, [1, 2], task_name="sum")
    run_by_another(**{"sum, chunk 1 of 2": 10, "sum, chunk 2 of 2": ["a", "list"]})
    groups_changed.connect(hear)
    try:
        assert orphans.settle(QUEUE) is False
    finally:
        groups_changed.disconnect(hear)
    assert results(group) == [10, ["a", "list"]]
    assert heard == [{group}, {group}]
    assert Success.objects.count() == 2
    assert orphans.settle(QUEUE) is False


def test_what_failed_there_can_be_retried_here(node: LocalNode) -> None:
    async_task(functions.add, 1, b=2, task_name="unlucky", hook="tests.queue.functions.hook")
    run_by_another(unlucky=ValueError("no luck"))
    Task.objects.update(hook="tests.queue.functions.hook")
    assert orphans.settle(QUEUE) is False
    job = the_job()
    assert (job.state, "its record has the traceback" in job.error) == (JobState.FAILED, True)
    assert Failure.objects.get().result == "no luck", "the record is what it was"
    assert job.retry()
    assert OrmQ.objects.get().task["hook"] == "tests.queue.functions.hook"
    node.run()
    assert (the_job().state, the_job().result) == (JobState.DONE, 3)


def test_what_nobody_has_run_has_failed(node: LocalNode) -> None:
    async_task(ADD, 1)
    OrmQ.objects.all().delete()
    assert orphans.settle(QUEUE) is False
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, "PackageGone")
    assert "its package is gone" in Failure.objects.get().result


def test_a_task_that_runs_in_a_request_has_no_package(db: None) -> None:
    Job.objects.create(
        task_id="a" * 32, group="a" * 32, queue=QUEUE, name="n", queued_at="2026-01-01T00:00Z"
    )
    assert orphans.settle(QUEUE) is False


def test_one_that_is_claimed_for_nothing_has_its_outcome_the_next_time(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("run", "gone"):
        async_task(ADD, 1, task_name=name)
    OrmQ.objects.filter(pk=Job.objects.get(name="gone").queue_id).delete()
    run_by_another(run=1)
    with monkeypatch.context() as between:
        between.setattr("compute.queue.transitions.settle", lambda *args, **kwargs: False)
        assert orphans.settle(QUEUE) is True
    assert Job.objects.unsettled().count() == 2
    assert orphans.settle(QUEUE) is False
    assert not Job.objects.unsettled().exists()


def test_so_many_in_one_look(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "MOST", 2)
    for _ in range(3):
        async_task(ADD, 1)
    OrmQ.objects.all().delete()
    assert [orphans.settle(QUEUE) for _ in range(2)] == [True, False]
    assert not Job.objects.unsettled().exists()
