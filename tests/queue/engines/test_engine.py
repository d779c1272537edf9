"""What every engine promises, on whichever database the tests have."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ, Task

from compute.queue.engines import ENGINES, FREE, Lease, engine, prepare
from compute.queue.engines.base import Entry
from compute.queue.models import Job, JobState, Node
from compute.queue.records import columns_of
from tests import database, recipes
from tests.queue.conftest import expire_leases, leases

pytestmark = pytest.mark.django_db


def entry(number: int = 1) -> Entry:
    return Entry(f"package {number}", recipes.new_id(), f"task {number}", timezone.now())


def enter(number: int = 1) -> Job:
    """A queued job with its package."""
    new = entry(number)
    engine().enter("sumsite", new.payload, new)
    return Job.objects.get(pk=new.task_id)


def claim(limit: int = 1, node: Node | None = None, lease_s: float = 60) -> list[tuple[Lease, str]]:
    node_id, worker = (node.pk, 7) if node else (None, None)
    return engine().claim(
        queue="sumsite", limit=limit, node=node_id, worker=worker, lease_s=lease_s
    )


def record(job: Job, **fields: Any) -> dict[str, Any]:
    now = timezone.now()
    values = {"started": now, "stopped": now, "success": True, "result": 7, **fields}
    return columns_of(Task(id=job.pk, name=job.name, func="f", group="g", **values))


# --- which one ----------------------------------------------------------------------------


def test_the_engine_is_that_of_the_connection_it_is_asked_for() -> None:
    assert engine() is ENGINES[connection.vendor]
    for vendor, each in ENGINES.items():
        assert engine(SimpleNamespace(vendor=vendor)) is each
    assert type(engine()).__name__.lower() == database.ENGINE


# --- into the queue -----------------------------------------------------------------------


def test_a_package_and_its_job_are_entered_together() -> None:
    new = entry()
    queue_id = engine().enter("slow", new.payload, new)
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
    queue_id = engine().enter("sumsite", "package", None)
    assert OrmQ.objects.get().pk == queue_id
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_job_that_cannot_be_written_leaves_no_package() -> None:
    taken = enter()
    with pytest.raises(DatabaseError):
        engine().enter("sumsite", "package", entry()._replace(task_id=taken.pk))
    entries = [entry(), entry()._replace(task_id=taken.pk)]
    with pytest.raises(DatabaseError), transaction.atomic():
        engine().enter_all("sumsite", "group", entries)
    assert OrmQ.objects.count() == Job.objects.count() == 1


def test_a_group_is_entered_in_its_order_each_job_with_its_own_package() -> None:
    enter()
    OrmQ.objects.all().delete()  # ids are never given twice
    entries = [entry(number) for number in range(2000)]
    engine().enter_all("sumsite", "group", entries)
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
        (Lease(job.queue_id, 1, 1), f"package {number}") for number, job in enumerate(jobs[:2])
    ]
    job = Job.objects.get(pk=jobs[0].pk)
    assert (job.state, job.node, job.worker, job.progress) == (JobState.RUNNING, node, 7, 0)
    assert abs(job.started_at - timezone.now()) < timedelta(minutes=1)
    assert [lease > 0 for lease in leases()] == [True, True, False]
    assert [payload for _, payload in claim(5)] == ["package 2"]
    assert claim() == []


def test_a_claim_that_comes_after_the_end_of_another_says_so() -> None:
    enter()
    claim()
    expire_leases()
    ((lease, _),) = claim()
    assert (lease.delivery, lease.attempt, lease.expired) == (2, 2, True)


def test_a_package_whose_job_has_settled_is_claimed_for_nothing() -> None:
    job = enter()
    Job.objects.update(state=JobState.CANCELLED)
    assert claim() == [(Lease(job.queue_id), "package 1")]
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
    assert abs(job.finished_at - timezone.now()) < timedelta(minutes=1)
    assert not OrmQ.objects.exists()
    assert (Task.objects.get().pk, Task.objects.get().result) == (job.pk, 7)


def test_a_record_takes_the_place_of_the_one_before() -> None:
    for success in (False, True):
        job = Job.objects.first() or enter()
        Job.objects.update(state=JobState.QUEUED, delivery=1)
        outcome = {"state": "done"}
        values = record(job, success=success)
        assert engine().settle(job.pk, Lease(job.queue_id, 1), outcome, values, None)
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
    states = Job.objects.order_by("queue_id").values_list("state", "delivery", "node", "worker")
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


def test_however_many_are_given_back_it_is_one_write() -> None:
    counts = []
    for number in (1, 500):
        held = [(enter(each).pk, 0) for each in range(number)]
        with CaptureQueriesContext(connection) as queries:
            assert engine().give_back(held, 0) == number
        counts.append(len(queries))
    assert counts == ([1, 1] if database.ENGINE == "postgres" else [2, 2])


def test_deaths_are_counted() -> None:
    job = enter()
    engine().count_death(job.pk)
    engine().count_death(job.pk)
    job.refresh_from_db()
    assert job.deaths == 2


# --- withdrawn and queued again -----------------------------------------------------------


def test_what_is_unsettled_is_withdrawn_with_its_package() -> None:
    jobs = {state: recipes.job.make(state=state, payload="x") for state in JobState}
    for job in jobs.values():
        job.queue_id = engine().enter("sumsite", job.state, None)
        job.save()
    assert engine().withdraw([job.pk for job in jobs.values()], "cancelled by %s") == 2
    for state in ("queued", "running"):
        job = Job.objects.get(pk=jobs[state].pk)
        assert (job.state, job.error, job.payload) == ("cancelled", "cancelled by %s", "")
        assert job.finished_at
    assert set(OrmQ.objects.values_list("payload", flat=True)) == {"done", "failed"}


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
        requeued = engine().requeue([job.pk for job in failed])
    assert sorted(requeued) == sorted((job.pk, job.group) for job in failed[:2])
    assert list(OrmQ.objects.order_by("pk").values_list("payload", flat=True)) == [
        "package 1",
        "package 0",
    ]
    assert Task.objects.get().pk == failed[2].pk
    with transaction.atomic():
        assert engine().requeue([job.pk for job in failed]) == []


# --- other rows ---------------------------------------------------------------------------


def test_groups_are_through_when_nothing_of_them_waits_or_runs() -> None:
    for position, state in enumerate(("done", "running")):
        recipes.job.make(task_id=f"a{position}", group="a", position=position, state=state)
    for position, state in enumerate(("done", "failed", "cancelled")):
        recipes.job.make(task_id=f"b{position}", group="b", position=position, state=state)
    assert engine().through(["a0", "b0", "b1", "unknown"]) == {"b"}


def test_what_has_ended_is_counted_by_group() -> None:
    now = timezone.now()
    before = {"finished_at": now - timedelta(hours=1)}
    for position, fields in enumerate(
        ({"state": "done", **before}, {"state": "failed", **before}, {"state": "running"})
    ):
        recipes.job.make(group="a", position=position, **fields)
    recipes.job.make(group="b", state="done", finished_at=now + timedelta(hours=1))
    recipes.job.make(group="c", state="done", **before)
    with transaction.atomic():
        assert engine().lock_ended(["a", "b"], now) == Counter(a=2)


def test_counts_add_up() -> None:
    for _ in range(2):
        engine().add_counts([("f", "done", 1), ("f", "seconds", 0.5), ("g", "done", 2)])
    assert engine().counts() == [("f", "done", 2), ("f", "seconds", 1), ("g", "done", 4)]


def test_times_of_a_group_are_seconds() -> None:
    now = timezone.now()
    node = recipes.node.make()
    for position, seconds in enumerate((1.5, 2.5)):
        recipes.job.make(
            group="a",
            position=position,
            state="done",
            node=node,
            worker=7,
            started_at=now - timedelta(seconds=10),
            finished_at=now - timedelta(seconds=10 - seconds),
        )
    recipes.job.make(group="a", position=2, state="running", progress=0.25, started_at=now)
    assert engine().states("a") == "ddr"
    paces = {state: rest for state, *rest in engine().pace("a")}
    count, first, last, taken, current = paces["done"]
    assert (count, taken) == (2, pytest.approx(4, abs=0.01))
    assert last - first == pytest.approx(2.5, abs=0.01)
    assert current == pytest.approx(timezone.now().timestamp(), abs=60)
    ((progress, running_s),) = engine().running("a")
    assert (progress, running_s) == (0.25, pytest.approx(0, abs=60))
    ((group, jobs, ended, under_way, _),) = engine().uses(["a", "unknown"])
    assert (group, jobs, ended, under_way) == ("a", 3, 2, 0.25)
    spans = sorted(span[4:7] for span in engine().spans("a", 0))  # they started at the same time
    assert spans == [("done", 1, 0), ("done", 1, 1)]
    assert [span[4:7] for span in engine().spans("a", 60)] == [("done", 2, 0)]


def test_free_is_older_than_any_clock() -> None:
    enter()
    assert not OrmQ.objects.filter(lock__gt=Now() - timedelta(days=365)).exists()


def test_connections_of_other_kinds_are_let_be() -> None:
    prepare(None, SimpleNamespace(vendor="oracle"))
