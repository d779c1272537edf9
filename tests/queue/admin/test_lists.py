"""The admin's lists, whatever the rows hold and however many there are."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin as site
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Failure, OrmQ, Success, Task
from django_q.tasks import async_task

from compute.queue.fanout import async_iter
from compute.queue.models import Job
from tests import recipes
from tests.queue import functions
from tests.queue.admin.pages import FAILURES, JOBS, QUEUE, SUCCESSES, act, said
from tests.queue.conftest import LocalNode
from tests.queue.test_requeue import MANY, fail_all

#: What no list has to read.
HEAVY = re.compile('"(payload|result|args|kwargs|stat|shown|parameters|given)"')


def success(number: int, **fields: Any) -> Success:
    now = timezone.now()
    given = {"func": "f", "name": "a task", "started": now, "stopped": now, **fields}
    made: Success = Success.objects.create(id=f"{number:032}", success=True, **given)
    return made


@pytest.mark.thorough
def test_no_list_reads_what_rows_hold(admin: Client, node: LocalNode) -> None:
    async_task(functions.add, 1)
    async_task(functions.fail)
    node.run()
    async_task(functions.add, 2)
    for page in (SUCCESSES, FAILURES, QUEUE, JOBS, "/admin/queue/node/", "/admin/compute/run/"):
        with CaptureQueriesContext(connection) as queries:
            assert admin.get(page).status_code == 200
        read = [query["sql"] for query in queries if "django_session" not in query["sql"]]
        assert not [sql for sql in read if HEAVY.search(sql.partition(" FROM ")[0])], page


@pytest.mark.thorough
def test_large_results_cost_a_list_nothing(admin: Client) -> None:
    success(0, result="x" * 1_000_000)
    copy = (
        "INSERT INTO django_q_task "
        "(id, name, func, started, stopped, success, attempt_count, result) "
        "SELECT %s, name, func, started, stopped, success, 1, result "
        "FROM django_q_task WHERE id = %s"
    )
    with connection.cursor() as cursor:
        for number in range(1, 50):
            cursor.execute(copy, [f"{number:032}", f"{0:032}"])
    admin.get(SUCCESSES)  # loads templates
    tracemalloc.start()
    try:
        assert "a task" in admin.get(SUCCESSES).content.decode()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.thorough
def test_thousands_of_groups_make_no_sidebar_of_links(admin: Client) -> None:
    now = timezone.now()
    Task.objects.bulk_create(
        Task(
            id=f"{number:032}",
            name="a task",
            func=f"f{number}",
            group=f"group{number}",
            cluster=f"queue {number}",
            started=now,
            stopped=now,
            success=bool(number % 2),
        )
        for number in range(3_000)
    )
    for page in (SUCCESSES, FAILURES):
        assert len(admin.get(page).content) < 150_000
    found = admin.get(SUCCESSES, {"q": "group1777"}).content.decode()
    assert f"{1777:032}" in found
    assert "1 result" in found
    assert "f2999" in admin.get(SUCCESSES, {"func": "f2999"}).content.decode()


@pytest.mark.thorough
def test_errors_of_thousands_of_classes_make_none_either(admin: Client) -> None:
    for number in range(50):
        recipes.job.make(state="failed", error_class=f"Error{number:02}")
    page = admin.get(JOBS).content.decode()
    assert page.count("?error_class=Error") == 20
    reply = admin.get(JOBS, {"error_class": "Error49"})
    assert reply.context["cl"].result_count == 1


def test_the_first_page_of_a_filter_without_rows_is_the_list(admin: Client) -> None:
    assert admin.get(JOBS, {"error_class": "Nobody"}).context["cl"].result_count == 0


# --- a row's page ---------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_rows_page_shows_a_part_of_what_is_large(admin: Client) -> None:
    row = success(1, result="y" * 3_000_000, args=("z" * 3_000_000,), kwargs={"b": 1})
    page = admin.get(f"{SUCCESSES}{row.pk}/change/").content.decode()
    assert len(page) < 60_000
    assert "over 65,536 characters, too large for a page" in page
    assert "zzzz" in page
    row = success(2, result="y" * 30_000)
    assert "yyyy" in admin.get(f"{SUCCESSES}{row.pk}/change/").content.decode()


@pytest.mark.thorough
def test_no_page_reads_a_large_result(admin: Client, node: LocalNode) -> None:
    """They say what it is, how large, and how one gets it."""
    async_task(functions.boxed, 1_000_000)
    node.run()
    functions.ran.clear()
    (job,) = Job.objects.defer("result")
    record, its_job = f"{SUCCESSES}{job.pk}/", f"{JOBS}{job.pk}/"
    pages = [f"{each}{page}/" for each in (record, its_job) for page in ("change", "history")]
    with CaptureQueriesContext(connection) as queries:
        for page in (SUCCESSES, JOBS, f"{record}delete/", *pages):
            reply = admin.get(page)
            assert reply.status_code == 200, page
            if page.endswith("change/"):
                assert "a tests.queue.functions.Box of 1,000," in reply.content.decode()
                assert f"Job.objects.get(pk=&#x27;{job.pk}&#x27;).result" in reply.content.decode()
        act(admin, SUCCESSES, "resubmit", job)
        act(admin, JOBS, "cancel", job)
        act(admin, JOBS, "retry", job)
        assert admin.post(f"{record}delete/", {"post": "yes"}).status_code == 302
    assert not [query["sql"] for query in queries if "queue_part" in query["sql"]]
    assert functions.ran == []
    assert not Success.objects.exists()
    assert job.result == functions.boxed(1_000_000), "the job has it still"


def test_what_cannot_be_read_is_shown_as_it_is(admin: Client) -> None:
    row = success(1, result=None)
    Task.objects.filter(pk=row.pk).update(args="no pickle", kwargs="neither")
    assert "no pickle" in admin.get(f"{SUCCESSES}{row.pk}/change/").content.decode()
    failed = Failure.objects.create(
        id="f", func="f", name="f", started=row.started, stopped=row.stopped, success=False
    )
    Task.objects.filter(pk="f").update(result=5)
    page = admin.get(f"/admin/django_q/failure/{failed.pk}/change/").content.decode()
    assert "<pre>5</pre>" in page


class Unspeakable(Exception):
    def __repr__(self) -> str:
        return "caf\udce9\0"


@pytest.mark.thorough
def test_text_that_utf8_cannot_say_is_shown_escaped(admin: Client, node: LocalNode) -> None:
    """A failure of today, and one that was written before."""
    odd = "caf\udce9\0"
    async_task(functions.fail, odd)
    node.run()
    old = Failure.objects.create(
        id="old", func="f", name="old", success=False, result=odd, args=(Unspeakable(),),
        started=timezone.now(), stopped=timezone.now(),
    )  # fmt: skip
    success(1, result=odd, args=(odd,), kwargs={"b": odd})
    assert "ValueError: caf\\udce9" in admin.get(FAILURES).content.decode()
    assert admin.get(SUCCESSES).status_code == 200
    job = Job.objects.get()
    assert job.error == "ValueError: caf\\udce9"
    assert "caf\\udce9" in Failure.objects.get(pk=job.pk).result
    for pk in (job.pk, old.pk):
        page = admin.get(f"/admin/django_q/failure/{pk}/change/").content.decode()
        assert "caf\\udce9" in page
    page = admin.get(f"{SUCCESSES}{1:032}/change/").content.decode()
    assert page.count("caf\\udce9") >= 2
    async_task(functions.give, odd)
    assert "caf\\udce9" in admin.get(QUEUE).content.decode()
    page = admin.get(f"{QUEUE}{OrmQ.objects.get().pk}/change/").content.decode()
    assert "caf\\udce9" in page
    assert admin.get(JOBS, {"q": odd.encode("utf-8", "surrogatepass")}).status_code == 200


# --- thousands of rows ----------------------------------------------------------------------


def everything(client: Client, page: str, action: str, **more: str) -> Any:
    """Choose an action for all rows, across the pages."""
    first = {"_selected_action": "1", "select_across": "1"}
    return client.post(page, {"action": action, **first, **more}, follow=True)


@pytest.mark.thorough
@pytest.mark.django_db
def test_ten_thousand_failures_are_resubmitted_and_deleted_by_a_press(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.queue.bulk.PATIENCE_S", 60)
    async_iter("math.sqrt", [-1] * MANY)
    fail_all()
    assert said(everything(admin, FAILURES, "resubmit")) == [
        ("success", "10,000 tasks queued again.")
    ]
    assert said(everything(admin, QUEUE, "delete_selected", post="yes")) == [
        ("success", "10,000 queued tasks deleted.")
    ]
    assert Job.objects.counts()["cancelled"] == MANY
    assert list(LogEntry.objects.order_by("pk").values_list("object_repr", flat=True)) == [
        "10,000 tasks queued again.",
        "10,000 queued tasks deleted.",
    ]


@pytest.mark.thorough
def test_what_is_deleted_is_asked_with_a_count_and_no_list(admin: Client) -> None:
    async_iter("math.sqrt", range(3000))
    page = everything(admin, QUEUE, "delete_selected").content.decode()
    assert "3,000 queued tasks will be deleted." in page
    assert len(page) < 20_000
    async_task("math.sqrt", 1)  # nobody was asked about this one
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    reply = admin.post(QUEUE, hidden, follow=True)
    assert said(reply) == [("success", "3,000 queued tasks deleted.")]
    # A busy machine leaves it to a task to tell who listens.
    left = Job.objects.filter(state="queued").exclude(name__startswith="for ")
    assert left.count() == 1
    assert OrmQ.objects.filter(pk__in=left.values("queue_id")).exists()


def test_records_are_deleted_up_to_the_one_that_was_seen(admin: Client) -> None:
    seen = success(1)
    page = act(admin, SUCCESSES, "delete_selected", seen).content.decode()
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    assert hidden["_selected_action"] == seen.pk
    success(2)
    assert said(admin.post(SUCCESSES, hidden, follow=True)) == [
        ("success", "1 successful task deleted.")
    ]
    assert Success.objects.count() == 1


def test_there_may_be_nothing_to_delete(admin: Client) -> None:
    page = everything(admin, SUCCESSES, "delete_selected").content.decode()
    assert "0 successful tasks will be deleted." in page
    assert said(everything(admin, SUCCESSES, "delete_selected", post="yes")) == [
        ("warning", "0 successful tasks deleted.")
    ]
    assert not LogEntry.objects.exists()


# --- values that no row can have ------------------------------------------------------------

ODD = ["a\0b", "9" * 30, "abc"]


@pytest.mark.thorough
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", site.site._registry, ids=lambda model: model.__name__)
def test_no_list_fails_on_an_odd_address(admin: Client, model: Any) -> None:
    address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    fields = [field.name for field in model._meta.concrete_fields]
    names = ["q", "o", "p", "e", "pk__in", "func", "key", "error_class", *fields]
    for value in ODD:
        for name in names:
            assert admin.get(address, {name: value}).status_code < 500, (name, value)
        for page in ("change", "delete", "history"):
            assert admin.get(f"{address}{quote(value)}/{page}/").status_code < 500, (page, value)
        form = {"_selected_action": value, "post": "yes", "until": value}
        for action in ("delete_selected", "retry", "resubmit", "cancel"):
            reply = admin.post(address, {"action": action, **form})
            assert reply.status_code < 500, (action, value)
    assert admin.get(f"{address}_00/change/").status_code < 500
