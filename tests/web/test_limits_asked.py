"""The limits, asked directly: where each begins, whose rows count, and all that is said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.db.models.functions import Now
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import timezone
from pytest_django import Settings

from compute.computations.sums import SUM
from compute.models import Run
from compute.models.estimates import NOTHING, Cost
from compute.models.plans import plan
from compute.queue.models import Job, JobState, Node
from compute.web.clients import OWNER, client_of
from compute.web.limits import TooMuch, check, rounded_down, too_long

pytestmark = pytest.mark.django_db


def asker(address: str, session: str = "") -> HttpRequest:
    """A request from an address, perhaps of a session that has started something."""
    request = RequestFactory(REMOTE_ADDR=address).get("/")
    request.session, request.user = SessionBase(), AnonymousUser()
    request.session[OWNER] = session
    return request


ANN, BOB = asker("10.0.0.1"), asker("10.0.0.2")


def run_by(request: HttpRequest, chunks: int = 1, **fields: Any) -> Run:
    """An unfinished run of so many chunks; fields of its row."""
    run = plan(SUM, {"n": 10 * chunks}, 10).start()
    client = client_of(request)
    Run.objects.filter(pk=run.pk).update(address=client.address, client=client.noted, **fields)
    return run


def refusal(request: HttpRequest, **cost: Any) -> TooMuch:
    with pytest.raises(TooMuch) as refused:
        check(request, NOTHING._replace(**cost))
    return refused.value


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, 10), (10, 10), (10.2, 11), (1800, 1800), (86_400, 3600)]
)
def test_a_refusal_says_when_to_come_back(seconds: float, told: int) -> None:
    assert TooMuch("too much", seconds).retry_after == told


# --- runs and chunks ------------------------------------------------------------------------


def test_as_many_runs_may_be_unfinished_as_the_limit_says(settings: Settings) -> None:
    settings.MAX_CLIENT_RUNS, settings.MAX_ACTIVE_RUNS = 2, 3
    run_by(ANN)
    check(ANN, NOTHING._replace(runs=1))
    assert str(refusal(ANN, runs=2)) == (
        "Your address has 1 unfinished run, and may have 2; cancel one, or come back when one "
        "has ended."
    )
    assert str(refusal(BOB, runs=3)) == (
        "All visitors together have 1 unfinished run, and may have 3; come back when one has ended."
    )


def test_as_many_chunks_may_be_queued_as_the_limit_says(settings: Settings) -> None:
    settings.MAX_CLIENT_CHUNKS, settings.MAX_QUEUED_CHUNKS = 5, 12
    run_by(BOB, chunks=5)
    run = run_by(ANN, chunks=4)
    check(ANN, NOTHING._replace(chunks=1))
    said = (
        "Your address would have more than 5 chunks queued; take a larger chunk_size, or come "
        "back when some have ended."
    )
    assert str(refusal(ANN, chunks=2)) == said
    Job.objects.filter(pk=run.jobs[0].pk).update(state=JobState.DONE)
    check(ANN, NOTHING._replace(chunks=2))
    assert str(refusal(ANN, chunks=3)) == said
    assert str(refusal(asker("10.0.0.3"), chunks=4)) == (
        "With this more than 12 chunks of all visitors would be queued; take a larger chunk_size, "
        "or come back when fewer wait."
    )


# --- what is added within an hour -----------------------------------------------------------


def test_what_was_added_counts_for_an_hour(settings: Settings) -> None:
    settings.MAX_CLIENT_MB_PER_HOUR = 2
    run_by(BOB, kept_bytes=900_000_000)
    run = run_by(ANN, kept_bytes=5 * 2**18, created_at=Now() - timedelta(minutes=59))
    run_by(ANN, kept_bytes=2**18)
    check(ANN, NOTHING._replace(bytes=2**19))
    refused = refusal(ANN, bytes=2**19 + 1)
    assert str(refused) == (
        "Your address may add 2 MB to the database within an hour, has added 1.5, and this would "
        "be 0.5 more; take a larger chunk_size, or come back later."
    )
    assert 30 < refused.retry_after <= 60, "then the first counts no more"
    Run.objects.filter(pk=run.pk).update(created_at=Now() - timedelta(minutes=61))
    check(ANN, NOTHING._replace(bytes=7 * 2**18))


def test_who_has_added_nothing_may_add_as_much_as_the_limit_says(settings: Settings) -> None:
    settings.MAX_CLIENT_MB_PER_HOUR = 1
    check(ANN, NOTHING._replace(bytes=2**20))
    assert refusal(ANN, bytes=2**20 + 1).retry_after == 10
    settings.MAX_CLIENT_MB_PER_HOUR = 0
    check(ANN, NOTHING._replace(bytes=1_000_000_000))


def test_what_others_add_at_the_address_is_no_sessions(settings: Settings) -> None:
    """A session that moves has what it added elsewhere counted with it, and nobody else's."""
    settings.MAX_CLIENT_MB_PER_HOUR = 1
    run_by(ANN, kept_bytes=1, created_at=Now() - timedelta(minutes=50))
    moved = asker("10.0.0.1", session="moved")
    run = run_by(asker("10.0.0.2", session="moved"), kept_bytes=2**20 - 2)
    Run.objects.filter(pk=run.pk).update(created_at=Now() - timedelta(minutes=30))
    check(moved, NOTHING._replace(bytes=2))
    refused = refusal(moved, bytes=3)
    assert "Your session may add 1 MB" in str(refused)
    assert 1700 < refused.retry_after <= 1800


# --- work -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "most"), [((), "20 s"), ((1,), "10 s"), ((4, 1), "50 s")], ids=str
)
def test_how_much_work_there_may_be_depends_on_the_workers(
    settings: Settings, nodes: tuple[int, ...], most: str
) -> None:
    """Those that are there; before the first has come, as many as a node will have."""
    settings.MAX_CLIENT_WORK_MINUTES, settings.MAX_WORK_MINUTES, settings.Q_WORKERS = 0, 1 / 6, 2
    for number, workers in enumerate(nodes):
        now = timezone.now()
        Node.objects.create(
            id=f"{number}", name="n", pid=1, workers=workers, started_at=now, seen_at=now
        )
    assert str(refusal(ANN, seconds=100.0)).startswith(
        f"All visitors may have {most} of work unfinished, and this would add 1 min 40 s."
    )


def test_one_visitors_limit_holds_where_all_together_have_none(settings: Settings) -> None:
    settings.MAX_CLIENT_WORK_MINUTES, settings.MAX_WORK_MINUTES, settings.Q_WORKERS = 1, 0, 2
    check(ANN, NOTHING._replace(seconds=120.0))
    assert str(refusal(ANN, seconds=121.0)).startswith("Your address may have 2 min of work")


@pytest.mark.parametrize(
    ("unfinished", "cost", "said"),
    [
        (
            *(0, Cost(seconds=100, speed=5, unit="numbers", field="n")),
            "Ann may have 1 min of work unfinished, and this would add 1 min 40 s. A value of n of "
            "at most about 300 would fit; or come back when something has ended.",
        ),
        (
            *(20, Cost(seconds=100, speed=5, unit="numbers")),
            "Ann may have 1 min of work unfinished, 20 s of it are in use, and this would add 1 "
            "min 40 s. A size of at most about 200 numbers would fit; or come back when something "
            "has ended.",
        ),
        (
            *(60, Cost(seconds=100, speed=5, unit="numbers", field="n")),
            "Ann may have 1 min of work unfinished, 1 min of it are in use, and this would add 1 "
            "min 40 s. Take less; or come back when something has ended.",
        ),
        (
            *(0, Cost(chunks=7)),
            "Ann may have 1 min of work unfinished, and this would add 1 min 10 s. Nothing is "
            "known of its speed, so a chunk counts 10 s: take a larger one; or come back when "
            "something has ended.",
        ),
    ],
    ids=["a value", "a size", "nothing fits", "unknown"],
)
def test_who_wants_too_much_work_is_told_what_would_fit(
    settings: Settings, unfinished: float, cost: Cost, said: str
) -> None:
    settings.UNKNOWN_CHUNK_SECONDS = 10
    assert too_long("Ann", 60, unfinished, cost) == said


@pytest.mark.parametrize(
    ("number", "told"),
    [(-5, 0), (0, 0), (7.9, 7), (45.6, 45), (129, 120), (45_999_999, 45_000_000)],
)
def test_an_estimate_is_told_to_two_digits(number: float, told: int) -> None:
    assert rounded_down(number) == told
