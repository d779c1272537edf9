from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_q.models import Failure, OrmQ, Success
from django_q.tasks import async_task

from compute.queue.fanout import async_iter, results
from compute.queue.models import Job, JobState
from tests import recipes
from tests.queue import functions
from tests.queue.admin.pages import FAILURES, SUCCESSES, act, said, user_with
from tests.queue.conftest import LocalNode, the_job


def failure_without_job() -> Failure:
    """A failure of the time before this queue, or of a task that went past it."""
    task_id = recipes.new_id()
    return Failure.objects.create(
        id=task_id,
        name="old",
        func="tests.queue.functions.add",
        args=(1,),
        kwargs={"b": 2},
        started="2026-01-01T00:00Z",
        stopped="2026-01-01T00:00Z",
        success=False,
        result="boom",
    )


# --- "Failed tasks" ----------------------------------------------------------------


def test_failed_tasks_are_listed(admin: Client, node: LocalNode) -> None:
    async_task(functions.fail, "bad luck", task_name="sum 1-9")
    node.run()
    page = admin.get(FAILURES).content.decode()
    assert "sum 1-9" in page
    assert "bad luck" in page


def test_a_failed_task_shows_traceback_and_arguments(admin: Client, node: LocalNode) -> None:
    async_task(functions.fail, message="bad luck")
    node.run()
    page = admin.get(reverse("admin:django_q_failure_change", args=[the_job().pk]))
    text = page.content.decode().replace("&#x27;", "'")
    assert "Traceback (most recent call last)" in text
    assert "raise ValueError(message)" in text
    assert "<pre>(message='bad luck')</pre>" in text
    assert "tests.queue.functions.fail" in text


def test_resubmitting_a_failed_chunk_retries_that_very_job(admin: Client, node: LocalNode) -> None:
    group = async_iter(functions.fail_once, ["a", "b", "c"])
    node.run()
    failure = Failure.objects.get()
    reply = act(admin, FAILURES, "resubmit", failure)
    assert said(reply) == [("success", "1 task queued again.")]
    assert OrmQ.objects.get().task_id() == failure.pk
    assert not Failure.objects.exists()
    node.run()
    assert results(group) == ["luck"] * 3
    assert Job.objects.count() == 3


def test_resubmitting_a_failure_without_a_job_queues_it_anew(
    admin: Client, node: LocalNode
) -> None:
    act(admin, FAILURES, "resubmit", failure := failure_without_job())
    assert not Failure.objects.exists()
    job = the_job()
    assert job.pk != failure.pk
    node.run()
    assert functions.ran == [(1, 2)]


def test_both_kinds_can_be_resubmitted_together(admin: Client, node: LocalNode) -> None:
    async_task(functions.fail_once)
    node.run()
    both = [Failure.objects.get(), failure_without_job()]
    assert said(act(admin, FAILURES, "resubmit", *both)) == [("success", "2 tasks queued again.")]
    node.run()
    assert Job.objects.counts()[JobState.DONE] == 2
    assert not Failure.objects.exists()


def test_resubmitting_what_is_queued_again_already_does_nothing(
    admin: Client, node: LocalNode
) -> None:
    async_task(functions.fail)
    node.run()
    Job.objects.update(state=JobState.QUEUED)
    reply = act(admin, FAILURES, "resubmit", Failure.objects.get())
    assert said(reply) == [("warning", "0 tasks queued again.")]
    assert not OrmQ.objects.exists()


@pytest.mark.thorough
def test_resubmitting_needs_a_permission(db: None, node: LocalNode) -> None:
    async_task(functions.fail)
    node.run()
    failure = Failure.objects.get()
    client = user_with("view_failure")
    assert "resubmit" not in client.get(FAILURES).content.decode()
    act(client, FAILURES, "resubmit", failure)
    assert the_job().state == JobState.FAILED


def test_whoever_may_delete_failures_may_resubmit_them(db: None, node: LocalNode) -> None:
    async_task(functions.fail)
    node.run()
    act(user_with("view_failure", "delete_failure"), FAILURES, "resubmit", Failure.objects.get())
    assert the_job().state == JobState.QUEUED


# --- failures of a kind ---------------------------------------------------------------------


def three_failures(node: LocalNode) -> None:
    async_task(functions.fail, "one")
    async_task(functions.fail, "two")
    async_task("math.sqrt", -1)
    for _ in range(3):
        node.run()
    assert Failure.objects.count() == 3


def of_kind(
    admin: Client,
    do: str,
    func: str = "tests.queue.functions.fail",
    error_class: str = "ValueError",
) -> Any:
    data = {"do": do, "func": func, "error_class": error_class}
    return admin.post(reverse("admin:django_q_failure_kind"), data, follow=True)


def test_failures_are_grouped_by_function_and_error_with_a_count(
    admin: Client, node: LocalNode
) -> None:
    three_failures(node)
    kinds = admin.get(FAILURES).context["kinds"]
    assert [(kind["func"], kind["error_class"], kind["count"]) for kind in kinds] == [
        ("tests.queue.functions.fail", "ValueError", 2),
        ("math.sqrt", "ValueError", 1),
    ]


def test_failures_can_be_filtered_by_function_and_error(admin: Client, node: LocalNode) -> None:
    three_failures(node)
    page = admin.get(FAILURES, {"func": "math.sqrt", "error_class": "ValueError"})
    assert page.context["cl"].result_count == 1
    assert admin.get(FAILURES, {"error_class": "KeyError"}).context["cl"].result_count == 0


def test_failures_of_a_kind_are_retried_together(admin: Client, node: LocalNode) -> None:
    three_failures(node)
    assert said(of_kind(admin, "retry")) == [("success", "2 tasks queued again.")]
    assert Failure.objects.get().func == "math.sqrt"
    assert Job.objects.counts()[JobState.QUEUED] == 2


def test_failures_of_a_kind_are_deleted_together(admin: Client, node: LocalNode) -> None:
    three_failures(node)
    assert said(of_kind(admin, "delete")) == [("success", "2 failures deleted.")]
    assert Failure.objects.count() == 1


def test_failures_without_a_job_are_a_kind_as_well(admin: Client) -> None:
    failure_without_job()
    (kind,) = admin.get(FAILURES).context["kinds"]
    assert (kind["error_class"], kind["count"]) == (None, 1)
    of_kind(admin, "delete", kind["func"], "")
    assert not Failure.objects.exists()


def test_nothing_is_done_that_was_not_asked_for(admin: Client, node: LocalNode) -> None:
    three_failures(node)
    of_kind(admin, "odd")
    assert admin.get(reverse("admin:django_q_failure_kind")).status_code == 403
    client = user_with("view_failure")
    assert of_kind(client, "delete").status_code == 403
    assert Failure.objects.count() == 3


# --- what has ended well --------------------------------------------------------------


def test_what_has_ended_well_is_resubmitted(admin: Client, node: LocalNode) -> None:
    async_task(functions.add, 1)
    node.run()
    reply = act(admin, SUCCESSES, "resubmit", Success.objects.get())
    assert said(reply) == [("success", "1 task queued once more.")]
    assert OrmQ.objects.count() == 1


def test_what_a_task_has_returned_is_shown(admin: Client, node: LocalNode) -> None:
    async_task(functions.give, {"total": 55})
    node.run()
    page = admin.get(reverse("admin:django_q_success_change", args=[the_job().pk]))
    assert "<pre>{&#x27;total&#x27;: 55}</pre>" in page.content.decode()
