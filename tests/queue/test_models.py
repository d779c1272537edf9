from __future__ import annotations

import os
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task

from compute.queue.fanout import async_iter, results
from compute.queue.models import Job, JobState, Node
from compute.queue.signals import groups_changed
from tests import recipes
from tests.queue import functions
from tests.queue.conftest import leases, received, the_job

ADD = "tests.queue.functions.add"
SETTLED = [JobState.DONE, JobState.FAILED, JobState.CANCELLED]


@pytest.fixture
def failed_job(node):
    async_task(functions.fail)
    node.run()
    return the_job()


# --- many jobs ---------------------------------------------------------------------


def test_counts_have_an_entry_for_every_state(db):
    assert Job.objects.counts() == {
        "queued": 0,
        "running": 0,
        "done": 0,
        "failed": 0,
        "cancelled": 0,
    }


def test_counts_are_those_of_the_jobs_asked_for(db):
    recipes.job.make(state=JobState.DONE)
    for position, state in enumerate(["done", "done", "failed", "running", "queued"]):
        recipes.job.make(group="mine", position=position, state=state)
    with CaptureQueriesContext(connection) as queries:
        counts = Job.objects.in_group("mine").counts()
    assert counts == {"queued": 1, "running": 1, "done": 2, "failed": 1, "cancelled": 0}
    assert len(queries) == 1


def test_a_group_is_in_the_order_of_its_positions(db):
    for position in (2, 0, 1):
        recipes.job.make(group="mine", position=position)
    recipes.job.make()
    assert [job.position for job in Job.objects.in_group("mine")] == [0, 1, 2]


def test_a_position_is_taken_once(db):
    recipes.job.make(group="mine", position=1)
    with pytest.raises(IntegrityError):
        recipes.job.make(group="mine", position=1)


def test_unsettled_are_those_that_are_queued_or_running(db):
    for state in JobState:
        recipes.job.make(state=state)
    assert set(Job.objects.unsettled().values_list("state", flat=True)) == {"queued", "running"}


def test_giving_back_puts_up_what_is_unsettled(node, other_node):
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
def test_giving_back_leaves_a_settled_job_alone(node, state):
    async_task(ADD, 1)
    node.claim_one()
    Job.objects.update(state=state)
    assert Job.objects.all().give_back() == 0
    assert (the_job().state, the_job().delivery) == (state, 1)
    assert leases()[0] > 0


def test_giving_back_nothing_is_nothing(db):
    assert Job.objects.all().give_back() == 0


def test_giving_back_takes_as_many_statements_for_many_as_for_one(node):
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


def test_a_job_is_shown_by_its_name_and_counted_from_1(db):
    job = recipes.job.prepare(name="sum, chunk 7 of 30", position=6)
    assert (str(job), job.number) == ("sum, chunk 7 of 30", 7)


def test_a_failed_job_is_queued_again_as_the_same_job(node, failed_job):
    assert failed_job.retry() is True
    job = the_job()
    assert (job.pk, job.group, job.state) == (failed_job.pk, failed_job.group, JobState.QUEUED)
    assert (job.error, job.error_class, job.payload) == ("", "", "")
    assert (job.started_at, job.finished_at, job.node, job.worker) == (None, None, None, None)
    row = OrmQ.objects.get()
    assert (row.pk, row.key, row.task_id()) == (job.queue_id, "sumsite", job.pk)
    assert leases()[0] <= 0


def test_a_retry_deletes_the_failure(failed_job):
    assert Failure.objects.filter(pk=failed_job.pk).exists()
    failed_job.retry()
    assert not Failure.objects.exists()


def test_pressing_twice_retries_once(failed_job):
    same = Job.objects.get(pk=failed_job.pk)
    assert [failed_job.retry(), same.retry(), failed_job.retry()] == [True, False, False]
    assert OrmQ.objects.count() == 1


@pytest.mark.parametrize("state", [state for state in JobState if state != JobState.FAILED])
def test_only_a_failed_job_is_retried(db, state):
    job = recipes.job.make(state=state, payload="a package")
    with received(groups_changed) as sent:
        assert job.retry() is False
    assert sent == []
    assert not OrmQ.objects.exists()
    assert the_job().state == state


def test_a_retry_is_told_of_inside_its_transaction(failed_job):
    around = len(connection.savepoint_ids)
    with received(groups_changed) as sent:
        failed_job.retry()
    ((groups, savepoints),) = [(one["groups"], one["savepoints"]) for one in sent]
    assert groups == {failed_job.group}
    assert savepoints == around + 1


def test_a_retry_that_cannot_be_noted_is_none(failed_job):
    def receiver(sender, **kwargs):
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


def test_a_retried_chunk_keeps_its_place_among_the_others(node):
    group = async_iter(functions.fail_once, ["a", "b", "c"])
    node.run()
    (failed,) = Job.objects.filter(state=JobState.FAILED)
    assert failed.position == 0
    assert failed.retry()
    node.run()
    assert results(group) == ["luck"] * 3


def test_a_retry_goes_to_the_queue_it_came_from(node):
    async_task(functions.fail, cluster="other")
    node.broker.list_key = "other"
    node.run()
    assert the_job().retry()
    assert OrmQ.objects.get().key == "other"


# --- nodes -------------------------------------------------------------------------


def test_a_node_is_shown_by_its_name_and_host(db):
    assert str(recipes.node.prepare(name="red-fox", host="machine")) == "red-fox on machine"


def test_alive_are_nodes_that_were_heard_of_lately_and_have_not_stopped(db):
    now = timezone.now()
    alive = recipes.node.make(seen_at=now)
    recipes.node.make(seen_at=now - Node.DEAD_AFTER - timedelta(seconds=1))
    recipes.node.make(seen_at=now, stopped_at=now)
    assert list(Node.objects.alive()) == [alive]


def test_a_job_outlives_its_node(db):
    job = recipes.job.make(node=recipes.node.make())
    Node.objects.all().delete()
    job.refresh_from_db()
    assert job.node is None


# --- dead workers and dead nodes -----------------------------------------------------


def a_running(node, **fields):
    async_task(ADD, 1)
    task = node.claim_one()
    Job.objects.update(state=JobState.RUNNING, attempt=1, worker=7, **fields)
    return task


@pytest.mark.parametrize("deaths", [0, 1])
def test_a_job_whose_worker_died_is_tried_again(node, deaths):
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


def test_a_job_that_kills_its_worker_again_and_again_fails_and_is_listed(node):
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


def test_such_a_job_can_be_retried_and_starts_from_scratch(node):
    a_running(node, deaths=2)
    Job.objects.filter(worker=7).bury("was killed by SIGKILL")
    assert Job.objects.get().retry()
    assert Job.objects.get().deaths == 0
    node.run()
    assert Job.objects.get().state == JobState.DONE
    assert not Failure.objects.exists()


def test_a_job_that_had_not_started_is_innocent_of_its_workers_death(node):
    a_running(node)
    Job.objects.update(state=JobState.QUEUED, deaths=2)
    Job.objects.filter(worker=7).bury("was killed by SIGKILL")
    assert (Job.objects.get().state, Job.objects.get().deaths) == (JobState.QUEUED, 2)


def test_a_job_that_ran_out_of_time_fails_with_the_reason(node):
    a_running(node)
    Job.objects.filter(worker=7).fail("it ran for more than 5 seconds", "TimeoutException")
    assert Job.objects.get().error == "it ran for more than 5 seconds"
    assert Failure.objects.get().result == "it ran for more than 5 seconds"


def test_a_failure_that_comes_too_late_changes_nothing(node):
    a_running(node)
    late = Job.objects.get()
    Job.objects.all().give_back()
    assert late.fail("too late", "X") is False
    assert Job.objects.get().state == JobState.QUEUED
    assert not Failure.objects.exists()


def test_nodes_left_behind_are_those_of_this_host_whose_process_is_gone(db):
    gone = recipes.node.make(host="here", pid=11, stopped_at=None)
    recipes.node.make(host="here", pid=12, stopped_at=None)
    recipes.node.make(host="here", pid=13, stopped_at=timezone.now())
    recipes.node.make(host="elsewhere", pid=14, stopped_at=None)
    recipes.node.make(host="here", pid=os.getpid(), stopped_at=None)
    assert list(Node.objects.left_behind("here", lambda pid: pid == 12)) == [gone]
