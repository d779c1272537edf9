"""Limits of all clients together and of one: what is over them is refused, and starts nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.db import connection
from django.db.models.functions import Now
from django.test import Client, RequestFactory
from django_q.models import OrmQ

from compute.computations.sums import SUM
from compute.models import Run, Sweep
from compute.models.estimates import Cost
from compute.models.notes import refresh, unfinished
from compute.models.plans import plan
from compute.queue import room
from compute.queue.models import Job, JobState, Node
from compute.web.clients import OWNER
from compute.web.limits import TooMuch, check
from tests.conftest import run_jobs, run_queued, started

HTML = "text/html"
START = ["/sum-start/", "/bug-sum-start/", "/split-sum-start/", "/compute/primes/start/"]
SWEEP = "/compute/sum/chunk-sizes/"


def rows() -> tuple[int, ...]:
    unsettled = Job.objects.unsettled().count()
    return Run.objects.count(), Sweep.objects.count(), OrmQ.objects.count(), unsettled


def browser(address: str = "10.0.0.1") -> Client:
    """A browser that has started a run, which has ended: its session is known."""
    client = Client(headers={"accept": HTML}, REMOTE_ADDR=address)
    assert client.post("/sum-start/", {"n": 1}).status_code == 303
    run_jobs()
    unfinished()
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
    made: Client = request.param()
    return made


def actions(client: Client) -> list[Callable[[], Any]]:
    """Everything that starts something."""
    client.post("/bug-sum-start/", {"n": 1234567})
    run_jobs()
    unfinished()
    failed = Run.objects.latest("id")
    asked: list[Callable[[], Any]] = [
        *(lambda address=address: client.get(address, {"n": 10}) for address in START),
        *(lambda address=address: client.post(address, {"n": 10}) for address in START),
        lambda: client.post(SWEEP, {"n": 10}),
        lambda: client.post("/compute/buggy-sum/again/", {"task_id": failed.task_id}),
    ]
    if failed.owner or failed.account_id:
        asked.append(lambda: client.post("/compute/buggy-sum/retry/", {"task_id": failed.task_id}))
    return asked


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("MAX_ACTIVE_RUNS", "come back when one has ended"),
        ("MAX_CLIENT_RUNS", "cancel one"),
        ("MAX_QUEUED_CHUNKS", "a larger chunk_size"),
        ("MAX_CLIENT_CHUNKS", "when some have ended"),
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
        unfinished()


@pytest.mark.thorough
def test_one_address_leaves_room_for_others(db: None, settings: Any) -> None:
    settings.MAX_CLIENT_RUNS = 2
    greedy = program("10.0.0.1")
    for _ in range(2):
        assert greedy.get("/sum-start/?n=5").status_code == 200
    assert_refused(
        greedy.get("/sum-start/?n=5"), "Your address has 2 unfinished runs", "may have 2"
    )
    assert program("10.0.0.2").get("/sum-start/?n=5").status_code == 200
    settings.MAX_ACTIVE_RUNS = 3
    assert_refused(
        program("10.0.0.3").get("/sum-start/?n=5"), "All visitors together have 3 unfinished runs"
    )


@pytest.mark.thorough
def test_a_session_has_half_of_its_address_wherever_it_goes(db: None, settings: Any) -> None:
    ann, bob = browser("10.0.0.1"), browser("10.0.0.1")
    settings.MAX_CLIENT_RUNS = 4
    for one in (ann, bob):
        for _ in range(2):
            assert one.post("/sum-start/", {"n": 5}).status_code == 303
        assert_refused(
            one.post("/sum-start/", {"n": 5}, REMOTE_ADDR="10.0.0.2"), "Your session has 2"
        )
    assert_refused(program("10.0.0.1").get("/sum-start/?n=5"), "Your address has 4")


@pytest.mark.thorough
def test_runs_with_a_new_cookie_each_are_one_addresss(db: None) -> None:
    """Within the default limits an address has a quarter of all runs, whatever cookies it sends."""
    replies = [
        Client(headers={"accept": HTML}, REMOTE_ADDR="10.0.0.1")
        .post("/sum-start/", {"n": 5})
        .status_code
        for _ in range(40)
    ]
    assert replies == [303] * 25 + [429] * 15
    assert program("10.0.0.2").get("/sum-start/?n=5").status_code == 200


@pytest.mark.once
@pytest.mark.thorough
def test_a_new_cookie_jar_whenever_one_is_full_wins_nothing(db: None) -> None:
    jar = Client(headers={"accept": HTML})
    for _ in range(40):
        if jar.get("/sum-start/?n=1000000000000").status_code != 303:
            jar = Client(headers={"accept": HTML})
        if jar.get("/sum-start/?n=5").status_code != 303:
            jar = Client(headers={"accept": HTML})
    assert Run.objects.count() == 25
    assert set(Run.objects.values_list("parameters__n", flat=True)) == {5}


@pytest.mark.thorough
def test_an_address_is_its_64_of_ipv6_and_its_port_does_not_matter(db: None, settings: Any) -> None:
    settings.MAX_CLIENT_RUNS = 2
    for number, status in enumerate((200, 200, 429)):
        for address in (f"[2001:db8::{number}]:{number}", f"7.7.7.1:{1111 + number}"):
            client = Client(headers={"x-forwarded-for": address})
            assert client.get("/sum-start/?n=5").status_code == status


@pytest.mark.thorough
def test_an_account_counts_for_itself(db: None, settings: Any) -> None:
    """Its runs are not its address's, whose runs are not the account's; it has one share."""
    settings.MAX_CLIENT_RUNS = 2
    ann = Client(REMOTE_ADDR="10.0.0.1")
    ann.force_login(User.objects.create_user("ann"))
    elsewhere = Client(REMOTE_ADDR="10.0.0.2", headers={"accept": HTML})
    elsewhere.force_login(User.objects.get())
    stranger = program("10.0.0.1")
    for _ in range(2):
        assert stranger.get("/sum-start/?n=5").status_code == 200
    assert_refused(stranger.get("/sum-start/?n=5"), "Your address")
    assert ann.get("/sum-start/?n=5").status_code == 200
    assert elsewhere.get("/sum-start/?n=5").status_code == 303
    for one in (ann, elsewhere):
        assert_refused(one.get("/sum-start/?n=5"), "Your account has 2")
    Run.objects.filter(account=None).delete()
    for _ in range(2):
        assert stranger.get("/sum-start/?n=5").status_code == 200


@pytest.mark.thorough
def test_with_debug_this_machine_has_the_sites_limits_alone(db: None, settings: Any) -> None:
    settings.MAX_CLIENT_RUNS, settings.MAX_ACTIVE_RUNS = 1, 3
    settings.DEBUG, settings.PROXIES = True, 0
    for _ in range(3):
        assert program("127.0.0.1").get("/sum-start/?n=5").status_code == 200
    assert_refused(
        program("127.0.0.1").get("/sum-start/?n=5"), "All visitors together have 3 unfinished runs"
    )
    settings.MAX_ACTIVE_RUNS = 9
    assert program("10.0.0.1").get("/sum-start/?n=5").status_code == 200
    assert_refused(program("10.0.0.1").get("/sum-start/?n=5"), "Your address")
    settings.DEBUG = False
    assert_refused(program("127.0.0.1").get("/sum-start/?n=5"), "Your address")


def test_a_run_of_more_chunks_than_there_is_room_for_leaves_nothing(
    client: Client, settings: Any
) -> None:
    before = rows()
    for limit, most in (("MAX_QUEUED_CHUNKS", 9), ("MAX_CLIENT_CHUNKS", 9)):
        setattr(settings, limit, most)
        assert_refused(client.get("/split-sum-start/?n=10&chunk_size=1"), "a larger chunk_size")
        assert rows() == before
    settings.MAX_CLIENT_CHUNKS = 18  # of which a session has half
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


@pytest.mark.thorough
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
    settings.MAX_CLIENT_MB_PER_HOUR = 1e-6
    assert admin.get("/split-sum-start/?n=10&chunk_size=1").status_code == 200
    assert admin.get("/sum-start/?n=1000000000000").status_code == 200
    assert admin.get("/split-sum-start/?n=1000000000000").status_code == 200
    settings.MAX_ACTIVE_RUNS = 3
    assert_refused(admin.get("/sum-start/?n=10"), "All visitors together have 3 unfinished runs")


@pytest.mark.thorough
def test_what_is_retried_counts_for_whoever_retries(db: None, settings: Any) -> None:
    client = browser()
    client.post("/bug-sum-start/", {"n": 1234567})
    run = Run.objects.latest("id")
    run_jobs()
    refresh(run)
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


@pytest.mark.thorough
def test_the_check_takes_few_statements(
    db: None, rf: RequestFactory, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        browser().get("/split-sum-start/?n=40&chunk_size=2")
    request = rf.get("/")
    request.session, request.user = SessionBase(), AnonymousUser()
    request.session[OWNER] = Run.objects.latest("id").owner
    with django_assert_max_num_queries(8):
        check(request, Cost())
    with django_assert_max_num_queries(4), pytest.raises(TooMuch):
        check(request, Cost(runs=1000))


@pytest.mark.thorough
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


# --- work ---------------------------------------------------------------------------------


@pytest.fixture
def known_speed(db: None, queue_server: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker adds up 25 million numbers a second, and there are two."""
    for module in ("estimates", "plans"):
        monkeypatch.setattr(
            f"compute.models.{module}.speed_of",
            lambda computation: 25e6 if computation.length else None,
        )


@pytest.mark.thorough
def test_three_billion_can_be_added_up_at_will(known_speed: None) -> None:
    jar = browser("10.0.0.2")
    for _ in range(15):
        assert program().get("/split-sum-start/?n=3000000000").status_code == 200
    for _ in range(7):
        assert jar.post("/split-sum-start/", {"n": 3000000000}).status_code == 303
    assert set(
        Run.objects.filter(parameters__n=3 * 10**9).values_list("expected_seconds", flat=True)
    ) == {120}


@pytest.mark.once
@pytest.mark.thorough
def test_nobody_holds_more_than_a_quarter_of_the_workers_next_hour(known_speed: None) -> None:
    """One address, whatever cookies it sends and however it cuts; another starts meanwhile."""
    for number in range(60):
        client = Client(headers={"accept": HTML}, REMOTE_ADDR="10.0.0.1")
        address = ("/sum-start/", "/split-sum-start/", "/compute/primes/start/")[number % 3]
        client.get(address, {"n": 10**10 // (1 + number)})
    expected = sum(run.expected_seconds or 0 for run in Run.objects.all())
    assert 0.8 * 2 * 900 < expected <= 2 * 900
    assert program("10.0.0.2").get("/split-sum-start/?n=3000000000").status_code == 200


@pytest.mark.parametrize("n", ["1000000000000", "46000000000"])
@pytest.mark.parametrize("address", ["/sum-start/", "/split-sum-start/", "/compute/sum/start/"])
def test_too_much_work_is_told_what_would_fit(known_speed: None, address: str, n: str) -> None:
    before = rows()
    reply = program().get(address, {"n": n})
    assert_refused(
        reply, "Your address may have 30 min of work", "n of at most about 45,000,000,000"
    )
    assert rows() == before
    assert program().get(address, {"n": "45000000000"}).status_code == 200
    reply = program().get(address, {"n": n})
    assert_refused(reply, "30 min of it are in use", "Take less")
    assert program("10.0.0.2").get(address, {"n": "45000000000"}).status_code == 200


@pytest.mark.thorough
def test_what_fits_falls_with_what_is_unfinished_and_rises_with_what_is_done(
    known_speed: None,
) -> None:
    run = started("/split-sum-start/", n=40 * 10**9, chunk_size=10**10)
    assert_refused(Client().get("/sum-start/?n=9000000000"), "n of at most about 5,000,000,000")
    first = run.jobs[0]
    Job.objects.filter(pk=first.pk).update(state=JobState.DONE, started_at=Now(), finished_at=Now())
    assert Client().get("/sum-start/?n=9000000000").status_code == 200


@pytest.mark.thorough
def test_all_visitors_together_have_an_hour(known_speed: None) -> None:
    for number in range(4):
        reply = program(f"10.0.0.{number}").get("/sum-start/?n=44000000000")
        assert reply.status_code == 200
    assert_refused(program("10.0.0.9").get("/sum-start/?n=9000000000"), "All visitors may have 2 h")
    assert program("10.0.0.9").get("/sum-start/?n=3000000000").status_code == 200


@pytest.mark.thorough
def test_what_staff_and_a_terminal_started_is_no_visitors_work(
    known_speed: None, admin: Client
) -> None:
    assert admin.get("/sum-start/?n=1000000000000").status_code == 200
    plan(SUM, {"n": 10**12}).start()
    assert program("127.0.0.1").get("/sum-start/?n=44000000000").status_code == 200


def test_a_limit_of_0_is_none(known_speed: None, settings: Any) -> None:
    settings.MAX_CLIENT_WORK_MINUTES = 0
    assert_refused(program().get("/sum-start/?n=1000000000000"), "All visitors may have 2 h")
    settings.MAX_WORK_MINUTES = 0
    assert program().get("/sum-start/?n=1000000000000").status_code == 200


@pytest.mark.thorough
def test_a_sweep_counts_with_all_its_runs(known_speed: None) -> None:
    n = 5 * 10**9  # 200 s, and there are seven sizes
    assert_refused(Client().post(SWEEP, {"n": 2 * n}), "n of at most about 6,400,000,000")
    assert not Sweep.objects.exists()
    assert Client().post(SWEEP, {"n": n}).status_code == 200
    sizes = len(Sweep.objects.get().sizes)
    left = 1800 - 200 * sizes
    assert_refused(Client().get("/sum-start/", {"n": int(25e6 * (left + 10))}), "are in use")
    assert Client().get("/sum-start/", {"n": int(25e6 * (left - 10))}).status_code == 200


@pytest.mark.thorough
def test_of_unknown_speed_a_chunk_counts_a_settings_seconds(
    db: None, queue_server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = {"sum": replace(SUM, per_second=None)}
    monkeypatch.setattr("compute.web.runs.all_computations", lambda: unknown)
    address = "/compute/sum/start/"
    reply = Client().get(address, {"n": 1000, "chunk_size": 1})
    assert_refused(reply, "a chunk counts 10 s: take a larger one", "2 h 46 min")
    run = started(address, n=1000, chunk_size=10)
    assert run.expected_seconds is None
    assert_refused(Client().get(address, {"n": 1000, "chunk_size": 10}), "16 min 40 s of it")
    # Corrected by what was used: half of it took a second.
    done = [job.pk for job in run.jobs[:50]]
    second = timedelta(seconds=0.02)
    Job.objects.filter(pk__in=done).update(
        state=JobState.DONE, started_at=Now() - second, finished_at=Now()
    )
    assert Client().get(address, {"n": 1000, "chunk_size": 10}).status_code == 200


def test_what_takes_longer_than_was_expected_is_corrected(known_speed: None) -> None:
    run = started("/sum-start/", n=25 * 10**6)  # a second
    job = run.jobs[0]
    ago = Now() - timedelta(hours=1)
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, started_at=ago)
    assert_refused(Client().get("/sum-start/?n=5"), "1 h of it are in use")
    assert program("10.0.0.2").get("/sum-start/?n=5").status_code == 200


@pytest.mark.thorough
def test_a_retry_is_held_to_the_same(known_speed: None) -> None:
    client = browser()
    client.post("/sum-start/", {"n": 22 * 10**9})
    run = Run.objects.latest("id")
    Job.objects.filter(group=run.task_id).update(state=JobState.FAILED, finished_at=Now())
    OrmQ.objects.all().delete()
    refresh(run)
    assert client.post("/sum-start/", {"n": 22 * 10**9}).status_code == 303
    before = rows()
    reply = client.post("/compute/sum/retry/", {"task_id": run.task_id})
    assert_refused(reply, "Your session may have 15 min")
    assert rows() == before
    again = client.post("/compute/sum/again/", {"task_id": run.task_id})
    assert_refused(again, "Your session may have 15 min")


# --- what is kept ---------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.thorough
def test_runs_of_ten_thousand_chunks_are_too_much_for_an_hour(db: None, settings: Any) -> None:
    statuses = [
        program().get("/split-sum-start/?n=10000&chunk_size=1").status_code for _ in range(4)
    ]
    assert statuses == [200] * 2 + [429] * 2
    reply = Client(REMOTE_ADDR="10.0.0.1").get("/split-sum-start/?n=10000&chunk_size=1")
    assert_refused(reply, "may add 50 MB to the database within an hour, has added 42.0")
    assert 3500 < int(reply["Retry-After"]) <= 3600
    assert program("10.0.0.2").get("/split-sum-start/?n=10000&chunk_size=1").status_code == 200
    Run.objects.update(created_at=Now() - timedelta(minutes=61))
    assert program().get("/split-sum-start/?n=10000&chunk_size=1").status_code == 200
    settings.MAX_CLIENT_MB_PER_HOUR = 0
    for _ in range(2):
        assert program().get("/split-sum-start/?n=10000&chunk_size=1").status_code == 200


def test_what_is_too_large_by_itself_is_told_at_once(db: None, settings: Any) -> None:
    settings.MAX_CLIENT_MB_PER_HOUR = 1
    reply = program().get("/split-sum-start/?n=10000&chunk_size=1")
    assert_refused(reply, "has added 0.0, and this would be 21.0 more")


@pytest.mark.thorough
def test_a_full_database_takes_no_more(
    client: Client, admin: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = actions(client)
    before = rows()
    monkeypatch.setattr(room, "used", lambda: 1.0)
    for ask in asked:
        assert_refused(ask(), "The site is full", "2,000 MB")
    assert_refused(admin.get("/sum-start/?n=5"), "The site is full")
    assert rows() == before
    assert client.get("/").status_code == 200
    plan(SUM, {"n": 5}).start()  # as in a terminal
