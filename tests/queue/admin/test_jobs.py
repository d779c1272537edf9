from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ
from django_q.tasks import async_task
from pytest_django import DjangoAssertNumQueries

from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState, Node
from tests import recipes
from tests.queue import functions
from tests.queue.admin.pages import JOBS, NODES, act, said, user_with
from tests.queue.conftest import LocalNode, the_job


@pytest.fixture
def rows(db: None) -> dict[str, Any]:
    failed = recipes.job.make(name="sum 1-9", state=JobState.FAILED, error="ValueError: no luck")
    return {"job": failed, "node": recipes.node.make(name="red-fox", host="machine")}


@pytest.mark.parametrize(("model", "text"), [("job", "sum 1-9"), ("node", "red-fox")])
def test_jobs_and_nodes_can_be_viewed(
    admin: Client, rows: dict[str, Any], model: str, text: str
) -> None:
    for address in (
        reverse(f"admin:queue_{model}_changelist"),
        reverse(f"admin:queue_{model}_change", args=[rows[model].pk]),
    ):
        reply = admin.get(address)
        assert reply.status_code == 200
        assert text in reply.content.decode()


@pytest.mark.parametrize("model", ["job", "node"])
def test_jobs_and_nodes_cannot_be_written(admin: Client, rows: dict[str, Any], model: str) -> None:
    row = rows[model]
    for address in (
        reverse(f"admin:queue_{model}_add"),
        reverse(f"admin:queue_{model}_change", args=[row.pk]),
        reverse(f"admin:queue_{model}_delete", args=[row.pk]),
    ):
        assert admin.post(address, {"name": "x", "post": "yes"}).status_code == 403
    page = reverse(f"admin:queue_{model}_changelist")
    act(admin, page, "delete_selected", row, post="yes")
    row.refresh_from_db()
    assert row.name != "x"


def test_jobs_can_be_searched_and_filtered(admin: Client, rows: dict[str, Any]) -> None:
    recipes.job.make(name="another", state=JobState.DONE)
    for query in ("?q=sum", "?state__exact=failed", f"?q={rows['job'].pk}"):
        page = admin.get(JOBS + query).content.decode()
        assert "sum 1-9" in page
        assert "another" not in page


def test_a_list_of_jobs_takes_no_statement_for_each(
    admin: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(20):
        recipes.job.make(node=recipes.node.make())
    with django_assert_max_num_queries(15):
        admin.get(JOBS)


def test_failed_jobs_can_be_retried(admin: Client, node: LocalNode) -> None:
    async_iter(functions.fail, ["a", "b"])
    async_task(functions.give, "c")
    node.run()
    reply = act(admin, JOBS, "retry", *Job.objects.all())
    assert said(reply) == [("success", "2 tasks queued again.")]
    assert Job.objects.counts()[JobState.QUEUED] == 2
    assert OrmQ.objects.count() == 2


def test_there_may_be_nothing_to_retry(admin: Client) -> None:
    reply = act(admin, JOBS, "retry", recipes.job.make(state=JobState.DONE))
    assert said(reply) == [("warning", "0 tasks queued again.")]


@pytest.mark.parametrize(
    ("permissions", "state"),
    [(["view_job"], JobState.FAILED), (["view_job", "change_job"], JobState.QUEUED)],
)
def test_retrying_a_job_needs_the_permission_to_change_jobs(
    db: None, node: LocalNode, permissions: list[str], state: JobState
) -> None:
    async_task(functions.fail)
    node.run()
    client = user_with(*permissions)
    assert ("retry" in client.get(JOBS).content.decode()) == (state == JobState.QUEUED)
    act(client, JOBS, "retry", the_job())
    assert the_job().state == state


def test_nodes_show_what_is_known_of_them(admin: Client, rows: dict[str, Any]) -> None:
    page = admin.get(NODES).content.decode()
    assert "machine" in page
    assert Node.objects.count() == 1


def test_unfinished_jobs_are_cancelled(admin: Client) -> None:
    async_iter(functions.give, ["a", "b"])
    assert said(act(admin, JOBS, "cancel", *Job.objects.all())) == [
        ("success", "2 tasks cancelled.")
    ]
    assert not OrmQ.objects.exists()


def test_a_job_shows_what_it_has_returned_once_it_is_done(admin: Client, node: LocalNode) -> None:
    async_task(functions.give, {"total": 55})
    address = reverse("admin:queue_job_change", args=[the_job().pk])
    assert "<pre>" not in admin.get(address).content.decode()
    node.run()
    assert "<pre>{&#x27;total&#x27;: 55}</pre>" in admin.get(address).content.decode()
