"""Whose a run is, on which device; and with RUNS_PRIVATE that nobody else learns of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from compute.models import Run, Sweep
from compute.queue.models import Job, Node
from tests.conftest import started

HTML = "text/html"
ANN = {"username": "ann", "password": "ann-password"}
UNKNOWN = "0" * 32
ACTIONS = ("cancel", "retry", "again", "share", "combine")


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user(**ANN)


@pytest.fixture
def private(settings: Any) -> Any:
    settings.RUNS_PRIVATE = True
    return settings


def browser() -> Client:
    return Client(headers={"accept": HTML})


def sign_in(client: Client) -> Client:
    assert client.post("/login/", ANN).status_code in (200, 302)
    return client


def start(client: Client, **parameters: object) -> Run:
    reply = client.post("/split-sum-start/", {"n": 10, "chunk_size": 5, **parameters})
    assert reply.status_code in (200, 303), reply.content
    return Run.objects.latest("id")


def do(client: Client, action: str, run: Run, **more: object) -> Any:
    parameters = {"task_id": run.task_id, **more}
    return client.post(f"/compute/{run.computation}/{action}/", parameters)


def end(run: Run) -> None:
    """Its chunks are done, and their results combined."""
    now = timezone.now()
    run.jobs.update(state=Job.State.DONE, result=1, finished_at=now)
    Run.objects.filter(pk=run.pk).update(state=Run.State.DONE, result=1, finished_at=now)


def page(client: Client, run: Run) -> str:
    reply = client.get(run.get_absolute_url(), headers={"accept": HTML})
    assert reply.status_code == 200
    return str(reply.content.decode())


# --- an account ------------------------------------------------------------------------


@pytest.mark.thorough
def test_what_an_account_starts_is_its_on_every_device_and_after_signing_out(ann: User) -> None:
    here = sign_in(browser())
    run = start(here)
    assert (run.account, run.owner) == (ann, "")
    here.post("/logout/")
    assert do(here, "cancel", run).status_code == 403, "who is signed out may not"
    there, program = sign_in(browser()), sign_in(Client())
    assert ">Cancel</button>" in page(there, run)
    assert ">Cancel</button>" in page(sign_in(here), run)
    assert do(program, "cancel", run).json()["cancelled"] == 2


def test_a_program_that_is_signed_in_owns_what_it_starts(ann: User) -> None:
    program = sign_in(Client())
    run = start(program)
    assert run.account == ann
    assert do(program, "cancel", run).json()["cancelled"] == 2


@pytest.mark.thorough
def test_a_session_hands_what_it_has_started_over_to_the_account_that_signs_in(ann: User) -> None:
    client, other = browser(), browser()
    run, others = start(client), start(other)
    client.post("/compute/sum/chunk-sizes/", {"n": 10})
    sign_in(client)
    run.refresh_from_db()
    others.refresh_from_db()
    assert (run.account, run.owner) == (ann, "")
    assert others.account is None
    assert Sweep.objects.get().account == ann
    assert {each.account for each in Run.objects.exclude(pk=others.pk)} == {ann}
    assert do(sign_in(Client()), "cancel", run).status_code == 200
    assert do(client, "cancel", others).status_code == 403


def test_who_signs_in_takes_over_nothing_of_another_account(ann: User) -> None:
    client = sign_in(browser())
    run = start(client)
    User.objects.create_user("bob", password="bob-password")
    client.post("/login/", {"username": "bob", "password": "bob-password"})
    client.post("/logout/")
    client.post("/login/", {"username": "bob", "password": "bob-password"})
    assert do(client, "cancel", run).status_code == 403
    run.refresh_from_db()
    assert run.account == ann


@pytest.mark.thorough
def test_runs_of_a_sweep_are_its_accounts(ann: User) -> None:
    sign_in(client := browser())
    client.post("/compute/sum/chunk-sizes/", {"n": 1000})
    sweep = Sweep.objects.get()
    assert (sweep.account, sweep.owner) == (ann, "")
    assert Run.objects.get().account == ann
    assert do(sign_in(Client()), "cancel", Run.objects.get()).status_code == 200


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["deactivated", "deleted", "signed out elsewhere"])
def test_an_account_that_is_no_more_owns_nothing(ann: User, how: str) -> None:
    client = browser()
    before, run = start(client), start(sign_in(client))
    if how == "deactivated":
        User.objects.update(is_active=False)
    elif how == "deleted":
        ann.delete()
    else:  # as a new password does
        ann.set_password("another-password")
        ann.save()
    for each in (before, run):
        assert do(client, "cancel", each).status_code == 403
    run.refresh_from_db()
    assert (run.account is None) == (how == "deleted")


@pytest.mark.thorough
def test_an_account_that_code_of_before_has_deleted_breaks_no_page(
    ann: User, admin: Client
) -> None:
    run = start(sign_in(browser()))
    Run.objects.update(account=ann.pk + 1_000)
    run.refresh_from_db()
    for client in (admin, browser()):
        assert page(client, run)
        assert client.get("/").status_code == 200
    for address in ("/admin/compute/run/", f"/admin/compute/run/{run.pk}/change/"):
        assert admin.get(address).status_code == 200
    assert do(admin, "cancel", run).status_code == 200


@pytest.mark.thorough
def test_a_session_is_renewed_by_a_start_once_a_day(db: None) -> None:
    client = browser()
    start(client)
    late = timezone.now() + timedelta(days=1)
    Session.objects.update(expire_date=late)
    start(client)
    assert Session.objects.get().expire_date == late
    session = client.session
    session["day"] = "2026-01-01"
    session.save()
    Session.objects.update(expire_date=late)
    assert start(client).owner == Run.objects.first().owner  # type: ignore[union-attr]
    assert Session.objects.get().expire_date > late


# --- RUNS_PRIVATE: who may start ---------------------------------------------------------

STARTS = [
    "/sum-start/",
    "/bug-sum-start/",
    "/split-sum-start/",
    "/compute/sum/start/",
    "/compute/primes/start/",
    "/compute/sum/chunk-sizes/",
]


@pytest.mark.parametrize("address", STARTS)
@pytest.mark.parametrize("cookie", [None, "x" * 32])
def test_a_program_without_a_session_starts_nothing(
    db: None, private: Any, address: str, cookie: str | None
) -> None:
    program = Client()
    if cookie:
        program.cookies[private.SESSION_COOKIE_NAME] = cookie
    reply = program.post(address, {"n": 10})
    assert reply.status_code == 403
    assert reply.json() == {
        "detail": "Runs are private here, so each needs an owner: sign in at "
        "http://testserver/login/, and send the cookies of its reply."
    }
    assert not Run.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize("address", STARTS)
def test_a_browser_gets_a_session_with_its_first_start(
    db: None, private: Any, address: str
) -> None:
    client = browser()
    assert client.post(address, {"n": 10}).status_code == 303
    run = Run.objects.get()
    assert run.owner == client.session["owner"] != ""
    assert run.title in page(client, run)
    # A program that is given its cookie is the same owner.
    program = Client()
    program.cookies = client.cookies
    assert program.get(run.get_absolute_url()).status_code == 200
    assert start(program).owner == run.owner


def test_a_session_that_has_started_nothing_yet_will_do(db: None, private: Any) -> None:
    program = Client()
    session = program.session
    session["anything"] = 1
    session.save()
    program.cookies[private.SESSION_COOKIE_NAME] = session.session_key or ""
    run = start(program)
    assert run.owner == program.session["owner"]
    assert program.get(run.get_absolute_url()).status_code == 200


# --- RUNS_PRIVATE: who sees what ---------------------------------------------------------


class Site:
    """A run of a browser's, with what the others who ask have; and secrets to look for."""

    def __init__(self, boss: Client, ann: Client) -> None:
        self.boss, self.owner, self.ann = boss, browser(), ann
        self.run = start(self.owner, n=432156, chunk_size=216078)
        self.strangers = [Client(), browser(), ann]
        start(ann, n=7)
        self.strangers.append(another := browser())
        start(another, n=8)

    def tells(self, client: Client, address: str, **parameters: Any) -> bool:
        """Whether what is answered, in either shape, names the run or its node."""
        secrets = ("432156", self.run.task_id, "432,156", "secret-node", "secret-host")
        told = ""
        for accept in (HTML, "application/json"):
            for more in ({}, {"hx-request": "true"}):
                reply = client.get(address, parameters, headers={"accept": accept, **more})
                assert reply.status_code < 500
                told += reply.content.decode()
        return any(secret in told for secret in secrets)


@pytest.fixture
def site(admin: Client, ann: User, private: Any, queue_server: Node) -> Site:
    Node.objects.update(name="secret-node", host="secret-host")
    site = Site(admin, sign_in(browser()))
    job = site.run.jobs.first()
    assert job is not None
    Job.objects.filter(pk=job.pk).update(
        state=Job.State.RUNNING,
        node=queue_server,
        worker=4711,
        started_at=timezone.now() - timedelta(seconds=5),
    )
    return site


@pytest.mark.parametrize("address", ["/", "/?state=in-progress", "/?page=older", "/compute/sum/"])
def test_lists_tell_of_ones_own_runs_alone(site: Site, address: str) -> None:
    if "page" in address:
        address = f"/?page=before-{site.run.task_id}"
    else:
        assert site.tells(site.owner, address)
        assert site.tells(site.boss, address)
    for stranger in site.strangers:
        assert not site.tells(stranger, address)


def test_so_do_their_counts(site: Site) -> None:
    counts = [
        client.get("/", headers={"accept": HTML}).context["tabs"][0][2]
        for client in (site.boss, site.owner, *site.strangers)
    ]
    assert counts == ["3", "1", "0", "0", "1", "1"]
    assert "all 3<" in site.boss.get("/", headers={"accept": HTML}).content.decode()
    assert "all 1<" in site.owner.get("/").content.decode()


@pytest.mark.parametrize("search", ["432156", "sum", "id"])
def test_so_does_the_search(site: Site, search: str) -> None:
    search = site.run.task_id if search == "id" else search

    def found(client: Client) -> bool:
        reply = client.get("/", {"q": search}, headers={"accept": "*/*"})
        return any(site.run.task_id in link["task_progress"] for link in reply.json()["runs"])

    assert found(site.owner)
    assert found(site.boss)
    assert not any(found(stranger) for stranger in site.strangers)


CHECKS = ["/sum-check/", "/split-sum-check/", "/compute/sum/check/"]


@pytest.mark.parametrize("address", CHECKS)
@pytest.mark.parametrize("timeline", [False, True])
def test_another_s_run_is_answered_as_one_that_there_is_not(
    site: Site, address: str, timeline: bool
) -> None:
    more = {"timeline": ""} if timeline else {}
    for client in (site.owner, site.boss):
        assert client.get(address, {"task_id": site.run.task_id, **more}).status_code == 200
    for stranger in site.strangers:
        for headers in ({}, {"accept": "*/*"}, {"hx-request": "true"}):
            replies = [
                stranger.get(address, {"task_id": task_id, **more}, headers=headers)
                for task_id in (site.run.task_id, UNKNOWN)
            ]
            assert [reply.status_code for reply in replies] == [404, 404]
            assert replies[0].content == replies[1].content
            assert replies[0].headers == replies[1].headers


def test_a_page_that_is_open_says_that_its_run_is_no_longer_to_be_seen(site: Site) -> None:
    part = {"accept": HTML, "hx-request": "true"}
    assert "HX-Refresh" not in site.owner.get(site.run.get_absolute_url(), headers=part)
    site.owner.cookies.clear()
    reply = site.owner.get(site.run.get_absolute_url(), headers=part)
    assert (reply.status_code, reply["HX-Refresh"]) == (404, "true")


@pytest.mark.parametrize("action", [*ACTIONS, "pause", "resume", "go-on"])
def test_nor_can_anything_be_done_with_it(site: Site, action: str) -> None:
    before = Run.objects.count()
    for stranger in site.strangers:
        refusals = [
            stranger.post(f"/compute/sum/{action}/", {"task_id": task_id})
            for task_id in (site.run.task_id, UNKNOWN)
        ]
        assert [reply.status_code for reply in refusals] == [404, 404]
        assert refusals[0].content == refusals[1].content
    site.run.refresh_from_db()
    assert (site.run.state, site.run.shared) == ("in-progress", False)
    assert Run.objects.count() == before
    assert do(site.owner, action, site.run).status_code == 303


@pytest.mark.parametrize("known", [True, False])
def test_what_is_not_there_takes_as_many_statements_as_what_is_another_s(
    site: Site, known: bool
) -> None:
    counted = []
    for task_id in (site.run.task_id, UNKNOWN):
        with CaptureQueriesContext(connection) as queries:
            client = site.ann if known else Client()
            client.get("/split-sum-check/", {"task_id": task_id}, headers={"accept": "*/*"})
        counted.append(len(queries))
    assert counted[0] == counted[1]


def test_chunk_sizes_are_compared_among_ones_own_runs(site: Site) -> None:
    end(site.run)
    address, given = "/compute/sum/chunk-sizes/", {"n": 432156}

    def sizes(client: Client) -> list[int]:
        reply = client.get(address, given, headers={"accept": "*/*"})
        return [run["chunk_size"] for run in reply.json()["runs"]]

    assert sizes(site.owner) == sizes(site.boss) == [216078]
    for stranger in site.strangers:
        assert sizes(stranger) == []
        assert site.run.task_id not in stranger.get(address, given).content.decode()


def test_each_owner_s_sweep_is_one_of_its_own(site: Site) -> None:
    address = "/compute/sum/chunk-sizes/"
    for client in (site.owner, site.ann):
        assert client.post(address, {"n": 99}).status_code == 303
    assert Sweep.objects.count() == 2
    first, second = Sweep.objects.order_by("pk")
    assert first.run_set.get().owner == site.run.owner
    assert second.run_set.get().account == second.account
    for client, sweeping in ((site.ann, True), (site.strangers[-1], False)):
        reply = client.get(address, {"n": 99}, headers={"accept": "*/*"})
        assert reply.json() == {"sweeping": sweeping, "runs": []}
    site.ann.post(address, {"n": 99})
    assert Sweep.objects.count() == 2, "it is at work"


def test_the_page_of_nodes_gives_names_to_staff_and_counts_to_others(site: Site) -> None:
    told = site.boss.get("/nodes/").json()["nodes"][0]
    assert (told["name"], told["host"]) == ("secret-node", "secret-host")
    assert "432,156" in told["running"][0]["task"]
    assert "Process 4711" in site.boss.get("/nodes/", headers={"accept": HTML}).content.decode()
    for stranger in site.strangers:
        assert not site.tells(stranger, "/nodes/")
        reply = stranger.get("/nodes/", headers={"accept": "*/*"}).json()
        (node,) = reply["nodes"]
        assert (node["name"], node["host"], node["workers"]) == ("Queue server 1", None, 2)
        assert [running["task"] for running in node["running"]] == [None]
        html = stranger.get("/nodes/", headers={"accept": HTML}).content.decode()
        assert "2, 1 at work" in html
        assert "a task that is not yours, for" in html
        assert "4711" not in html
    told = site.owner.get("/nodes/", headers={"accept": "*/*"}).json()["nodes"][0]
    assert told["host"] is None
    assert "432,156" in told["running"][0]["task"], "one's own task"


def test_node_names_of_a_run_are_for_its_owner_and_staff(site: Site) -> None:
    for client in (site.owner, site.boss):
        assert "secret-node <small>on secret-host" in page(client, site.run)
    do(site.owner, "share", site.run)
    for stranger in site.strangers:
        html = page(stranger, site.run)
        assert "<h3>Queue server 1</h3>" in html
        assert "secret" not in html


def test_metrics_name_functions_alone(site: Site) -> None:
    assert "secret" not in site.boss.get("/metrics").content.decode()


@pytest.mark.thorough
def test_a_run_without_an_owner_is_for_staff(
    db: None, settings: Any, admin: Client, browser_client: Client
) -> None:
    run = started("/split-sum-start/", n=10)
    settings.RUNS_PRIVATE = True
    start(browser_client)
    assert browser_client.get(run.get_absolute_url()).status_code == 404
    assert Client().get(run.get_absolute_url()).status_code == 404
    assert admin.get(run.get_absolute_url()).status_code == 200


def test_without_it_everybody_sees_everything(db: None, settings: Any) -> None:
    assert settings.RUNS_PRIVATE is False
    run = started("/split-sum-start/", n=10)
    assert Client().get("/").json()["runs"]
    html = page(Client(), run)
    assert ">Share</button>" not in html
    assert "Run again" in page(Client(), run) or run.state == "in-progress"


# --- sharing -------------------------------------------------------------------------------


def test_the_owner_shares_the_address_and_takes_it_back(site: Site) -> None:
    html = page(site.owner, site.run)
    assert ">Share</button>" in html
    assert "Only its owner" in html
    reply = do(site.owner, "share", site.run, shared=1)
    assert (reply.status_code, reply["Location"]) == (303, site.run.get_absolute_url())
    html = page(site.owner, site.run)
    assert ">Stop sharing</button>" in html
    assert f"http://testserver{site.run.get_absolute_url()}" in html
    for stranger in site.strangers:
        for address in CHECKS[:3]:
            asked = {"task_id": site.run.task_id}
            assert stranger.get(address, asked, headers={"accept": "*/*"}).status_code == 200
        html = page(stranger, site.run)
        assert "Its owner has shared this run’s address." in html
        for button in ("Cancel", "Share", "Stop sharing", "Run again"):
            assert f">{button}</button>" not in html
        for action in (*ACTIONS, "pause", "resume", "go-on", "priority"):
            assert do(stranger, action, site.run).status_code == 403
        # No list, count or search tells of it.
        assert site.run.task_id not in stranger.get("/").content.decode()
        assert not site.tells(stranger, "/", q="sum")
    do(site.owner, "share", site.run, shared=1)  # pressed on a page that was open for long
    do(site.owner, "share", site.run, shared=0)
    assert Client().get(site.run.get_absolute_url()).status_code == 404


def test_a_shared_run_that_has_ended_has_no_buttons_for_others(site: Site) -> None:
    do(site.owner, "share", site.run)
    end(site.run)
    assert ">Run again</button>" in page(site.owner, site.run)
    html = page(site.strangers[0], site.run)
    assert ">Run again</button>" not in html
    assert "Compare chunk sizes" not in html


def test_a_program_shares_and_is_told(site: Site) -> None:
    told = [
        site.boss.post("/compute/sum/share/", {"task_id": site.run.task_id}).json()["shared"]
        for _ in range(3)
    ]
    assert told == [True, False, True]
    for wrong in ("", "2", "true", "yes"):
        reply = site.boss.post(
            "/compute/sum/share/", {"task_id": site.run.task_id, "shared": wrong}
        )
        assert (reply.status_code, reply.json()["detail"]) == (400, "Give shared as 1 or 0.")
    site.run.refresh_from_db()
    assert site.run.shared
    assert site.boss.post("/compute/sum/share/", {"task_id": UNKNOWN}).status_code == 404
    assert site.boss.post("/compute/sum/share/").status_code == 400
    assert site.boss.get("/compute/sum/share/").status_code == 405
