"""Failed jobs, queued again by the thousand."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from compute.queue.signals import groups_changed
from tests import recipes
from tests.queue import functions
from tests.queue.conftest import LocalNode, received

#: Of chunks and failures, as the largest run has.
MANY = 10_000


def fail_all() -> None:
    """Have everything that is queued fail, in the database, where running it takes minutes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE queue_job SET state = 'failed', error = 'no luck', error_class = 'ValueError', "
            "finished_at = queued_at, "
            "payload = (SELECT payload FROM django_q_ormq WHERE id = queue_id)"
        )
        cursor.execute(
            'INSERT INTO django_q_task (id, name, func, "group", started, stopped, success, '
            "attempt_count) SELECT task_id, name, 'f', \"group\", queued_at, queued_at, %s, 1 "
            "FROM queue_job WHERE state = 'failed'",
            [False],
        )
    OrmQ.objects.all().delete()


@pytest.mark.thorough
def test_ten_thousand_failed_jobs_are_queued_again_in_few_statements(db: None) -> None:
    group = async_iter("math.sqrt", [-1] * MANY)
    fail_all()
    with CaptureQueriesContext(connection) as queries, received(groups_changed) as sent:
        assert Job.objects.in_group(group).retry() == MANY
    assert len(queries) < 15
    assert [(one["groups"], one["at_work"]) for one in sent] == [({group}, True)]
    assert not Failure.objects.exists()
    jobs = Job.objects.in_group(group).values_list("queue_id", "state", "payload", "error")
    assert list(jobs) == [
        (pk, "queued", "", "") for pk in OrmQ.objects.order_by("pk").values_list("pk", flat=True)
    ]


def test_each_job_gets_its_own_package_back(node: LocalNode) -> None:
    group = async_iter(functions.fail, ["a", "b", "c"])
    other = async_task(functions.fail)
    node.run()
    jobs = Job.objects.in_group(group)
    jobs.update(error="")
    assert jobs.retry() == 3
    node.run()
    assert [job.error for job in jobs.all()] == ["ValueError: a", "ValueError: b", "ValueError: c"]
    assert Job.objects.get(pk=other).attempt == 1


def test_packages_get_ids_that_none_had(node: LocalNode) -> None:
    async_task(functions.fail)
    ((last,),) = OrmQ.objects.values_list("pk")
    node.run()
    Job.objects.all().retry()
    assert OrmQ.objects.get().pk > last
    async_task(functions.fail)
    assert OrmQ.objects.count() == 2


def test_only_failed_jobs_are_queued_again(db: None) -> None:
    for state in JobState:
        recipes.job.make(state=state, payload="package", error=state)
    assert Job.objects.all().retry() == 1
    assert Job.objects.get(error="").state == JobState.QUEUED
    assert OrmQ.objects.get().payload == "package"
    assert Job.objects.all().retry() == 0


def test_a_queue_of_another_name_gets_its_jobs_back(db: None) -> None:
    recipes.job.make(state=JobState.FAILED, payload="package", queue="slow")
    Job.objects.all().retry()
    assert OrmQ.objects.get().key == "slow"


def test_each_batch_is_whole(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails in the middle leaves whole batches, and no job without its package."""
    monkeypatch.setattr(transitions.batched, "__defaults__", (2,))
    for position in range(5):
        recipes.job.make(group="mine", position=position, state=JobState.FAILED, payload="package")
    told: list[Any] = []

    def receiver(sender: Any, **kwargs: Any) -> None:
        told.append(kwargs["groups"])
        if len(told) == 2:
            raise LookupError("no run of that name")

    groups_changed.connect(receiver)
    try:
        with pytest.raises(LookupError):
            Job.objects.all().retry()
    finally:
        groups_changed.disconnect(receiver)
    assert Job.objects.counts()["queued"] == OrmQ.objects.count() == 2
    assert Job.objects.all().retry() == 3
    assert OrmQ.objects.count() == 5


@pytest.mark.thorough
def test_of_two_who_press_at_once_one_retries(transactional_db: None) -> None:
    async_iter("math.sqrt", [-1] * 500)
    fail_all()
    counts: list[int] = []

    def press() -> None:
        counts.append(Job.objects.all().retry())
        connections.close_all()

    people = [threading.Thread(target=press) for _ in range(3)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert sum(counts) == OrmQ.objects.count() == 500


@pytest.mark.thorough
def test_ten_thousand_jobs_are_cancelled_in_few_statements(db: None) -> None:
    group = async_iter("math.sqrt", [-1] * MANY)
    with CaptureQueriesContext(connection) as queries, received(groups_changed) as sent:
        assert Job.objects.in_group(group).cancel("cancelled by boss") == MANY
    assert len(queries) < 15
    assert [one["groups"] for one in sent] == [{group}]
    assert Job.objects.counts()["cancelled"] == MANY
    assert not OrmQ.objects.exists()


@pytest.mark.thorough
def test_ten_thousand_cancelled_jobs_go_on_in_few_statements(db: None) -> None:
    group = async_iter("math.sqrt", [-1] * MANY)
    payloads = list(OrmQ.objects.order_by("pk").values_list("payload", flat=True))
    Job.objects.in_group(group).cancel("cancelled by boss")
    with CaptureQueriesContext(connection) as queries, received(groups_changed) as sent:
        assert Job.objects.in_group(group).go_on() == MANY
    assert len(queries) < 15
    assert [(one["groups"], one["at_work"]) for one in sent] == [({group}, True)]
    assert list(OrmQ.objects.order_by("pk").values_list("payload", flat=True)) == payloads
    jobs = Job.objects.in_group(group).values_list("queue_id", "state", "payload", "error")
    assert list(jobs) == [
        (pk, "queued", "", "") for pk in OrmQ.objects.order_by("pk").values_list("pk", flat=True)
    ]


def test_only_cancelled_jobs_go_on_and_none_of_which_nothing_is_kept(db: None) -> None:
    for state in JobState:
        recipes.job.make(state=state, payload=state, error=state)
    recipes.job.make(state=JobState.CANCELLED, error="by older code")
    assert Job.objects.all().go_on() == 1
    assert Job.objects.get(error="").state == JobState.QUEUED
    assert OrmQ.objects.get().payload == JobState.CANCELLED
    assert Job.objects.all().go_on() == 0


@pytest.mark.parametrize("at_work", [True, False])
def test_what_was_cancelled_is_run_as_the_same_job(node: LocalNode, at_work: bool) -> None:
    task_id = async_task(functions.add, 1, 2)
    if at_work:
        node.claim_one()
    Job.objects.all().cancel("cancelled by boss")
    assert Job.objects.all().go_on() == 1
    node.run()
    job = Job.objects.get(pk=task_id)
    assert (job.state, job.result, job.attempt) == (JobState.DONE, 3, 1 + at_work)
    assert not OrmQ.objects.exists()


def test_a_worker_that_missed_that_its_job_was_cancelled_has_lost_it(node: LocalNode) -> None:
    task_id = async_task(functions.add, 1, 2)
    task = node.claim_one()
    Job.objects.all().cancel("cancelled by boss")
    Job.objects.all().go_on()
    node.work(task)
    assert Job.objects.get(pk=task_id).state == JobState.QUEUED
    node.run()
    assert Job.objects.get(pk=task_id).state == JobState.DONE
