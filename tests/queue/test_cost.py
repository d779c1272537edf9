"""What a task costs in statements, and that each finds its rows by an index: so that the
queue stays quick without a test that looks at a clock. docs/scaling.md counts on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawValue

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from django_q.status import Stat
from django_q.tasks import async_task

from compute.computations.sums import SUM
from compute.models.plans import plan
from compute.queue.channels import Bell, Inbox
from compute.queue.engines import engine
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from compute.queue.monitor import report
from tests.queue.conftest import sentinel

ADD = "tests.queue.functions.add"


@contextmanager
def costs(sqlite: list[str], postgres: list[str]) -> Iterator[None]:
    """Of each statement the first word, in order."""
    with CaptureQueriesContext(connection) as queries:
        yield
    said = [re.match(r"\s*(\w+)", query["sql"])[1] for query in queries.captured_queries]
    assert said == (postgres if connection.vendor == "postgresql" else sqlite)


# --- statements -----------------------------------------------------------------------


def test_queueing_a_task_is_one_write(transactional_db):
    async_task(ADD, 1)
    with costs(sqlite=["BEGIN", "INSERT", "INSERT", "COMMIT"], postgres=["WITH"]):
        async_task(ADD, 1)


def test_looking_for_a_task_writes_nothing_if_there_is_none(transactional_db, node):
    with costs(sqlite=["SELECT"], postgres=["WITH"]):
        assert node.claim() == []


def test_a_claim_is_one_write(transactional_db, node):
    async_task(ADD, 1)
    sqlite = ["SELECT", "BEGIN", "SELECT", "UPDATE", "UPDATE", "COMMIT"]
    with costs(sqlite=sqlite, postgres=["WITH"]):
        assert node.claim()


def test_running_a_task_is_one_write(transactional_db, node):
    async_task(ADD, 1)
    task = node.claim_one()
    with costs(sqlite=["BEGIN", "UPDATE", "DELETE", "INSERT", "COMMIT"], postgres=["WITH"]):
        node.work(task)
    assert Job.objects.get().state == JobState.DONE


def test_however_many_have_run_are_reported_by_one_question(transactional_db, node):
    async_iter(ADD, [1, 2, 3])
    ended = [node.work(task) for task in node.claim(2)]
    with costs(sqlite=["SELECT"], postgres=["SELECT"]):
        report(ended, node.broker)


def test_tasks_that_are_groups_of_their_own_are_reported_by_two(transactional_db, node):
    for number in range(3):
        async_task(ADD, number)
    ended = [node.work(node.claim_one()) for _ in range(3)]
    with costs(sqlite=["SELECT", "SELECT"], postgres=["SELECT", "SELECT"]):
        report(ended, node.broker)


@pytest.mark.sqlite
def test_the_next_task_is_claimed_in_the_write_that_settles_the_last(transactional_db, node):
    for number in range(2):
        async_task(ADD, number)
    bell = Bell()
    inbox = Inbox(node.broker, bell, RawValue("b", 0))
    task = inbox.get()
    outcome, claim = ["UPDATE", "DELETE", "INSERT"], ["SELECT", "UPDATE", "UPDATE"]
    with costs(sqlite=["BEGIN", *outcome, *claim, "COMMIT"], postgres=[]):
        node.work(task)
        assert inbox.get()["args"] == (1,)
    bell.close()


@pytest.mark.parametrize("count", [1, 1_000])
def test_a_fan_out_takes_no_statement_for_each_task(transactional_db, count):
    with CaptureQueriesContext(connection) as queries:
        async_iter(ADD, range(count))
    if connection.vendor == "postgresql":
        assert len(queries) == 5  # BEGIN, two INSERTs, NOTIFY, COMMIT
    else:  # SQLite takes 999 values in a statement, and a task has ten.
        assert len(queries) <= 4 + count / 80


def test_a_sign_of_life_is_one_write(transactional_db, node):
    Stat(sentinel(node)).save()
    node.broker._written = (0.0, "")  # a second ago
    with costs(sqlite=["BEGIN", "UPDATE", "COMMIT"], postgres=["UPDATE"]):
        Stat(sentinel(node)).save()


# --- plans ----------------------------------------------------------------------------


@pytest.fixture
def crowd(node):
    """Tables in which a statement that reads them whole would be slow; half is done."""
    if connection.vendor == "postgresql":  # dead rows of other tests decide a plan, too
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE queue_job, django_q_ormq, django_q_task")
    run = plan(SUM, {"n": 200}, 1).start()
    async_iter(ADD, range(4_000))
    half = run.jobs.filter(position__lt=100)
    OrmQ.objects.filter(pk__among=list(half.values_list("queue_id", flat=True))).delete()
    half.order_by().update(state=JobState.DONE, result=1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return run


def plans(queries) -> str:
    """How the database would run what was captured."""
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    lines = []
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            if re.match(r"\s*(WITH|SELECT|UPDATE|INSERT|DELETE)", query["sql"]):
                cursor.execute(f"{explain} {query['sql']}")
                lines += [str(line[-1]) for line in cursor.fetchall()]
    return "\n".join(lines)


def read_whole(plan: str) -> list[str]:
    """The tables that are read from one end to the other."""
    tables = "queue_job|django_q_ormq|django_q_task"
    return re.findall(rf"(?:Seq Scan on|SCAN) ({tables})\b(?! USING)", plan)


def test_a_claim_reads_the_queue_in_its_order_and_jobs_by_index(crowd, node):
    with CaptureQueriesContext(connection) as queries:
        assert node.claim()
    plan = plans(queries)
    if connection.vendor == "postgresql":
        assert read_whole(plan) == [], plan
        assert "Sort" not in plan.partition("CTE free")[2].partition("CTE leased")[0], plan
    else:
        # SQLite's table is its own index by id: from the front, until there are enough.
        assert set(read_whole(plan)) <= {"django_q_ormq"}, plan
        assert "TEMP B-TREE" not in plan, plan
    assert re.search(r"queue_job_queue_id|queue_job USING INDEX", plan), plan


def test_an_outcome_finds_its_rows_by_index(crowd, node):
    task = node.claim_one()
    with CaptureQueriesContext(connection) as queries:
        node.work(task)
    plan = plans(queries)
    assert read_whole(plan) == [], plan


def test_what_is_given_back_is_found_by_index(crowd, node):
    node.claim(3)
    held = Job.objects.filter(node=node.row).held()
    with CaptureQueriesContext(connection) as queries:
        assert engine().give_back(held, 0) == 3
    plan = plans(queries)
    assert "queue_job" in plan
    assert read_whole(plan) == [], plan


def test_whether_a_group_is_through_is_seen_by_index(crowd):
    tasks = list(crowd.jobs.values_list("pk", flat=True)[:50])
    with CaptureQueriesContext(connection) as queries:
        assert engine().through(tasks) == set()
    plan = plans(queries)
    assert "queue_job" in plan
    assert read_whole(plan) == [], plan


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_check_reads_no_table_whole(crowd, accept):
    with CaptureQueriesContext(connection) as queries:
        reply = Client().get(
            "/split-sum-check/", {"task_id": crowd.task_id}, headers={"accept": accept}
        )
    assert reply.status_code == 200
    plan = plans(queries)
    assert "job" in plan
    assert read_whole(plan) == [], plan
