from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.conf import Conf
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task

from compute.queue.fanout import async_iter, results
from compute.queue.models import Job, JobState
from compute.queue.signals import groups_changed
from compute.queue.transitions import UNKNOWN_TRIES
from tests import recipes
from tests.queue import functions
from tests.queue.conftest import LocalNode, a_running, leases, received, the_job

ADD = "tests.queue.functions.add"
SETTLED = [JobState.DONE, JobState.FAILED, JobState.CANCELLED]


@pytest.fixture
def failed_job(node: LocalNode) -> Job:
    async_task(functions.fail)
    node.run()
    return the_job()


# --- many jobs ---------------------------------------------------------------------


def test_counts_have_an_entry_for_every_state(db: None) -> None:
    assert Job.objects.counts() == {
        "queued": 0,
        "running": 0,
        "done": 0,
        "failed": 0,
        "cancelled": 0,
    }


def test_counts_are_those_of_the_jobs_asked_for(db: None) -> None:
    recipes.job.make(state=JobState.DONE)
    for position, state in enumerate(["done", "done", "failed", "running", "queued"]):
        recipes.job.make(group="mine", position=position, state=state)
    with CaptureQueriesContext(connection) as queries:
        counts = Job.objects.in_group("mine").counts()
    assert counts == {"queued": 1, "running": 1, "done": 2, "failed": 1, "cancelled": 0}
    assert len(queries) == 1


def test_a_group_is_in_the_order_of_its_positions(db: None) -> None:
    for position in (2, 0, 1):
        recipes.job.make(group="mine", position=position)
    recipes.job.make()
    assert [job.position for job in Job.objects.in_group("mine")] == [0, 1, 2]


def test_a_position_is_taken_once(db: None) -> None:
    recipes.job.make(group="mine", position=1)
    with pytest.raises(IntegrityError):
        recipes.job.make(group="mine", position=1)


def test_unsettled_are_those_that_are_queued_or_running(db: None) -> None:
    for state in JobState:
        recipes.job.make(state=state)
    assert set(Job.objects.unsettled().values_list("state", flat=True)) == {"queued", "running"}


def test_giving_back_puts_up_what_is_unsettled(node: LocalNode, other_node: LocalNode) -> None:
    for i in range(3):
        async_task(ADD, i)
    queued, running, kept = (task["id"] for task in [*node.claim(2), *other_node.claim(1)])
    Job.objects.filter(pk=running).update(state=JobState.RUNNING, worker=5)
    assert Job.objects.filter(node=node.row).give_back() == 2
    for pk in (queued, running):
        job = Job.objects.get(pk=pk)
        assert (job.state, job.delivery, job.node, job.worker) == (JobState.QUEUED, 2, None, None)
    assert Job.objects.get(pk=kept).node == other_node.row
    assert [lease > 0 for lease in leases()] == [False, False, True]


@pytest.mark.parametrize("state", SETTLED)
def test_giving_back_leaves_a_settled_job_alone(node: LocalNode, state: JobState) -> None:
    async_task(ADD, 1)
    node.claim_one()
    Job.objects.update(state=state)
    assert Job.objects.all().give_back() == 0
    assert (the_job().state, the_job().delivery) == (state, 1)
    assert leases()[0] > 0


def test_giving_back_nothing_is_nothing(db: None) -> None:
    assert Job.objects.all().give_back() == 0


def test_giving_back_takes_as_many_statements_for_many_as_for_one(node: LocalNode) -> None:
    for i in range(20):
        async_task(ADD, i)
    counts = []
    for limit in (1, 19):
        node.claim(limit)
        with CaptureQueriesContext(connection) as queries:
            assert Job.objects.filter(node=node.row).give_back() == limit
        counts.append(len(queries))
        Job.objects.filter(delivery=2).update(state=JobState.DONE)
        OrmQ.objects.filter(pk__in=Job.objects.filter(state="done").values("queue_id")).delete()
    assert counts[0] == counts[1]


# --- one job -----------------------------------------------------------------------


def test_a_job_is_shown_by_its_name_and_counted_from_1(db: None) -> None:
    job = recipes.job.prepare(name="sum, chunk 7 of 30", position=6)
    assert (str(job), job.number) == ("sum, chunk 7 of 30", 7)


def test_a_failed_job_is_queued_again_as_the_same_job(node: LocalNode, failed_job: Job) -> None:
    assert failed_job.retry() is True
    job = the_job()
    assert (job.pk, job.group, job.state) == (failed_job.pk, failed_job.group, JobState.QUEUED)
    assert (job.error, job.error_class, job.payload) == ("", "", "")
    assert (job.started_at, job.finished_at, job.node, job.worker) == (None, None, None, None)
    row = OrmQ.objects.get()
    assert (row.pk, row.key, row.task_id()) == (job.queue_id, "sumsite", job.pk)
    assert leases()[0] <= 0


def test_a_retry_deletes_the_failure(failed_job: Job) -> None:
    assert Failure.objects.filter(pk=failed_job.pk).exists()
    failed_job.retry()
    assert not Failure.objects.exists()


def test_pressing_twice_retries_once(failed_job: Job) -> None:
    same = Job.objects.get(pk=failed_job.pk)
    assert [failed_job.retry(), same.retry(), failed_job.retry()] == [True, False, False]
    assert OrmQ.objects.count() == 1


@pytest.mark.parametrize("state", [state for state in JobState if state != JobState.FAILED])
def test_only_a_failed_job_is_retried(db: None, state: JobState) -> None:
    job = recipes.job.make(state=state, payload="a package")
    with received(groups_changed) as sent:
        assert job.retry() is False
    assert sent == []
    assert not OrmQ.objects.exists()
    assert the_job().state == state


def test_a_retry_is_told_of_inside_its_transaction(failed_job: Job) -> None:
    around = len(connection.savepoint_ids)
    with received(groups_changed) as sent:
        failed_job.retry()
    ((groups, savepoints),) = [(one["groups"], one["savepoints"]) for one in sent]
    assert groups == {failed_job.group}
    assert savepoints == around + 1


def test_a_retry_that_cannot_be_noted_is_none(failed_job: Job) -> None:
    def receiver(sender: Any, **kwargs: Any) -> None:
        raise ValueError("the receiver is broken")

    groups_changed.connect(receiver)
    try:
        with pytest.raises(ValueError, match="broken"), transaction.atomic():
            failed_job.retry()
    finally:
        groups_changed.disconnect(receiver)
    assert the_job().state == JobState.FAILED
    assert Failure.objects.exists()
    assert not OrmQ.objects.exists()


def test_a_retried_chunk_keeps_its_place_among_the_others(node: LocalNode) -> None:
    group = async_iter(functions.fail_once, ["a", "b", "c"])
    node.run()
    (failed,) = Job.objects.filter(state=JobState.FAILED)
    assert failed.position == 0
    assert failed.retry()
    node.run()
    assert results(group) == ["luck"] * 3


def test_a_retry_goes_to_the_queue_it_came_from(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async_task(functions.fail, cluster="other")
    with monkeypatch.context() as other:
        other.setattr(Conf, "CLUSTER_NAME", "other")
        node.run()
    assert the_job().retry()
    assert OrmQ.objects.get().key == "other"


def test_of_two_people_who_retry_at_the_same_time_one_tells(
    failed_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.queue.transitions.retry", lambda task_ids: [])
    with received(groups_changed) as sent:
        assert failed_job.retry() is False
    assert sent == []


def test_cancelling_what_has_settled_is_told_to_nobody(failed_job: Job) -> None:
    with received(groups_changed) as sent:
        assert Job.objects.all().cancel("cancelled by boss") == 0
    assert sent == []


def test_how_much_of_what_runs_is_done(db: None) -> None:
    assert Job.objects.all().under_way() == 0
    for state, progress in (("running", 0.25), ("running", 0.5), ("failed", 0.9)):
        recipes.job.make(state=state, progress=progress)
    assert Job.objects.all().under_way() == 0.75


# --- dead workers --------------------------------------------------------------------------


@pytest.mark.parametrize("deaths", [0, 1])
def test_a_job_whose_worker_died_is_tried_again(node: LocalNode, deaths: int) -> None:
    a_running(node, deaths=deaths)
    Job.objects.filter(worker=7).bury("was killed by SIGKILL")
    job = Job.objects.get()
    assert (job.state, job.deaths, job.node, job.worker) == (
        JobState.QUEUED,
        deaths + 1,
        None,
        None,
    )
    assert node.claim_one()["id"] == job.pk


def test_a_job_that_kills_its_worker_again_and_again_fails_and_is_listed(node: LocalNode) -> None:
    a_running(node, deaths=2)
    Job.objects.filter(worker=7).bury("was killed by SIGSEGV")
    job = Job.objects.get()
    assert (job.state, job.error_class) == (JobState.FAILED, "WorkerDied")
    assert "was killed by SIGSEGV" in job.error
    failure = Failure.objects.get()
    assert (failure.pk, failure.func, failure.args, failure.result) == (
        job.pk,
        ADD,
        (1,),
        job.error,
    )
    assert not OrmQ.objects.exists()


def test_what_kills_who_reads_it_is_not_read_to_say_so(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the guard, with all workers: an argument that is too large for this machine's memory."""
    a_running(node, deaths=2)
    monkeypatch.setattr(OrmQ, "task", property(lambda package: pytest.fail("it was read")))
    Job.objects.filter(worker=7).bury("was killed by SIGKILL", unread=True)
    job = Job.objects.get()
    assert (job.state, job.error_class) == (JobState.FAILED, "WorkerDied")
    assert job.payload, "for a retry, where there is more memory"
    assert Failure.objects.get().args is None


def test_such_a_job_can_be_retried_and_starts_from_scratch(node: LocalNode) -> None:
    a_running(node, deaths=2)
    Job.objects.filter(worker=7).bury("was killed by SIGKILL")
    assert Job.objects.get().retry()
    assert Job.objects.get().deaths == 0
    node.run()
    assert Job.objects.get().state == JobState.DONE
    assert not Failure.objects.exists()


@pytest.mark.parametrize(
    ("starts", "state"),
    [
        (0, JobState.QUEUED),  # claimed by a node of the version before, which does not count them
        (UNKNOWN_TRIES - 1, JobState.QUEUED),
        (UNKNOWN_TRIES, JobState.RUNNING),
    ],
)
def test_a_job_is_left_to_other_code_as_often_as_it_was_started_since_it_was_queued(
    node: LocalNode, starts: Any, state: JobState
) -> None:
    a_running(node, starts=starts)
    Job.objects.update(attempt=1000)
    assert Job.objects.all().postpone() is (state == JobState.QUEUED)
    assert Job.objects.get().state == state


def test_a_job_that_had_not_started_is_innocent_of_its_workers_death(node: LocalNode) -> None:
    a_running(node)
    Job.objects.update(state=JobState.QUEUED, deaths=2)
    Job.objects.filter(worker=7).bury("was killed by SIGKILL")
    assert (Job.objects.get().state, Job.objects.get().deaths) == (JobState.QUEUED, 2)
