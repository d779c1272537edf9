"""Limits of all clients together and of one: what is over them is refused, and starts nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django_q.models import OrmQ

from compute.limits import TooMuch, check
from compute.models import Run, Sweep
from compute.queue.models import Job, JobState
from tests.conftest import run_jobs, run_queued, started

HTML = "text/html"
START = ["/sum-start/", "/bug-sum-start/", "/split-sum-start/", "/compute/primes/start/"]
SWEEP = "/compute/sum/chunk-sizes/"


def rows() -> tuple[int, ...]:
    unsettled = Job.objects.unsettled().count()
    return Run.objects.count(), Sweep.objects.count(), OrmQ.objects.count(), unsettled


def browser(address: str = "10.0.0.1") -> Client:
    """A browser that has started a run, which has ended: its session is a client."""
    client = Client(headers={"accept": HTML}, REMOTE_ADDR=address)
    assert client.post("/sum-start/", {"n": 1}).status_code == 303
    run_jobs()
    Run.objects.unfinished()
    return client


def program(address: str = "10.0.0.1") -> Client:
    return Client(REMOTE_ADDR=address)


def assert_refused(reply: Any, *said: str) -> None:
    assert reply.status_code == 429, reply.content
    assert int(reply["Retry-After"]) > 0
    if reply["Content-Type"] == "application/json":
        assert list(reply.json()) == ["detail"]
        assert reply.json()["detail"].count("\n") == 0
    for each in said:
        assert each in reply.content.decode()


@pytest.fixture(params=[program, browser])
def client(request: Any, db: None) -> Client:
    return request.param()


def actions(client: Client) -> list[Callable[[], Any]]:
    """Everything that starts something."""
    client.post("/bug-sum-start/", {"n": 1234567})
    run_jobs()
    Run.objects.unfinished()
    failed = Run.objects.latest("id")
    asked: list[Callable[[], Any]] = [
        *(lambda address=address: client.get(address, {"n": 10}) for address in START),
        *(lambda address=address: client.post(address, {"n": 10}) for address in START),
        lambda: client.post(SWEEP, {"n": 10}),
        lambda: client.post("/compute/buggy-sum/again/", {"task_id": failed.task_id}),
    ]
    if failed.owner:
        asked.append(lambda: client.post("/compute/sum/retry/", {"task_id": failed.task_id}))
    return asked


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("MAX_ACTIVE_RUNS", "come back when one has ended"),
        ("MAX_CLIENT_RUNS", "cancel one"),
        ("MAX_QUEUED_CHUNKS", "a larger chunk_size"),
        ("MAX_CLIENT_CHUNKS", "chunks of yours"),
    ],
)
def test_whatever_starts_something_is_refused_at_each_limit(
    client: Client, settings: Any, limit: str, said: str
) -> None:
    asked = actions(client)
    assert client.get("/split-sum-start/?n=40&chunk_size=2").status_code in (200, 303)
    setattr(settings, limit, 20 if "CHUNKS" in limit else 1)
    before = rows()
    for ask in asked:
        assert_refused(ask(), said)
        assert rows() == before
    run_jobs()  # with what was unfinished out of the way there is room again
    for ask in asked:
        assert ask().status_code in (200, 303)
        run_jobs()
        Run.objects.unfinished()


def test_one_client_leaves_room_for_others(db: None, settings: Any) -> None:
    settings.MAX_CLIENT_RUNS = 2
    greedy = program("10.0.0.1")
    for _ in range(2):
        assert greedy.get("/sum-start/?n=5").status_code == 200
    assert_refused(greedy.get("/sum-start/?n=5"), "2 of your runs are unfinished")
    assert program("10.0.0.2").get("/sum-start/?n=5").status_code == 200
    settings.MAX_ACTIVE_RUNS = 3
    assert_refused(program("10.0.0.3").get("/sum-start/?n=5"), "3 runs are unfinished")


def test_people_behind_one_address_are_clients_of_their_own(db: None, settings: Any) -> None:
    ann, bob = browser(), browser()
    settings.MAX_CLIENT_RUNS = 1
    for one in (ann, bob):
        assert one.post("/sum-start/", {"n": 5}).status_code == 303
        assert_refused(one.post("/sum-start/", {"n": 5}))


def test_a_browser_without_cookies_is_its_address(db: None, settings: Any) -> None:
    settings.MAX_CLIENT_RUNS = 2
    for status in (303, 303, 429):
        assert Client(headers={"accept": HTML}).post("/sum-start/", {"n": 5}).status_code == status
    assert Client().get("/sum-start/?n=5").status_code == 429


def test_a_run_of_more_chunks_than_there_is_room_for_leaves_nothing(
    client: Client, settings: Any
) -> None:
    before = rows()
    for limit in ("MAX_QUEUED_CHUNKS", "MAX_CLIENT_CHUNKS"):
        setattr(settings, limit, 9)
        assert_refused(client.get("/split-sum-start/?n=10&chunk_size=1"), "a larger chunk_size")
        assert rows() == before
    assert client.get("/split-sum-start/?n=9&chunk_size=1").status_code in (200, 303)


def test_chunks_that_have_ended_count_no_more(db: None, settings: Any) -> None:
    settings.MAX_CLIENT_CHUNKS = 4
    run = started("/split-sum-start/", n=4, chunk_size=1)
    assert_refused(Client().get("/split-sum-start/?n=2&chunk_size=1"))
    done = run.jobs.values_list("pk", flat=True)[:2]
    Job.objects.filter(pk__in=list(done)).update(state=JobState.DONE)
    assert Client().get("/split-sum-start/?n=2&chunk_size=1").status_code == 200


def test_a_sweep_needs_room_for_the_run_that_is_cut_the_finest(db: None, settings: Any) -> None:
    settings.MAX_QUEUED_CHUNKS = 999
    assert_refused(Client().post(SWEEP, {"n": 1000}), "a larger chunk_size")
    assert not Sweep.objects.exists()
    settings.MAX_QUEUED_CHUNKS = 1000
    assert Client().post(SWEEP, {"n": 1000}).status_code == 200


def test_the_runs_of_a_sweep_count_for_who_started_it(db: None, settings: Any) -> None:
    settings.MAX_CLIENT_RUNS = 1
    assert Client().post(SWEEP, {"n": 1000}).status_code == 200
    run_jobs()
    Sweep.objects.settle()
    run_queued(1)  # starts its next run
    assert Run.objects.count() == 2
    assert len(set(Run.objects.values_list("client", flat=True)) - {""}) == 1
    assert_refused(Client().get("/sum-start/?n=5"))


def test_staff_is_held_to_the_limits_of_all_alone(admin: Client, settings: Any) -> None:
    settings.MAX_CLIENT_RUNS = settings.MAX_CLIENT_CHUNKS = 0
    assert admin.get("/split-sum-start/?n=10&chunk_size=1").status_code == 200
    settings.MAX_ACTIVE_RUNS = 1
    assert_refused(admin.get("/sum-start/?n=10"), "1 runs are unfinished")


def test_what_is_retried_counts_for_whoever_retries(db: None, settings: Any) -> None:
    client = browser()
    client.post("/bug-sum-start/", {"n": 1234567})
    run = Run.objects.latest("id")
    run_jobs()
    run.refresh()
    Run.objects.update(client="somebody")
    settings.MAX_CLIENT_RUNS = 1
    reply = client.post("/compute/buggy-sum/retry/", {"task_id": run.task_id})
    assert reply.status_code == 303
    assert_refused(client.post("/sum-start/", {"n": 5}))


def test_a_retry_of_nothing_needs_no_room(admin: Client, settings: Any) -> None:
    run = started("/sum-start/", n=10)
    settings.MAX_ACTIVE_RUNS = 1
    reply = admin.post("/compute/sum/retry/", {"task_id": run.task_id})
    assert reply.json()["retried"] == 0


def test_what_a_killed_node_left_unnoted_is_no_unfinished_run(db: None, settings: Any) -> None:
    settings.MAX_ACTIVE_RUNS = 1
    run = started("/sum-start/", n=10)
    Job.objects.update(state=JobState.DONE, result=55)
    OrmQ.objects.all().delete()
    assert started("/sum-start/", n=10).pk != run.pk
    run.refresh_from_db()
    assert run.state == Run.State.DONE


def test_the_check_takes_few_statements(db: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        check("somebody", runs=1, pieces=1)
    with django_assert_num_queries(1), pytest.raises(TooMuch):
        check("somebody", runs=1000)


def test_of_many_who_ask_at_once_few_are_let_in_too_many(
    transactional_db: None, settings: Any
) -> None:
    """SQLite: exactly as many as may be. Postgres: one more for each other asker at most."""
    settings.MAX_ACTIVE_RUNS = 3
    replies: list[int] = []

    def ask() -> None:
        replies.append(Client().get("/split-sum-start/?n=10&chunk_size=5").status_code)
        connection.close()

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert set(replies) <= {200, 429}
    assert replies.count(200) == Run.objects.count()
    assert OrmQ.objects.count() == 2 * Run.objects.count()
    if connection.vendor == "sqlite":
        assert Run.objects.count() == 3
    else:
        assert 3 <= Run.objects.count() <= 8
    assert Client().get("/sum-start/?n=5").status_code == 429
