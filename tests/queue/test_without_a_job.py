"""Tasks that a program has queued past us: they come without a job."""

from __future__ import annotations

import pytest
from django_q.conf import Conf
from django_q.models import Failure, OrmQ, Success
from pytest_django import DjangoCaptureOnCommitCallbacks

from compute.queue import packages, transitions
from compute.queue.models import Job, JobState
from compute.queue.node.reading import admitted
from tests.queue import functions
from tests.queue.conftest import LocalNode, expire_leases, queue_past_us, the_job

ADD = "tests.queue.functions.add"


def test_a_task_without_a_job_is_run_and_recorded(node: LocalNode) -> None:
    queue_past_us(ADD, 1, 2)
    node.run()
    assert functions.ran == [(1, 2)]
    record = Success.objects.get()
    assert (record.pk, record.name, record.func) == ("a" * 32, "foreign", ADD)
    assert (record.args, record.result, record.attempt_count) == ((1, 2), 3, 1)
    assert not OrmQ.objects.exists()
    job = the_job()
    assert (job.pk, job.state, job.result, job.node_id) == ("a" * 32, JobState.DONE, 3, node.row.pk)


def test_a_failure_without_a_job_is_recorded(node: LocalNode) -> None:
    queue_past_us(functions.fail)
    node.run()
    assert "no luck" in Failure.objects.get().result
    assert not OrmQ.objects.exists()
    assert the_job().retry(), "as any other"


def test_a_function_that_is_gone_fails_without_a_job_too(node: LocalNode) -> None:
    queue_past_us("tests.queue.functions.gone")
    node.run()
    assert "functions.gone is not defined" in Failure.objects.get().result
    assert not OrmQ.objects.exists()


@pytest.mark.parametrize("save", [True, False])
def test_of_two_deliveries_without_a_job_one_counts(
    node: LocalNode,
    other_node: LocalNode,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    caplog: pytest.LogCaptureFixture,
    save: bool,
) -> None:
    queue_past_us(
        functions.give, 1, hook="tests.queue.functions.hook", chain=[(ADD, (2,))], save=save
    )
    late = node.claim_one()
    expire_leases()
    with django_capture_on_commit_callbacks(execute=True):
        other_node.work(other_node.claim_one())
        node.work(late)
    assert functions.ran == [1, 1, ("hook", "a" * 32, True)]
    assert "foreign: its lease was lost, the outcome is dropped" in caplog.text
    assert Success.objects.count() == save
    other_node.run()
    assert Job.objects.filter(name="add(2)").count() == 1, "the chain went on once"
    assert functions.ran[3:] == [(2, 0)]


def test_a_package_that_comes_again_runs_nothing(node: LocalNode) -> None:
    queue_past_us(functions.give, 1)
    node.run()
    queue_past_us(functions.give, 2)
    node.run()
    assert functions.ran == [1]
    assert not OrmQ.objects.exists()


def test_of_two_workers_that_find_no_job_one_has_it(node: LocalNode, other_node: LocalNode) -> None:
    """The lease of the first ended before it had read the package."""
    queue_past_us(functions.give, 1)
    ((early, package),) = transitions.claim(Conf.CLUSTER_NAME, 1, node.row.pk)
    expire_leases()
    task = other_node.claim_one()
    assert admitted(early, packages.read(package), node.row.pk) is None
    other_node.work(task)
    assert functions.ran == [1]
    assert the_job().node_id == other_node.row.pk


def test_a_task_that_kills_its_worker_again_and_again_fails_without_a_job_too(
    node: LocalNode,
) -> None:
    queue_past_us(ADD, 1)
    for _ in range(3):
        node.claim_one()
        Job.objects.filter(node=node.row).bury("died")
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, "WorkerDied")
    assert not OrmQ.objects.exists()
