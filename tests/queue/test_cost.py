"""What a task costs in statements, and that each finds its rows by an index: so that the
queue stays quick without a test that looks at a clock. docs/scaling.md counts on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task

from compute.computations.sums import SUM
from compute.models import Run
from compute.models.plans import plan
from compute.queue import packages, transitions
from compute.queue.broker import sharing
from compute.queue.engines import engine
from compute.queue.fanout import async_iter
from compute.queue.models import Flow, Job, JobState
from compute.queue.node import batch
from compute.queue.node.board import MOST, Board
from compute.queue.node.reporter import report
from compute.queue.node.sign import SIGN_S, Sign
from tests.queue import asked
from tests.queue.conftest import LocalNode

ADD = "tests.queue.functions.add"


@contextmanager
def costs(sqlite: list[str], postgres: list[str]) -> Iterator[None]:
    """Of each statement the first word, in order."""
    with CaptureQueriesContext(connection) as queries:
        yield
    said = [query["sql"].split(maxsplit=1)[0] for query in queries.captured_queries]
    assert said == (postgres if connection.vendor == "postgresql" else sqlite)


# --- statements -----------------------------------------------------------------------


def test_queueing_a_task_is_one_write(transactional_db: None) -> None:
    async_task(ADD, 1)
    with costs(sqlite=["BEGIN", "INSERT", "SELECT", "INSERT", "COMMIT"], postgres=["WITH"]):
        async_task(ADD, 1)


def test_enqueueing_a_task_of_djangos_own_is_one_write(transactional_db: None) -> None:
    asked.add.enqueue(1)
    with costs(sqlite=["BEGIN", "INSERT", "SELECT", "INSERT", "COMMIT"], postgres=["WITH"]):
        asked.add.using(priority=0).enqueue(1)


def test_running_one_is_one_write(transactional_db: None, node: LocalNode) -> None:
    asked.add.enqueue(1)
    task = node.claim_one()
    with costs(sqlite=["BEGIN", "UPDATE", "DELETE", "INSERT", "COMMIT"], postgres=["WITH"]):
        node.work(task)
    assert Job.objects.get().state == JobState.DONE


def test_looking_for_a_task_writes_nothing_if_there_is_none(
    transactional_db: None, node: LocalNode
) -> None:
    with costs(sqlite=["SELECT", "SELECT"], postgres=["WITH", "WITH"]):
        assert node.claim() == []


def test_what_waits_for_others_makes_nobody_wait_for_the_right_to_write(
    transactional_db: None, node: LocalNode
) -> None:
    async_task(ADD, 1, cluster="another")
    async_iter(ADD, [1], broker=sharing("ann"))
    Flow.objects.filter(client="ann").pause()
    with costs(sqlite=["SELECT", "SELECT"], postgres=["WITH", "WITH"]):
        assert node.claim() == []


def test_a_claim_is_one_write(transactional_db: None, node: LocalNode) -> None:
    async_task(ADD, 1)
    sqlite = ["SELECT", "BEGIN", "SELECT", "UPDATE", "UPDATE", "COMMIT"]
    with costs(sqlite=sqlite, postgres=["WITH"]):
        assert transitions.claim("sumsite", 1, node.row.pk, again_first=False)


def test_running_a_task_is_one_write(transactional_db: None, node: LocalNode) -> None:
    async_task(ADD, 1)
    task = node.claim_one()
    with costs(sqlite=["BEGIN", "UPDATE", "DELETE", "INSERT", "COMMIT"], postgres=["WITH"]):
        node.work(task)
    assert Job.objects.get().state == JobState.DONE


def test_however_many_have_run_are_reported_by_one_question(
    transactional_db: None, node: LocalNode
) -> None:
    async_iter(ADD, [1, 2, 3])
    ended = [node.work(task) for task in node.claim(2)]
    with costs(sqlite=["SELECT"], postgres=["SELECT"]):
        report(ended)


def test_tasks_that_are_groups_of_their_own_are_reported_by_two(
    transactional_db: None, node: LocalNode
) -> None:
    for number in range(3):
        async_task(ADD, number)
    ended = [node.work(node.claim_one()) for _ in range(3)]
    with costs(sqlite=["SELECT", "SELECT"], postgres=["SELECT", "SELECT"]):
        report(ended)


@pytest.mark.sqlite
def test_the_next_task_is_claimed_in_the_write_that_settles_the_last(
    transactional_db: None, node: LocalNode
) -> None:
    for number in range(2):
        async_task(ADD, number)
    claimed = node.worker.claim()
    assert claimed
    outcome, claim = ["UPDATE", "DELETE", "INSERT"], ["SELECT", "UPDATE", "UPDATE"]
    with costs(sqlite=["BEGIN", *outcome, *claim, "COMMIT"], postgres=[]):
        node.worker.take(*claimed)
        ahead = node.worker.claim()
    assert ahead
    lease, package = ahead
    assert packages.read(package)["args"] == (1,)
    assert node.worker.slot.held == lease.queue_id


@pytest.mark.parametrize("count", [1, 1_000])
def test_a_fan_out_takes_no_statement_for_each_task(transactional_db: None, count: int) -> None:
    with CaptureQueriesContext(connection) as queries:
        async_iter(ADD, range(count))
    if connection.vendor == "postgresql":
        assert len(queries) == 6  # BEGIN, its flow, two INSERTs, NOTIFY, COMMIT
    else:  # SQLite takes 999 values in a statement, and a task has ten.
        assert len(queries) <= 6 + count / 80


def test_a_sign_of_life_is_one_write(transactional_db: None, node: LocalNode) -> None:
    sign, board = Sign(node.row.pk, 1, timezone.now()), Board(2)
    sign.give(Conf.IDLE, [11, 12], board, 0)
    sign.written = sign.written[0] - SIGN_S, Conf.IDLE
    with costs(sqlite=["BEGIN", "UPDATE", "COMMIT"], postgres=["UPDATE"]):
        sign.give(Conf.IDLE, [11, 12], board, 0)


# --- plans ----------------------------------------------------------------------------


@pytest.fixture
def crowd(node: LocalNode) -> Run:
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


def plans(queries: CaptureQueriesContext) -> str:
    """How the database would run what was captured."""
    lines = []
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            if re.match(r"\s*(WITH|SELECT|UPDATE|INSERT|DELETE)", query["sql"]):
                cursor.execute(f"{explain(query['sql'])} {query['sql']}")
                lines += [str(line[-1]) for line in cursor.fetchall()]
    return "\n".join(lines)


def explain(statement: str) -> str:
    """A prepared one has no values, and one plan for all that it may get."""
    if connection.vendor == "sqlite":
        return "EXPLAIN QUERY PLAN"
    return "EXPLAIN (GENERIC_PLAN)" if "$1" in statement else "EXPLAIN"


def read_whole(plan: str) -> list[str]:
    """The tables that are read from one end to the other."""
    tables = "queue_job|django_q_ormq|django_q_task"
    return re.findall(rf"(?:Seq Scan on|SCAN) ({tables})\b(?! USING)", plan)


@pytest.mark.thorough
@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("again_first", [False, True])
@pytest.mark.parametrize("uncharged", [{}, {1: 0.5}])
def test_a_claim_sorts_flows_alone_and_finds_their_tasks_by_an_index_that_has_no_others(
    crowd: Run, node: LocalNode, limited: bool, again_first: bool, uncharged: dict[int, float]
) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert transitions.claim(
            *("sumsite", 1, node.row.pk),
            again_first=again_first,
            limited=limited,
            uncharged=uncharged,
        )
    plan = plans(queries)
    assert read_whole(plan) == [], plan
    assert "job_waiting" in plan, plan
    assert ("queue_package_again" in plan) == again_first, plan
    if connection.vendor == "postgresql":
        sorts = re.findall(r"Sort Key: (.*)", plan)
        # A pool's slots; what is up again; and whose tasks the node has had at work.
        few = "queue_slot.number", "package.lock, package.id", "its.client", "its_1.client"
        assert all("served" in sort or sort in few for sort in sorts), plan
    else:
        assert plan.count("TEMP B-TREE") <= 3, plan  # clients, their flows, what is not charged


@pytest.mark.thorough
def test_what_a_node_does_for_the_flows_reads_no_table_of_tasks(
    crowd: Run, node: LocalNode
) -> None:
    flow = Flow.objects.all()[0]
    with CaptureQueriesContext(connection) as queries:
        engine().charge("sumsite", flow.pk, 1)
        engine().lift("sumsite")
        engine().tidy("sumsite")
        transitions.recover("sumsite")
    plan = plans(queries)
    assert read_whole(plan) == [], plan


@pytest.mark.thorough
def test_an_outcome_finds_its_rows_by_index(crowd: Run, node: LocalNode) -> None:
    task = node.claim_one()
    with CaptureQueriesContext(connection) as queries:
        node.work(task)
    plan = plans(queries)
    assert read_whole(plan) == [], plan


@pytest.mark.thorough
def test_of_several_tasks_each_finds_its_rows_by_index(
    crowd: Run, node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = node.worker
    monkeypatch.setattr(batch, "monotonic", lambda: 0.0)
    worker.batch.times = dict.fromkeys(Flow.objects.values_list("pk", flat=True), 0.0)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(MOST):
            assert worker.turn()
    assert Job.objects.filter(state=JobState.DONE, node=node.row).count() >= MOST - 1
    plan = plans(queries)
    assert "job_waiting" in plan, plan
    # To take 31 of 4,000 jobs Postgres rather reads all of them: with more it would not.
    few = {"queue_job"} if connection.vendor == "postgresql" else set()
    assert set(read_whole(plan)) <= few, plan


@pytest.mark.thorough
def test_what_is_given_back_is_found_by_index(crowd: Run, node: LocalNode) -> None:
    node.claim(3)
    held = Job.objects.filter(node=node.row).held()
    with CaptureQueriesContext(connection) as queries:
        assert engine().give_back(held, 0) == 3
    plan = plans(queries)
    assert "queue_job" in plan
    assert read_whole(plan) == [], plan


@pytest.mark.thorough
def test_whether_a_group_is_through_is_seen_by_index(crowd: Run) -> None:
    tasks = list(crowd.jobs.values_list("pk", flat=True)[:50])
    with CaptureQueriesContext(connection) as queries:
        assert engine().through(tasks) == set()
    plan = plans(queries)
    assert "queue_job" in plan
    assert read_whole(plan) == [], plan


@pytest.mark.thorough
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_check_reads_no_table_whole(crowd: Run, accept: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        reply = Client().get(
            "/split-sum-check/", {"task_id": crowd.task_id}, headers={"accept": accept}
        )
    assert reply.status_code == 200
    plan = plans(queries)
    assert "job" in plan
    assert read_whole(plan) == [], plan


@pytest.mark.thorough
def test_jobs_without_a_package_are_looked_for_among_the_unsettled_ones(crowd: Run) -> None:
    Job.objects.filter(position__gte=20).update(state=JobState.DONE)
    with CaptureQueriesContext(connection) as queries:
        engine().orphans("sumsite", 10)
    plan = plans(queries)
    assert "queue_job" not in read_whole(plan), plan
