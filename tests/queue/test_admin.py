from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django_q.brokers import get_broker
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task

from compute.queue.fanout import async_iter, results
from compute.queue.models import Job, JobState, Node
from compute.queue.signals import groups_changed
from tests import recipes
from tests.queue import functions
from tests.queue.conftest import received, the_job

FAILURES = reverse("admin:django_q_failure_changelist")
QUEUE = reverse("admin:django_q_ormq_changelist")
JOBS = reverse("admin:queue_job_changelist")
NODES = reverse("admin:queue_node_changelist")


def user_with(*permissions):
    """A client of staff that has these permissions alone."""
    user = User.objects.create(username="ann", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def act(client, page, action, *rows, **more):
    """Select rows of a list, choose an action; the page that comes of it."""
    data = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    return client.post(page, data, follow=True)


def said(reply):
    return [(message.level_tag, message.message) for message in reply.context["messages"]]


def failure_without_job():
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


def test_failed_tasks_are_listed(admin, node):
    async_task(functions.fail, "bad luck", task_name="sum 1-9")
    node.run()
    page = admin.get(FAILURES).content.decode()
    assert "sum 1-9" in page
    assert "bad luck" in page


def test_a_failed_task_shows_traceback_and_arguments(admin, node):
    async_task(functions.fail, message="bad luck")
    node.run()
    page = admin.get(reverse("admin:django_q_failure_change", args=[the_job().pk]))
    text = page.content.decode().replace("&#x27;", "'")
    assert "Traceback (most recent call last)" in text
    assert "raise ValueError(message)" in text
    assert "<pre>(message='bad luck')</pre>" in text
    assert "tests.queue.functions.fail" in text


def test_resubmitting_a_failed_chunk_retries_that_very_job(admin, node):
    group = async_iter(functions.fail_once, ["a", "b", "c"])
    node.run()
    failure = Failure.objects.get()
    reply = act(admin, FAILURES, "resubmit", failure)
    assert said(reply) == [("success", "1 task(s) queued again.")]
    assert OrmQ.objects.get().task_id() == failure.pk
    assert not Failure.objects.exists()
    node.run()
    assert results(group) == ["luck"] * 3
    assert Job.objects.count() == 3


def test_resubmitting_a_failure_without_a_job_queues_it_anew(admin, node):
    act(admin, FAILURES, "resubmit", failure := failure_without_job())
    assert not Failure.objects.exists()
    job = the_job()
    assert job.pk != failure.pk
    node.run()
    assert functions.ran == [(1, 2)]


def test_both_kinds_can_be_resubmitted_together(admin, node):
    async_task(functions.fail_once)
    node.run()
    both = [Failure.objects.get(), failure_without_job()]
    assert said(act(admin, FAILURES, "resubmit", *both)) == [("success", "2 task(s) queued again.")]
    node.run()
    assert Job.objects.counts()[JobState.DONE] == 2
    assert not Failure.objects.exists()


def test_resubmitting_what_is_queued_again_already_does_nothing(admin, node):
    async_task(functions.fail)
    node.run()
    Job.objects.update(state=JobState.QUEUED)
    reply = act(admin, FAILURES, "resubmit", Failure.objects.get())
    assert said(reply) == [("warning", "0 task(s) queued again.")]
    assert not OrmQ.objects.exists()


def test_resubmitting_needs_a_permission(db, node):
    async_task(functions.fail)
    node.run()
    failure = Failure.objects.get()
    client = user_with("view_failure")
    assert "resubmit" not in client.get(FAILURES).content.decode()
    act(client, FAILURES, "resubmit", failure)
    assert the_job().state == JobState.FAILED


def test_whoever_may_delete_failures_may_resubmit_them(db, node):
    async_task(functions.fail)
    node.run()
    act(user_with("view_failure", "delete_failure"), FAILURES, "resubmit", Failure.objects.get())
    assert the_job().state == JobState.QUEUED


# --- "Queued tasks" ----------------------------------------------------------------


def test_a_queued_task_shows_its_name_and_its_page_the_function(admin):
    async_task(functions.add, 1, b=2, task_name="sum 1-9")
    page = admin.get(QUEUE).content.decode()
    assert "sum 1-9" in page
    assert the_job().pk in page
    page = admin.get(reverse("admin:django_q_ormq_change", args=[OrmQ.objects.get().pk]))
    assert "tests.queue.functions.add" in page.content.decode()
    assert "<pre>(1, b=2)</pre>" in page.content.decode()


def test_deleting_a_queued_task_cancels_its_job(admin, node):
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


def test_deleting_many_queued_tasks_cancels_their_jobs(admin, node):
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


def test_deleting_a_task_that_runs_drops_its_outcome(admin, node):
    functions.interruption.append(
        lambda: act(admin, QUEUE, "delete_selected", OrmQ.objects.get(), post="yes")
    )
    async_task(functions.interrupted, 1)
    node.run()
    assert (the_job().state, the_job().result) == (JobState.CANCELLED, None)


def test_deleting_a_package_without_a_job_just_deletes_it(admin):
    get_broker().enqueue("a package")
    with received(groups_changed) as sent:
        act(admin, QUEUE, "delete_selected", OrmQ.objects.get(), post="yes")
    assert not OrmQ.objects.exists()
    assert sent == []


def test_a_worker_that_claims_what_is_being_cancelled_runs_nothing(admin):
    async_task(functions.give, "a")
    claimed = []

    def claim_before_a_package_is_deleted(execute, statement, *rest):
        if "DELETE FROM django_q_ormq" in statement and not claimed:
            claimed.extend(lease.delivery for lease, _ in get_broker().claim(1))
        return execute(statement, *rest)

    with connection.execute_wrapper(claim_before_a_package_is_deleted):
        act(admin, QUEUE, "delete_selected", OrmQ.objects.get(), post="yes")
    assert claimed == [0]
    assert the_job().state == JobState.CANCELLED
    assert not OrmQ.objects.exists()


# --- failures of a kind ---------------------------------------------------------------------


def three_failures(node):
    async_task(functions.fail, "one")
    async_task(functions.fail, "two")
    async_task("math.sqrt", -1)
    for _ in range(3):
        node.run()
    assert Failure.objects.count() == 3


def of_kind(admin, do, func="tests.queue.functions.fail", error_class="ValueError"):
    data = {"do": do, "func": func, "error_class": error_class}
    return admin.post(reverse("admin:django_q_failure_kind"), data, follow=True)


def test_failures_are_grouped_by_function_and_error_with_a_count(admin, node):
    three_failures(node)
    kinds = admin.get(FAILURES).context["kinds"]
    assert [(kind["func"], kind["error_class"], kind["count"]) for kind in kinds] == [
        ("tests.queue.functions.fail", "ValueError", 2),
        ("math.sqrt", "ValueError", 1),
    ]


def test_failures_can_be_filtered_by_function_and_error(admin, node):
    three_failures(node)
    page = admin.get(FAILURES, {"func": "math.sqrt", "error_class": "ValueError"})
    assert page.context["cl"].result_count == 1
    assert admin.get(FAILURES, {"error_class": "KeyError"}).context["cl"].result_count == 0


def test_failures_of_a_kind_are_retried_together(admin, node):
    three_failures(node)
    assert said(of_kind(admin, "retry")) == [("success", "2 task(s) queued again.")]
    assert Failure.objects.get().func == "math.sqrt"
    assert Job.objects.counts()[JobState.QUEUED] == 2


def test_failures_of_a_kind_are_deleted_together(admin, node):
    three_failures(node)
    assert said(of_kind(admin, "delete")) == [("success", "2 failure(s) deleted.")]
    assert Failure.objects.count() == 1


def test_failures_without_a_job_are_a_kind_as_well(admin):
    failure_without_job()
    (kind,) = admin.get(FAILURES).context["kinds"]
    assert (kind["error_class"], kind["count"]) == (None, 1)
    of_kind(admin, "delete", kind["func"], "")
    assert not Failure.objects.exists()


def test_nothing_is_done_that_was_not_asked_for(admin, node):
    three_failures(node)
    of_kind(admin, "odd")
    assert admin.get(reverse("admin:django_q_failure_kind")).status_code == 403
    client = user_with("view_failure")
    assert of_kind(client, "delete").status_code == 403
    assert Failure.objects.count() == 3


# --- jobs and nodes ----------------------------------------------------------------


@pytest.fixture
def rows(db):
    failed = recipes.job.make(name="sum 1-9", state=JobState.FAILED, error="ValueError: no luck")
    return {"job": failed, "node": recipes.node.make(name="red-fox", host="machine")}


@pytest.mark.parametrize(("model", "text"), [("job", "sum 1-9"), ("node", "red-fox")])
def test_jobs_and_nodes_can_be_viewed(admin, rows, model, text):
    for address in (
        reverse(f"admin:queue_{model}_changelist"),
        reverse(f"admin:queue_{model}_change", args=[rows[model].pk]),
    ):
        reply = admin.get(address)
        assert reply.status_code == 200
        assert text in reply.content.decode()


@pytest.mark.parametrize("model", ["job", "node"])
def test_jobs_and_nodes_cannot_be_written(admin, rows, model):
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


def test_jobs_can_be_searched_and_filtered(admin, rows):
    recipes.job.make(name="another", state=JobState.DONE)
    for query in ("?q=sum", "?state__exact=failed", f"?q={rows['job'].pk}"):
        page = admin.get(JOBS + query).content.decode()
        assert "sum 1-9" in page
        assert "another" not in page


def test_a_list_of_jobs_takes_no_statement_for_each(admin, django_assert_max_num_queries):
    for _ in range(20):
        recipes.job.make(node=recipes.node.make())
    with django_assert_max_num_queries(15):
        admin.get(JOBS)


def test_failed_jobs_can_be_retried(admin, node):
    async_iter(functions.fail, ["a", "b"])
    async_task(functions.give, "c")
    node.run()
    reply = act(admin, JOBS, "retry", *Job.objects.all())
    assert said(reply) == [("success", "2 task(s) queued again.")]
    assert Job.objects.counts()[JobState.QUEUED] == 2
    assert OrmQ.objects.count() == 2


def test_there_may_be_nothing_to_retry(admin):
    reply = act(admin, JOBS, "retry", recipes.job.make(state=JobState.DONE))
    assert said(reply) == [("warning", "0 task(s) queued again.")]


@pytest.mark.parametrize(
    ("permissions", "state"),
    [(["view_job"], JobState.FAILED), (["view_job", "change_job"], JobState.QUEUED)],
)
def test_retrying_a_job_needs_the_permission_to_change_jobs(db, node, permissions, state):
    async_task(functions.fail)
    node.run()
    client = user_with(*permissions)
    assert ("retry" in client.get(JOBS).content.decode()) == (state == JobState.QUEUED)
    act(client, JOBS, "retry", the_job())
    assert the_job().state == state


def test_nodes_show_what_is_known_of_them(admin, rows):
    page = admin.get(NODES).content.decode()
    assert "machine" in page
    assert Node.objects.count() == 1
