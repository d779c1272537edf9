"""Every arrow of a job's life: from where it leads, and from where nothing happens."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task
from pytest_django import DjangoAssertNumQueries, Settings

from compute.queue import packages, transitions
from compute.queue.engines import UP, Lease
from compute.queue.models import Job, JobState
from compute.queue.transitions import MAX_DEATHS, UNKNOWN_PAUSE, UNKNOWN_TRIES
from tests import recipes
from tests.processes import ROOT
from tests.queue.conftest import LocalNode, expire_leases, leases, the_id

pytestmark = pytest.mark.django_db

ADD = "tests.queue.functions.add"
#: The delivery of the jobs below, whichever state they are in.
DELIVERY = 3


def in_state(state: str) -> Job:
    """A job that has come as far as that, with a package that nobody holds."""
    job = recipes.job.make(state=state, delivery=DELIVERY, attempt=DELIVERY, payload="package")
    job.queue_id = OrmQ.objects.create(key="sumsite", payload="package", lock=UP).pk
    job.save()
    return job


def lease(job: Job) -> Lease:
    return Lease(the_id(job), DELIVERY, DELIVERY)


def retried(job: Job) -> Any:
    with transaction.atomic():
        return transitions.retry([job.pk])


def gone_on(job: Job) -> Any:
    with transaction.atomic():
        return transitions.go_on([job.pk])


def settled(state: JobState) -> Callable[[Job], Any]:
    return lambda job: transitions.settle(job.pk, lease(job), state, {}, None)


#: What is done to a job, and what becomes of it from each state; from all others, nothing.
ARROWS: dict[str, tuple[Callable[[Job], Any], dict[str, str]]] = {
    "claim": (
        lambda job: [1 for lease, _ in transitions.claim("sumsite", 1, None) if lease.delivery],
        {"queued": "running", "running": "running"},
    ),
    "settle, done": (settled(JobState.DONE), {"queued": "done", "running": "done"}),
    "settle, failed": (settled(JobState.FAILED), {"queued": "failed", "running": "failed"}),
    "withdraw": (
        lambda job: transitions.withdraw([job.pk], "cancelled by boss"),
        {"queued": "cancelled", "running": "cancelled"},
    ),
    "give_back": (
        lambda job: transitions.give_back([(job.pk, DELIVERY)]),
        {"queued": "queued", "running": "queued"},
    ),
    "postpone": (
        lambda job: transitions.postpone((job.pk, DELIVERY), 1),
        {"queued": "queued", "running": "queued"},
    ),
    "leave": (
        lambda job: transitions.leave((job.pk, DELIVERY), UNKNOWN_PAUSE),
        {"queued": "queued", "running": "queued"},
    ),
    "retry": (retried, {"failed": "queued"}),
    "go_on": (gone_on, {"cancelled": "queued"}),
}


@pytest.mark.parametrize("state", [*JobState])
@pytest.mark.parametrize("arrow", ARROWS)
def test_an_arrow_leads_from_some_states_and_from_others_nowhere(arrow: str, state: str) -> None:
    take, leads = ARROWS[arrow]
    job = in_state(state)
    before = Job.objects.values().get()
    assert bool(take(job)) == (state in leads)
    after = Job.objects.values().get()
    if state in leads:
        assert after["state"] == leads[state]
    else:
        assert after == before


@pytest.mark.parametrize(
    "arrow", ["settle, done", "settle, failed", "give_back", "postpone", "leave"]
)
def test_of_a_delivery_that_is_over_nothing_counts(arrow: str) -> None:
    job = in_state("running")
    Job.objects.update(delivery=DELIVERY + 1)
    before = Job.objects.values().get()
    assert not ARROWS[arrow][0](job)
    assert Job.objects.values().get() == before
    assert OrmQ.objects.exists()


@pytest.mark.parametrize(
    ("arrow", "state", "rises"),
    [
        *(("claim", "queued", 1), ("claim", "running", 1), ("give_back", "running", 1)),
        *(("retry", "failed", 1), ("go_on", "cancelled", 1)),
    ],
)
def test_a_delivery_rises_when_a_job_changes_hands(arrow: str, state: str, rises: int) -> None:
    ARROWS[arrow][0](in_state(state))
    assert Job.objects.get().delivery == DELIVERY + rises


# --- claims -------------------------------------------------------------------------------


def test_tasks_are_claimed_in_the_order_they_were_queued(node: LocalNode) -> None:
    ids = [async_task(ADD, number) for number in range(5)]
    assert [task["id"] for task in node.claim(2)] == ids[:2]
    assert [node.claim_one()["id"] for _ in range(3)] == ids[2:]
    assert node.claim() == []


def test_a_task_is_claimed_once(node: LocalNode, other_node: LocalNode) -> None:
    async_task(ADD, 1)
    assert len(node.claim(10)) == 1
    assert other_node.claim(10) == []
    assert node.claim(10) == []


def test_a_claim_says_who_has_it_and_how_often_it_was_handed_out(node: LocalNode) -> None:
    async_task(ADD, 1)
    task = node.claim_one()
    job = Job.objects.get()
    lease = Lease(the_id(job), delivery=1, attempt=1, starts=1, flow=job.flow_id or 0)
    assert task["ack_id"] == lease
    assert (job.state, job.delivery, job.node) == (JobState.RUNNING, 1, node.row)
    assert (job.attempt, job.starts, job.worker) == (1, 1, os.getpid())
    assert job.started_at
    assert abs(job.started_at - timezone.now()) < timedelta(seconds=60)


def test_a_claim_takes_the_tasks_of_its_own_queue_alone(node: LocalNode) -> None:
    async_task(ADD, 1, cluster="other")
    assert node.claim() == []
    ((lease, _),) = transitions.claim("other", 1, node.row.pk)
    assert lease.delivery == 1


def test_a_claim_is_a_lease(node: LocalNode, settings: Settings) -> None:
    settings.Q_LEASE = 15
    async_task(ADD, 1)
    assert leases()[0] < 0
    node.claim_one()
    assert 10 < leases()[0] <= 15


@pytest.mark.parametrize("wrong", [-1, 1])
def test_leases_go_by_the_databases_clock(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, wrong: int
) -> None:
    true_now = timezone.now()
    with monkeypatch.context() as context:
        context.setattr(timezone, "now", lambda: true_now + timedelta(days=wrong))
        async_task(ADD, 1)
        node.claim_one()
        assert node.claim() == []
    assert 0 < leases()[0] < 60


def test_a_lease_that_has_run_out_is_claimed_again(node: LocalNode, other_node: LocalNode) -> None:
    async_task(ADD, 1)
    first = node.claim_one()
    Job.objects.update(worker=1)
    expire_leases()
    second = other_node.claim_one()
    assert second["id"] == first["id"]
    assert [first["ack_id"].delivery, second["ack_id"].delivery] == [1, 2]
    job = Job.objects.get()
    assert (job.state, job.delivery, job.attempt) == (JobState.RUNNING, 2, 2)
    assert (job.node, job.worker) == (other_node.row, os.getpid())


def test_what_a_nodes_own_workers_have_is_not_taken_over_by_it(
    node: LocalNode, other_node: LocalNode
) -> None:
    """When a clock jumps, all leases seem to have ended."""
    first, second = async_task(ADD, 1), async_task(ADD, 2)
    held = [node.claim_one()["ack_id"].queue_id]
    expire_leases()
    claimed = transitions.claim("sumsite", 5, node.row.pk, held)
    assert [packages.read(package)["id"] for _, package in claimed] == [second]
    assert transitions.claim("sumsite", 5, node.row.pk, held) == []
    assert [task["id"] for task in other_node.claim(5)] == [first], "others can't know it"


def test_a_lease_that_ran_out_comes_before_younger_tasks(
    node: LocalNode, other_node: LocalNode
) -> None:
    old, young = async_task(ADD, 1), async_task(ADD, 2)
    node.claim_one()
    expire_leases()
    assert [task["id"] for task in other_node.claim(2)] == [old, young]


def test_an_idle_node_takes_no_write_lock(node: LocalNode) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert node.claim() == []
    if connection.vendor == "sqlite":  # Postgres locks rows, of which there are none
        assert {query["sql"].split()[0] for query in queries} == {"SELECT"}


def test_a_claim_of_many_takes_as_many_statements_as_of_one(node: LocalNode) -> None:
    for number in range(20):
        async_task(ADD, number)
    with CaptureQueriesContext(connection) as one:
        node.claim(1)
    with CaptureQueriesContext(connection) as many:
        assert len(node.claim(19)) == 19
    assert len(many) == len(one)


def test_a_package_without_a_job_is_claimed_too(node: LocalNode) -> None:
    queue_id = transitions.enter_alone("sumsite", "a package")
    assert transitions.claim("sumsite", 1, node.row.pk) == [(Lease(queue_id), "a package")]


def test_the_lease_of_a_job_made_for_a_claimed_package_is_as_its_row(node: LocalNode) -> None:
    lease = Lease(transitions.enter_alone("sumsite", "a package"))
    task = {"id": recipes.new_id(), "name": "foreign"}
    admitted = transitions.admit(lease, task, "sumsite", node.row.pk)
    job = Job.objects.get()
    assert admitted == Lease(lease.queue_id, job.delivery, job.attempt, job.starts)
    assert (job.delivery, job.attempt, job.starts, job.position) == (1, 1, 1, 0)
    assert transitions.admit(lease, task, "sumsite", node.row.pk) == lease, "it has one"


def test_a_task_given_back_can_be_claimed_at_once(node: LocalNode, other_node: LocalNode) -> None:
    async_task(ADD, 1)
    first = node.claim_one()
    assert Job.objects.filter(node=node.row).give_back() == 1
    assert leases()[0] <= 0
    second = other_node.claim_one()
    assert second["ack_id"].delivery > first["ack_id"].delivery
    assert not second["ack_id"].expired


# --- back, and to the end -----------------------------------------------------------------


def test_nothing_is_given_back_by_no_statement(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(0):
        assert transitions.give_back([]) == 0


def test_a_postponed_job_comes_again_after_the_pause_and_not_for_ever() -> None:
    job = in_state("running")
    assert transitions.postpone((job.pk, DELIVERY), UNKNOWN_TRIES) is False
    assert transitions.postpone((job.pk, DELIVERY), UNKNOWN_TRIES - 1) is True
    assert 0 < leases()[0] <= UNKNOWN_PAUSE.total_seconds()
    assert transitions.claim("sumsite", 1, None) == []
    expire_leases()
    assert len(transitions.claim("sumsite", 1, None)) == 1


def test_a_start_here_that_was_none_is_not_counted() -> None:
    job = in_state("queued")
    ((lease, _),) = transitions.claim("sumsite", 1, None)
    assert (lease.attempt, lease.starts) == (DELIVERY + 1, 1)
    assert transitions.leave((job.pk, lease.delivery), UNKNOWN_PAUSE)
    left = Job.objects.get()
    assert (left.state, left.attempt, left.starts) == (JobState.QUEUED, DELIVERY, 0)


def test_a_job_survives_all_deaths_but_the_last() -> None:
    job = in_state("running")
    survived = [transitions.survives(job.pk, deaths) for deaths in range(MAX_DEATHS)]
    assert survived == [True] * (MAX_DEATHS - 1) + [False]
    assert Job.objects.get().deaths == MAX_DEATHS - 1


def test_in_a_request_a_job_starts_without_a_package() -> None:
    job = recipes.job.make()
    transitions.start_in_request(job.pk)
    assert Job.objects.get().state == JobState.RUNNING
    assert transitions.settle(job.pk, Lease(0, 1, 1), JobState.DONE, {}, None)
    assert Job.objects.get().state == JobState.DONE


@pytest.mark.parametrize("state", [state for state in JobState if state != JobState.QUEUED])
def test_in_a_request_nothing_starts_but_what_waits(state: str) -> None:
    job = in_state(state)
    before = Job.objects.values().get()
    transitions.start_in_request(job.pk)
    assert Job.objects.values().get() == before


def test_the_picture_shows_these_arrows_and_no_others() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    drawn = set(re.findall(r"^ +(\S+) --> (\S+): (\w+)", text, re.M))
    leads = {
        (before, after, arrow.partition(",")[0])
        for arrow, (_, states) in ARROWS.items()
        for before, after in states.items()
    }
    in_request = {("queued", "running", "start_in_request")}
    new = {("[*]", "queued", "enter"), ("[*]", "queued", "enter_all"), ("[*]", "running", "admit")}
    assert {arrow for arrow in drawn if arrow[1] != "[*]"} == leads | in_request | new
