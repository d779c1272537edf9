from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.test import Client
from django.urls import reverse
from django_q.brokers import get_broker
from django_q.models import OrmQ
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from compute.queue.signals import groups_changed
from tests.queue import functions
from tests.queue.admin.pages import QUEUE, act
from tests.queue.conftest import LocalNode, received, the_job


def test_a_queued_task_shows_its_name_and_its_page_the_function(admin: Client) -> None:
    async_task(functions.add, 1, b=2, task_name="sum 1-9")
    page = admin.get(QUEUE).content.decode()
    assert "sum 1-9" in page
    assert the_job().pk in page
    change = reverse("admin:django_q_ormq_change", args=[OrmQ.objects.get().pk])
    page = admin.get(change).content.decode()
    assert "tests.queue.functions.add" in page
    assert "<pre>(1, b=2)</pre>" in page


def test_deleting_a_queued_task_cancels_its_job(admin: Client, node: LocalNode) -> None:
    group = async_iter(functions.give, ["a", "b"])
    first, second = Job.objects.in_group(group)
    with received(groups_changed) as sent:
        admin.post(reverse("admin:django_q_ormq_delete", args=[first.queue_id]), {"post": "yes"})
    first.refresh_from_db()
    assert (first.state, first.error) == (JobState.CANCELLED, "cancelled by boss")
    assert first.finished_at
    assert OrmQ.objects.get().pk == second.queue_id
    assert [one["groups"] for one in sent] == [{group}]
    node.run()
    assert functions.ran == ["b"]


def test_deleting_many_queued_tasks_cancels_their_jobs(admin: Client, node: LocalNode) -> None:
    groups = [async_iter(functions.give, ["a", "b"]), async_iter(functions.give, ["c", "d"])]
    kept = OrmQ.objects.latest("pk")
    doomed = OrmQ.objects.exclude(pk=kept.pk)
    with received(groups_changed) as sent:
        act(admin, QUEUE, "delete_selected", *doomed, post="yes")
    assert Job.objects.counts() == {
        "queued": 1,
        "running": 0,
        "done": 0,
        "failed": 0,
        "cancelled": 3,
    }
    assert OrmQ.objects.get() == kept
    assert [one["groups"] for one in sent] == [set(groups)]


def test_deleting_a_task_that_runs_drops_its_outcome(admin: Client, node: LocalNode) -> None:
    functions.interruption.append(
        lambda: act(admin, QUEUE, "delete_selected", OrmQ.objects.get(), post="yes")
    )
    async_task(functions.interrupted, 1)
    node.run()
    assert (the_job().state, the_job().result) == (JobState.CANCELLED, None)


def test_deleting_a_package_without_a_job_just_deletes_it(admin: Client) -> None:
    get_broker().enqueue("a package")
    with received(groups_changed) as sent:
        act(admin, QUEUE, "delete_selected", OrmQ.objects.get(), post="yes")
    assert not OrmQ.objects.exists()
    assert sent == []


def test_what_is_being_cancelled_is_not_claimed(admin: Client) -> None:
    async_task(functions.give, "a")
    claimed: list[list[Any]] = []

    def claim_before_a_package_is_deleted(
        execute: Callable[..., Any], statement: str, *rest: Any
    ) -> Any:
        if "DELETE FROM django_q_ormq" in statement and not claimed:
            claimed.append(transitions.claim("sumsite", 1, None))
        return execute(statement, *rest)

    with connection.execute_wrapper(claim_before_a_package_is_deleted):
        act(admin, QUEUE, "delete_selected", OrmQ.objects.get(), post="yes")
    assert claimed == [[]]
    assert the_job().state == JobState.CANCELLED
    assert not OrmQ.objects.exists()
