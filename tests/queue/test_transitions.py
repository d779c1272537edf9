"""Every arrow of a job's life: from where it leads, and from where nothing happens."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django_q.models import OrmQ

from compute.queue import transitions
from compute.queue.engines import FREE, Lease
from compute.queue.models import Job, JobState
from compute.queue.transitions import MAX_DEATHS, UNKNOWN_PAUSE, UNKNOWN_TRIES
from tests import recipes
from tests.processes import ROOT
from tests.queue.conftest import expire_leases, leases

pytestmark = pytest.mark.django_db

#: The delivery of the jobs below, whichever state they are in.
DELIVERY = 3


def in_state(state: str) -> Job:
    """A job that has come as far as that, with a package that nobody holds."""
    job = recipes.job.make(state=state, delivery=DELIVERY, attempt=DELIVERY, payload="package")
    job.queue_id = OrmQ.objects.create(key="sumsite", payload="package", lock=FREE).pk
    job.save()
    return job


def lease(job: Job) -> Lease:
    return Lease(job.queue_id, DELIVERY, DELIVERY)


def retried(job: Job) -> Any:
    with transaction.atomic():
        return transitions.retry([job.pk])


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
    [("claim", "queued", 1), ("claim", "running", 1), ("give_back", "running", 1)],
)
def test_a_delivery_rises_when_a_job_changes_hands(arrow: str, state: str, rises: int) -> None:
    ARROWS[arrow][0](in_state(state))
    assert Job.objects.get().delivery == DELIVERY + rises


def test_nothing_is_given_back_by_no_statement(django_assert_num_queries: Any) -> None:
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


def test_the_picture_shows_these_arrows_and_no_others() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    drawn = set(re.findall(r"^ +(\S+) --> (\S+): (\w+)", text, re.M))
    leads = {
        (before, after, arrow.partition(",")[0])
        for arrow, (_, states) in ARROWS.items()
        for before, after in states.items()
    }
    in_request = {("queued", "running", "start_in_request")}
    new = {("[*]", "queued", "enter"), ("[*]", "queued", "enter_all")}
    assert {arrow for arrow in drawn if arrow[1] != "[*]"} == leads | in_request | new
