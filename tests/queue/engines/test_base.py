"""What every engine promises, on whichever database the tests have."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ, Task

from compute.queue.engines import FREE, Lease, Share, engine
from compute.queue.engines.values import Entry, Outcome
from compute.queue.models import Flow, Job, JobState, Node
from compute.queue.records import columns_of
from tests import database, recipes
from tests.conftest import About
from tests.queue.conftest import expire_leases, leases, the_id

pytestmark = pytest.mark.django_db


SHARE = Share("f", "f")


def entry(number: int = 1) -> Entry:
    return Entry(f"package {number}", recipes.new_id(), f"task {number}", timezone.now())


def enter(number: int = 1) -> Job:
    """A queued job with its package."""
    new = entry(number)
    engine().enter("sumsite", new.payload, (new, SHARE))
    return Job.objects.get(pk=new.task_id)


def claim(
    limit: int = 1, node: Node | None = None, held: Collection[int] = ()
) -> list[tuple[Lease, str]]:
    node_id, worker = (node.pk, 7) if node else (None, None)
    return engine().claim(
        again_first=True,
        limited=True,
        queue="sumsite",
        limit=limit,
        node=node_id,
        worker=worker,
        lease_s=60,
        held=list(held),
    )


def record(job: Job, **fields: Any) -> dict[str, Any]:
    now = timezone.now()
    values = {"started": now, "stopped": now, "success": True, "result": 7, **fields}
    return columns_of(Task(id=job.pk, name=job.name, func="f", group="g", **values))


# --- into the queue -----------------------------------------------------------------------


def test_a_package_and_its_job_are_entered_together() -> None:
    new = entry()
    queue_id = engine().enter("slow", new.payload, (new, SHARE))
    package, job = OrmQ.objects.get(), Job.objects.get()
    assert (package.pk, package.key, package.payload, package.lock) == (
        queue_id,
        "slow",
        "package 1",
        FREE,
    )
    assert (job.pk, job.group, job.position, job.queue, job.queue_id, job.name) == (
        *(new.task_id, new.task_id, 0, "slow", queue_id),
        "task 1",
    )
    assert (job.state, job.delivery, job.queued_at) == (JobState.QUEUED, 0, new.queued_at)


def test_a_package_may_have_no_job() -> None:
    queue_id = engine().enter("sumsite", "package")
    assert OrmQ.objects.get().pk == queue_id
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_job_that_cannot_be_written_leaves_no_package() -> None:
    taken = enter()
    with pytest.raises(DatabaseError):
        engine().enter("sumsite", "package", (entry()._replace(task_id=taken.pk), SHARE))
    entries = [entry(), entry()._replace(task_id=taken.pk)]
    with pytest.raises(DatabaseError), transaction.atomic():
        engine().enter_all("sumsite", "group", entries, SHARE)
    assert OrmQ.objects.count() == Job.objects.count() == 1


@pytest.mark.thorough
def test_a_group_is_entered_in_its_order_each_job_with_its_own_package() -> None:
    enter()
    OrmQ.objects.all().delete()  # ids are never given twice
    entries = [entry(number) for number in range(2000)]
    engine().enter_all("sumsite", "group", entries, SHARE)
    payloads = dict(OrmQ.objects.values_list("pk", "payload"))
    jobs = list(Job.objects.in_group("group"))
    assert [(job.pk, job.name, payloads[job.queue_id]) for job in jobs] == [
        (each.task_id, each.name, each.payload) for each in entries
    ]
    assert [job.position for job in jobs] == list(range(2000))
    assert {job.queued_at for job in jobs} == {each.queued_at for each in entries}
    assert set(OrmQ.objects.values_list("lock", flat=True)) == {FREE}


# --- claims -------------------------------------------------------------------------------


def test_the_oldest_free_packages_are_claimed_and_their_jobs_run() -> None:
    node = recipes.node.make()
    jobs = [enter(number) for number in range(3)]
    claimed = claim(2, node)
    assert claimed == [
        (
            Lease(the_id(job), delivery=1, attempt=1, starts=1, flow=job.flow_id or 0),
            f"package {number}",
        )
        for number, job in enumerate(jobs[:2])
    ]
    job = Job.objects.get(pk=jobs[0].pk)
    assert (job.state, job.node, job.worker, job.progress) == (JobState.RUNNING, node, 7, 0)
    assert job.started_at
    assert abs(job.started_at - timezone.now()) < timedelta(minutes=1)
    assert [lease > 0 for lease in leases()] == [True, True, False]
    assert [payload for _, payload in claim(5)] == ["package 2"]
    assert claim() == []


def test_a_claim_that_comes_after_the_end_of_another_says_so() -> None:
    enter()
    claim()
    expire_leases()
    Job.objects.update(progress=0.5)
    ((lease, _),) = claim()
    assert (lease.delivery, lease.attempt, lease.starts, lease.expired) == (2, 2, 2, True)
    assert Job.objects.get().progress == 0, "it begins anew"


def test_what_was_given_back_for_later_was_not_lost() -> None:
    """As what this node's code does not know, or another's key has signed."""
    job = enter()
    claim()
    assert engine().give_back([(job.pk, 1)], 60) == 1
    expire_leases()  # a minute later
    ((lease, _),) = claim()
    assert (lease.delivery, lease.attempt, lease.expired) == (3, 2, False)
    expire_leases()
    ((lease, _),) = claim()
    assert (lease.attempt, lease.expired) == (3, True)


def test_what_was_given_back_has_its_place_before_what_is_younger() -> None:
    jobs = [enter(number) for number in range(10)]
    claim(5)
    engine().give_back([(job.pk, 1) for job in jobs[:5]], 0)
    claimed = [claim()[0][0].queue_id for _ in jobs]
    assert claimed == [job.queue_id for job in jobs]


def test_what_the_node_knows_to_be_at_work_is_not_taken_over_whatever_a_clock_says() -> None:
    jobs = [enter(number) for number in range(3)]
    held = [lease.queue_id for lease, _ in claim(2)]
    expire_leases()  # as if the database's clock had been set forward
    assert [lease.queue_id for lease, _ in claim(5, held=held)] == [jobs[2].queue_id]
    expire_leases()
    assert claim(5, held=[*held, the_id(jobs[2]), 10**12]) == []
    taken_over = [lease for lease, _ in claim(5, held=held[1:])]
    assert [lease.queue_id for lease in taken_over] == [jobs[0].queue_id, jobs[2].queue_id]
    assert {lease.expired for lease in taken_over} == {True}


def test_what_is_held_takes_no_place_of_what_is_free() -> None:
    jobs = [enter(number) for number in range(2)]
    claim(2)
    expire_leases()
    assert [payload for _, payload in claim(1, held=[the_id(jobs[0])])] == ["package 1"]


def test_a_start_that_is_not_counted_leaves_no_less_than_none() -> None:
    job = enter()
    claim()
    for _ in range(2):
        engine().uncount_starts([job.pk])
        job.refresh_from_db()
        assert (job.attempt, job.starts) == (0, 0)


def test_a_package_whose_job_has_settled_is_claimed_for_nothing() -> None:
    job = enter()
    Job.objects.update(state=JobState.CANCELLED)
    assert claim() == []
    assert engine().stray("sumsite") == 1
    assert claim() == [(Lease(the_id(job)), "package 1")]
    assert Job.objects.get().state == JobState.CANCELLED


def test_a_job_without_a_package_can_be_started() -> None:
    job = recipes.job.make()
    engine().start(job.pk, 7)
    job.refresh_from_db()
    assert (job.state, job.delivery, job.attempt, job.worker) == (JobState.RUNNING, 1, 1, 7)
    assert job.started_at


# --- outcomes -----------------------------------------------------------------------------


def test_outcome_package_and_record_are_one() -> None:
    job = enter()
    ((lease, _),) = claim()
    outcome = {"state": "done", "result": None, "error": 'a "%" \\ or two'}
    assert engine().settle(job.pk, lease, outcome, record(job), None)
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.DONE, outcome["error"])
    assert job.finished_at
    assert abs(job.finished_at - timezone.now()) < timedelta(minutes=1)
    assert not OrmQ.objects.exists()
    assert (Task.objects.get().pk, Task.objects.get().result) == (job.pk, 7)


def test_a_record_takes_the_place_of_the_one_before() -> None:
    for success in (False, True):
        job = Job.objects.first() or enter()
        Job.objects.update(state=JobState.QUEUED, delivery=1)
        outcome = {"state": "done"}
        values = record(job, success=success)
        assert engine().settle(job.pk, Lease(the_id(job), 1), outcome, values, None)
    assert Task.objects.get().success is True


@pytest.mark.parametrize(
    "change", [{"delivery": 2}, *({"state": state} for state in ("done", "failed", "cancelled"))]
)
def test_an_outcome_that_does_not_count_writes_nothing(change: dict[str, Any]) -> None:
    job = enter()
    ((lease, _),) = claim()
    Job.objects.update(**change)
    before = Job.objects.values().get()
    called: list[int] = []
    ends = engine().settle(
        job.pk, lease, {"state": "failed"}, record(job), lambda: called.append(1)
    )
    assert ends is False
    assert Job.objects.values().get() == before
    assert OrmQ.objects.exists()
    assert not Task.objects.exists()
    assert called == []


def test_where_writes_come_one_after_another_more_is_done_within_one() -> None:
    job = enter()
    ((lease, _),) = claim()
    within: list[bool] = []

    def then() -> None:
        within.append(connection.in_atomic_block and not OrmQ.objects.exists())

    assert engine().settle(job.pk, lease, {"state": "done"}, None, then)
    assert within == ([True] if database.ENGINE == "sqlite" else [])


# --- back into the queue --------------------------------------------------------------------


def test_what_is_given_back_is_up_at_once() -> None:
    jobs = [enter(number) for number in range(3)]
    claim(2, recipes.node.make())
    assert engine().give_back([(jobs[0].pk, 1), (jobs[2].pk, 0)], 0) == 2
    states: Any = Job.objects.order_by("queue_id").values_list(
        "state", "delivery", "node", "worker"
    )
    assert [states[0], states[2]] == [("queued", 2, None, None), ("queued", 1, None, None)]
    assert states[1][:2] == ("running", 1)
    assert list(OrmQ.objects.order_by("pk").values_list("lock", flat=True)[::2]) == [FREE, FREE]


@pytest.mark.parametrize("change", [{"delivery": 2}, {"state": JobState.DONE}])
def test_what_has_changed_hands_is_not_given_back(change: dict[str, Any]) -> None:
    job = enter()
    claim()
    Job.objects.update(**change)
    before = Job.objects.values().get()
    assert engine().give_back([(job.pk, 1)], 0) == 0
    assert Job.objects.values().get() == before
    assert leases()[0] > 0


def test_a_pause_goes_by_the_databases_clock() -> None:
    job = enter()
    claim()
    assert engine().give_back([(job.pk, 1)], 7.5) == 1
    assert 3 < leases()[0] <= 7.5
    assert claim() == []


@pytest.mark.thorough
def test_however_many_are_given_back_it_is_one_write() -> None:
    counts = []
    for number in (1, 500):
        held = [(enter(each).pk, 0) for each in range(number)]
        with CaptureQueriesContext(connection) as queries:
            assert engine().give_back(held, 0) == number
        counts.append(len(queries))
    assert counts == ([1, 1] if database.ENGINE == "postgres" else [3, 3])


def test_deaths_are_counted() -> None:
    job = enter()
    engine().count_death(job.pk)
    engine().count_death(job.pk)
    job.refresh_from_db()
    assert job.deaths == 2


# --- withdrawn and queued again -----------------------------------------------------------


def outcome(job: Job, **fields: Any) -> Outcome:
    now = time.monotonic()
    lease = Lease(the_id(job), 1, 1, 1)
    return Outcome(job.pk, lease, "7", record(job), now - 2, now - 0.5)._replace(**fields)


def test_several_are_settled_in_one_write(about: About) -> None:
    jobs = [enter(number) for number in range(3)]
    claim(3)
    later: list[bool] = []
    outcomes = [outcome(jobs[0]), outcome(jobs[1], result=None, record=None)]
    assert engine().settle_done(outcomes, lambda: later.append(True)) == {
        jobs[0].pk,
        jobs[1].pk,
    }
    assert later == ([True] if connection.vendor == "sqlite" else [])
    assert list(OrmQ.objects.values_list("pk", flat=True)) == [the_id(jobs[2])]
    first, second, third = Job.objects.order_by("queue_id")
    assert (first.state, first.result, first.payload) == (JobState.DONE, "7", "")
    assert (second.state, second.result) == (JobState.DONE, None)
    assert third.state == JobState.RUNNING
    for job in (first, second):
        assert job.started_at
        assert job.finished_at
        assert (job.finished_at - job.started_at).total_seconds() == pytest.approx(1.5, abs=0.01)
        assert (timezone.now() - job.finished_at).total_seconds() == about(0.5, within=0.4)
    saved = Task.objects.get()
    assert (saved.pk, saved.name, saved.result, saved.success) == (first.pk, first.name, 7, True)
    assert (saved.func, saved.group, saved.args, saved.hook) == ("f", "g", None, None)


def test_of_several_what_counts_no_more_is_left_as_it_is() -> None:
    jobs = [enter(number) for number in range(3)]
    claim(3)
    engine().withdraw([jobs[0].pk], "by a test")
    engine().give_back([(jobs[1].pk, 1)], 0)
    assert engine().settle_done([outcome(job) for job in jobs], None) == {jobs[2].pk}
    assert [job.state for job in Job.objects.order_by("queue_id")] == [
        JobState.CANCELLED,
        JobState.QUEUED,
        JobState.DONE,
    ]
    assert list(Task.objects.values_list("pk", flat=True)) == [jobs[2].pk]
    assert list(OrmQ.objects.values_list("pk", flat=True)) == [the_id(jobs[1])]


def claim_more(flow: int) -> list[tuple[Lease, str]]:
    return engine().claim_more(
        queue="sumsite", limit=9, node=None, worker=7, lease_s=60, held=[], flow=flow
    )


def test_more_of_a_flow_is_claimed_in_one_write() -> None:
    jobs = [enter(number) for number in range(4)]
    (flow,) = {job.flow_id for job in jobs}
    other = entry(9)
    engine().enter("sumsite", other.payload, (other, Share("g", "g")))
    ((first, _),) = claim()
    assert flow
    Flow.objects.filter(pk=flow).update(paused=True)
    assert claim_more(flow) == []
    Flow.objects.filter(pk=flow).update(paused=False, kind_paused=True)
    assert claim_more(flow) == []
    Flow.objects.filter(pk=flow).update(kind_paused=False)
    more = claim_more(flow)
    assert [lease.queue_id for lease, _ in more] == [the_id(job) for job in jobs[1:]]
    assert {(lease.delivery, lease.attempt, lease.flow) for lease, _ in more} == {(1, 1, flow)}
    assert first.flow == flow
    assert Job.objects.get(pk=other.task_id).state == JobState.QUEUED


def test_what_is_unsettled_is_withdrawn_with_its_package() -> None:
    jobs = {state: recipes.job.make(state=state, payload="x") for state in JobState}
    without_a_package = recipes.job.make(state="queued", payload="in the request")
    for job in jobs.values():
        job.queue_id = engine().enter("sumsite", job.state)
        job.save()
    keys = [job.pk for job in [*jobs.values(), without_a_package]]
    assert engine().withdraw(keys, "cancelled by %s") == 3
    for state in (JobState.QUEUED, JobState.RUNNING):
        job = Job.objects.get(pk=jobs[state].pk)
        assert (job.state, job.error, job.payload) == ("cancelled", "cancelled by %s", state)
        assert job.finished_at
    without_a_package.refresh_from_db()
    assert (without_a_package.state, without_a_package.payload) == ("cancelled", "in the request")
    assert Job.objects.get(pk=jobs[JobState.CANCELLED].pk).payload == "x"
    assert set(OrmQ.objects.values_list("payload", flat=True)) == {"done", "failed"}


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_what_is_queued_again_starts_from_nothing_but_its_attempts_count_on(state: str) -> None:
    job = recipes.job.make(state=state, payload="x", attempt=5, starts=4, deaths=3, delivery=6)
    with transaction.atomic():
        engine().requeue([job.pk], state)
    job.refresh_from_db()
    assert (job.delivery, job.finished_at, job.error, job.payload) == (7, None, "", "")
    assert (job.state, job.attempt, job.starts, job.deaths) == ("queued", 5, 0, 0)
    ((lease, _),) = claim()
    assert (lease.attempt, lease.starts, lease.expired) == (6, 1, False)


def test_failed_jobs_get_new_packages_in_the_order_of_the_old() -> None:
    now = timezone.now()
    failed = [
        recipes.job.make(
            state=state, payload=f"package {number}", queued_at=now - timedelta(hours=number)
        )
        for number, state in enumerate(["failed", "failed", "done"])
    ]
    for job in failed:
        times = {"started": now, "stopped": now}
        Task.objects.create(pk=job.pk, success=job.state == "done", **times)
    with transaction.atomic():
        requeued = engine().requeue([job.pk for job in failed], "failed")
    assert sorted(requeued) == sorted((job.pk, job.group) for job in failed[:2])
    assert list(OrmQ.objects.order_by("pk").values_list("payload", flat=True)) == [
        "package 1",
        "package 0",
    ]
    assert Task.objects.get().pk == failed[2].pk
    with transaction.atomic():
        assert engine().requeue([job.pk for job in failed], "failed") == []


# --- other rows ---------------------------------------------------------------------------


def test_what_has_ended_is_counted_by_group() -> None:
    now = timezone.now()
    before: dict[str, Any] = {"finished_at": now - timedelta(hours=1)}
    for position, fields in enumerate(
        ({"state": "done", **before}, {"state": "failed", **before}, {"state": "running"})
    ):
        recipes.job.make(group="a", position=position, **fields)
    recipes.job.make(group="b", state="done", finished_at=now + timedelta(hours=1))
    recipes.job.make(group="c", state="done", **before)
    with transaction.atomic():
        assert engine().lock_ended(["a", "b"], now) == Counter(a=2)


def test_free_is_older_than_any_clock() -> None:
    enter()
    assert not OrmQ.objects.filter(lock__gt=Now() - timedelta(days=365)).exists()


# --- its size -----------------------------------------------------------------------------


def test_the_size_is_in_bytes() -> None:
    """What makes it grow and fall: tests/queue/test_room.py."""
    assert 100_000 < engine().size() < 1_000_000_000
