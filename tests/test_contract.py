"""The URL contract: both of its tables row by row in their order, then what it says besides."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import include, path, resolve, reverse
from django_q.models import OrmQ
from hypothesis import given
from hypothesis import strategies as st

from compute import tasks, views
from compute.models import Run
from compute.models.retries import retry
from compute.queue.models import Job, Node
from tests.conftest import (
    check,
    finish_by_hand,
    measure_samples,
    run_jobs,
    run_queued,
    started,
)

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

SUM_ADDRESSES = ["/sum-sync/", "/sum-start/", "/bug-sum-start/", "/split-sum-start/"]
START_ADDRESSES = SUM_ADDRESSES[1:]
CHECK_ADDRESSES = ["/sum-check/", "/split-sum-check/"]
ADDRESSES = ["/", *SUM_ADDRESSES, *CHECK_ADDRESSES]
HEALTH_ADDRESSES = ["/healthz", "/readyz"]


def row(address: str, *values: Any, **parameters: str) -> Any:
    """A row of a table; its id is the address as one would type it."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    name = f"{address}?{query}" if query else address
    return pytest.param(address, parameters, *values, id=name.encode("unicode_escape").decode())


def without_id(text: str) -> str:
    return re.sub(r"[0-9a-f]{32}", "<id>", text)


def rows() -> tuple[int, int, int]:
    return Run.objects.count(), Job.objects.count(), OrmQ.objects.count()


@contextmanager
def nothing_started() -> Iterator[None]:
    before = rows()
    yield
    assert rows() == before


def vary(response: HttpResponse) -> list[str]:
    return [name.strip() for name in response.get("Vary", "").split(",")]


# --- the table of addresses -----------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "parameters", "reply"),
    [
        row("/sum-sync/", {"total": 500500}, n="1000"),
        row("/sum-sync/", {"total": 0}, n="0"),
        row("/sum-sync/", {"total": 55}, n="00010"),
        row(
            "/sum-start/", {"task_progress": "http://testserver/sum-check/?task_id=<id>"}, n="1000"
        ),
        row("/sum-check/", {"status": "in-progress", "total": None, "error": None}, task_id="<id>"),
        row(
            "/bug-sum-start/",
            {"task_progress": "http://testserver/sum-check/?task_id=<id>"},
            n="1000",
        ),
        row(
            "/split-sum-start/",
            {"task_progress": "http://testserver/split-sum-check/?task_id=<id>"},
            n="1000",
        ),
        row(
            "/split-sum-start/",
            {"task_progress": "http://testserver/split-sum-check/?task_id=<id>"},
            n="1000",
            chunk_size="100",
        ),
        row(
            "/split-sum-check/",
            {
                "status": "in-progress",
                "raw": None,
                "total": None,
                "error": None,
                "progress": {"done": 0, "failed": 0, "total": 1},
            },
            task_id="<id>",
        ),
        row("/healthz", {"status": "ok"}),
        row("/readyz", {"status": "ok"}),
    ],
)
def test_an_address_replies_with_200_and_the_keys_of_the_tutorial(
    queue_server: Node, address: str, parameters: dict[str, str], reply: dict[str, Any]
) -> None:
    if "task_id" in parameters:
        measure_samples()
        run = started(address.replace("check", "start"), n=1000)
        parameters = {"task_id": run.task_id}
    response = Client().get(address, parameters)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert json.loads(without_id(response.content.decode())) == reply


@pytest.mark.parametrize("heading", ["Failed tasks", "Successful tasks", "Queued tasks"])
def test_the_admin_has_the_lists_of_django_q2(admin: Client, heading: str) -> None:
    assert heading in admin.get("/admin/").content.decode()


def test_the_first_address_is_the_page_for_people(db: None, browser_client: Client) -> None:
    response = browser_client.get("/")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/html")
    assert "<h1>" in response.content.decode()


def test_a_sum_that_was_started_is_checked_until_it_is_done(db: None) -> None:
    run = started("/sum-start/", n=1000)
    assert check(run, "/sum-check/") == {"status": "in-progress", "total": None, "error": None}
    run_jobs()
    assert check(run, "/sum-check/") == {"status": "done", "total": 500500, "error": None}


def test_a_split_sum_has_one_total_for_each_chunk_in_the_order_of_the_ranges(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=4)
    run_jobs()
    assert check(run) == {
        "status": "done",
        "raw": [10, 26, 19],
        "total": 55,
        "error": None,
        "progress": {"done": 3, "failed": 0, "total": 3},
    }


@pytest.mark.parametrize(("n", "status"), [(1234566, "done"), (1234567, "error")])
def test_the_buggy_sum_fails_from_1234567_on(db: None, n: int, status: str) -> None:
    run = started("/bug-sum-start/", n=n)
    run_jobs()
    reply = check(run, "/sum-check/")
    assert reply["status"] == status
    if status == "error":
        assert reply["total"] is None
        assert reply["error"].startswith("TypeError: can only concatenate str")
        assert "\n" not in reply["error"]


@pytest.mark.parametrize("address", SUM_ADDRESSES)
def test_n_0_is_fine_and_its_total_is_0(db: None, address: str) -> None:
    reply = Client().get(address, {"n": "0"}).json()
    if address != "/sum-sync/":
        run_jobs()
        reply = Client().get(reply["task_progress"]).json()
        assert reply["status"] == "done"
    assert reply["total"] == 0


def test_a_split_sum_of_nothing_has_no_chunks(db: None) -> None:
    reply = check(started("/split-sum-start/", n=0, chunk_size=7))
    assert reply["raw"] == []
    assert reply["progress"] == {"done": 0, "failed": 0, "total": 0}


def test_readyz_without_a_queue_server_names_what_is_missing(db: None) -> None:
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert "queue server" in response.json()["detail"]


# --- the table of bad input -----------------------------------------------------------

NOT_DIGITS = (
    *("-5", "+5", "1.5", "1,000", "1_000", "1e9", "0x10", "five", "NaN", "١٢", "５", "²"),
    *(" ", " 5", "5 ", "5\n", "5\0", "\0"),
)

NO_NUMBER = "Give n as a whole number in plain digits"
OVER_THE_LIMIT = "Give an n of at most 1,000,000,000,000."
NO_CHUNK_SIZE = "Give chunk_size as a whole number of 1 or more"
UNKNOWN = "No run has this task_id"

BAD_INPUT = [
    *(row(address, 400, NO_NUMBER) for address in SUM_ADDRESSES),
    *(row(address, 400, NO_NUMBER, n="") for address in SUM_ADDRESSES),
    *(row(address, 400, NO_NUMBER, n=n) for address in SUM_ADDRESSES for n in NOT_DIGITS),
    *(row(address, 400, OVER_THE_LIMIT, n="9" * 1000) for address in SUM_ADDRESSES),
    *(row(address, 400, OVER_THE_LIMIT, n="9" * 5000) for address in SUM_ADDRESSES),
    *(row(address, 400, OVER_THE_LIMIT, n=str(10**12 + 1)) for address in SUM_ADDRESSES),
    row("/sum-sync/", 422, "/sum-start/?n=100000001", n=str(10**8 + 1)),
    row("/sum-sync/", 422, "/sum-start/?n=1000000000000", n=str(10**12)),
    *(
        row("/split-sum-start/", 400, NO_CHUNK_SIZE, n="1000", chunk_size=size)
        for size in ("0", "00", *NOT_DIGITS)
    ),
    row("/split-sum-start/", 400, "at least 10,000:", n=str(10**8), chunk_size="9999"),
    row("/split-sum-start/", 400, "at least 100,000,000:", n=str(10**12), chunk_size="1"),
    row("/split-sum-start/", 400, "at least 2:", n="10001", chunk_size="1"),
    *(row(address, 400, "Give the task_id") for address in CHECK_ADDRESSES),
    *(row(address, 400, "Give the task_id", task_id="") for address in CHECK_ADDRESSES),
    *(
        row(address, 404, UNKNOWN, task_id=task_id)
        for address in CHECK_ADDRESSES
        for task_id in ("0" * 32, "A" * 32, "0" * 31, "0" * 33, "0" * 32 + "\n", "1", "\0", "é")
    ),
]


@pytest.mark.parametrize(("address", "parameters", "status", "detail"), BAD_INPUT)
@pytest.mark.parametrize("method", ["get", "post"])
def test_bad_input_is_refused_with_one_sentence_and_starts_nothing(
    db: None, method: str, address: str, parameters: dict[str, str], status: int, detail: str
) -> None:
    if address in CHECK_ADDRESSES:
        method = "get"
    with nothing_started():
        response = getattr(Client(), method)(address, parameters)
    assert response.status_code == status
    assert list(response.json()) == ["detail"]
    assert detail in response.json()["detail"]
    assert response.json()["detail"].endswith(".")
    assert "\n" not in response.json()["detail"]


@pytest.mark.parametrize(
    ("address", "parameters", "status", "detail"),
    [values for values in BAD_INPUT if values.values[0] in SUM_ADDRESSES],
)
def test_a_browser_gets_the_form_again_with_the_sentence_at_the_field(
    db: None,
    browser_client: Client,
    address: str,
    parameters: dict[str, str],
    status: int,
    detail: str,
) -> None:
    with nothing_started():
        response = browser_client.post(address, parameters)
    assert response.status_code == status
    page = response.content.decode()
    field = "chunk_size" if detail == NO_CHUNK_SIZE or detail.startswith("at least") else "n"
    error = re.search(rf'<p class="error" id="{field}_error" role="alert">([^<]*)</p>', page)
    assert error
    assert detail in error[1]


@pytest.mark.parametrize("address", CHECK_ADDRESSES)
@pytest.mark.parametrize(
    ("task_id", "status", "detail"), [("", 400, "Give the task_id"), ("1", 404, UNKNOWN)]
)
def test_a_browser_gets_a_page_about_a_bad_task_id(
    db: None, browser_client: Client, address: str, task_id: str, status: int, detail: str
) -> None:
    response = browser_client.get(address, {"task_id": task_id})
    assert response.status_code == status
    assert response["Content-Type"].startswith("text/html")
    assert detail in response.content.decode()


@pytest.mark.parametrize("n", [10**8, 10**12], ids=["n=10^8", "n=10^12"])
def test_the_limits_themselves_are_allowed(admin: Client, n: int) -> None:
    for address in START_ADDRESSES:
        assert started(address, admin, n=n).parameters == {"n": n}


def test_the_limit_of_sum_sync_itself_is_allowed(settings: Any) -> None:
    settings.SUM_SYNC_MAX_N = 1000
    assert Client().get("/sum-sync/?n=1000").json() == {"total": 500500}
    assert Client().get("/sum-sync/?n=1001").status_code == 422


def test_sum_sync_max_n_0_takes_the_guard_off(settings: Any) -> None:
    settings.SUM_SYNC_MAX_N = 1
    assert Client().get("/sum-sync/?n=1000").status_code == 422
    settings.SUM_SYNC_MAX_N = 0
    assert Client().get("/sum-sync/?n=1000").json() == {"total": 500500}


def test_10000_chunks_are_allowed(db: None) -> None:
    run = started("/split-sum-start/", n=10_000, chunk_size=1)
    assert check(run)["progress"] == {"done": 0, "failed": 0, "total": 10_000}


@pytest.mark.parametrize("address", START_ADDRESSES)
def test_one_run_too_many_is_told_to_come_back(
    db: None, settings: Any, browser_client: Client, address: str
) -> None:
    settings.MAX_ACTIVE_RUNS = 2
    started("/sum-start/", n=1)
    started("/split-sum-start/", n=2)
    with nothing_started():
        response = Client().get(address, {"n": 3})
        page = browser_client.post(address, {"n": 3})
    assert response.status_code == page.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert int(page["Retry-After"]) > 0
    assert list(response.json()) == ["detail"]
    assert response.json()["detail"] in page.content.decode()
    assert "<form" in page.content.decode()
    run_jobs()
    started(address, n=3)


def test_a_sum_inside_the_request_is_not_counted_as_a_run(db: None, settings: Any) -> None:
    settings.MAX_ACTIVE_RUNS = 0
    assert Client().get("/sum-sync/?n=4").json() == {"total": 10}


@pytest.mark.parametrize("accept", ["*/*", BROWSER], ids=["program", "browser"])
@pytest.mark.parametrize(
    ("address", "parameters"),
    [
        row("/"),
        *(row(address, n="5") for address in START_ADDRESSES),
        *(row(address, task_id="0" * 32) for address in CHECK_ADDRESSES),
    ],
)
def test_without_the_database_the_reply_is_503_with_retry_after(
    database_away: None, address: str, parameters: dict[str, str], accept: str
) -> None:
    response = Client(headers={"accept": accept}).get(address, parameters)
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert "The database does not answer" in response.content.decode()
    if accept == "*/*":
        assert list(response.json()) == ["detail"]


def test_what_needs_no_database_works_without_one(database_away: None) -> None:
    assert Client().get("/sum-sync/?n=4").json() == {"total": 10}
    assert Client().get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("address", [*ADDRESSES, *HEALTH_ADDRESSES])
def test_any_other_method_is_405(db: None, address: str, method: str) -> None:
    with nothing_started():
        response = Client().generic(method, f"{address}?n=5")
    assert response.status_code == 405
    assert "GET" in response["Allow"]
    assert list(response.json()) == ["detail"]


@pytest.mark.parametrize("address", ["/", *CHECK_ADDRESSES, *HEALTH_ADDRESSES])
def test_post_is_405_where_nothing_is_asked_to_be_done(db: None, address: str) -> None:
    response = Client().post(address)
    assert response.status_code == 405
    assert list(response.json()) == ["detail"]


# --- who gets what --------------------------------------------------------------------

PAGES = [
    BROWSER,
    "text/html",
    "TEXT/HTML",
    "text/html, application/json;q=0.9",
    "application/json;q=0.1, text/html;q=0.2",
    "text/*",
]
PROGRAMS = [
    None,
    "",
    "*/*",
    "application/json",
    "application/json, text/html;q=0.5",
    "text/html;q=0.5, */*",
    "text/html;q=0",
    "application/xml",
    "image/png, text/plain",
    "text/html;q=0.2, application/json;q=0.3",
    "html",
    ";;;,,,",
    "text/",
    "/",
    "q=1",
    "\xff\xfe",
    "x" * 5000,
]


def replies(accept: str | None) -> list[HttpResponse]:
    """Of every address that has both shapes, one that is well and one that is refused."""
    client = Client(headers={} if accept is None else {"accept": accept})
    run = started("/split-sum-start/", n=10)
    return [
        client.get("/"),
        client.get("/sum-sync/?n=10"),
        *(client.get(address) for address in SUM_ADDRESSES),
        *(client.get(address, {"task_id": run.task_id}) for address in CHECK_ADDRESSES),
        *(client.get(address) for address in CHECK_ADDRESSES),
        client.put("/sum-sync/"),
        client.get("/nowhere"),
    ]


@pytest.mark.parametrize("accept", PAGES)
def test_whoever_prefers_html_gets_a_page(db: None, accept: str) -> None:
    for response in replies(accept):
        assert response["Content-Type"].startswith("text/html")
        assert response.content.startswith(b"<!doctype html>")


@pytest.mark.parametrize("accept", PROGRAMS)
def test_everyone_else_gets_json(db: None, accept: str | None) -> None:
    for response in replies(accept):
        assert response["Content-Type"] == "application/json"
        assert isinstance(response.json(), dict)


@pytest.mark.parametrize("accept", ["*/*", BROWSER], ids=["program", "browser"])
def test_every_reply_that_has_two_shapes_varies_on_accept(db: None, accept: str) -> None:
    client = Client(headers={"accept": accept})
    starts = [client.get(address, {"n": 5}) for address in START_ADDRESSES]
    for response in [*replies(accept), *starts]:
        assert "Accept" in vary(response), response.request["PATH_INFO"]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("address", "followed_at"),
    [
        ("/sum-start/", "/sum-check/"),
        ("/bug-sum-start/", "/sum-check/"),
        ("/split-sum-start/", "/split-sum-check/"),
    ],
)
def test_a_browser_that_starts_a_run_is_sent_on_to_its_page(
    db: None, browser_client: Client, method: str, address: str, followed_at: str
) -> None:
    response = getattr(browser_client, method)(address, {"n": "10"})
    run = Run.objects.get()
    assert response.status_code == 303
    assert response["Location"] == f"{followed_at}?task_id={run.task_id}"
    page = browser_client.get(response["Location"])
    assert page.status_code == 200
    assert run.task_id in page.content.decode()


# --- GET starts work, and POST does the same ------------------------------------------


@pytest.mark.parametrize(
    ("address", "parameters"),
    [
        *(row(address, n="100") for address in START_ADDRESSES),
        row("/split-sum-start/", n="100", chunk_size="7"),
    ],
)
def test_post_does_the_same_as_get(db: None, address: str, parameters: dict[str, str]) -> None:
    for response in (
        Client().get(address, parameters),
        Client().post(address, parameters),
        Client().post(f"{address}?{'&'.join(map('='.join, parameters.items()))}"),
    ):
        assert response.status_code == 200
        assert list(response.json()) == ["task_progress"]
    kinds = Run.objects.values_list("title", "chunk_size", "chunks")
    assert len(kinds) == 3
    assert len(set(kinds)) == 1


def test_post_to_sum_sync_does_the_same_as_get() -> None:
    assert Client().post("/sum-sync/", {"n": "10"}).json() == {"total": 55}


def test_what_the_body_says_beats_the_address() -> None:
    assert Client().post("/sum-sync/?n=1000", {"n": "10"}).json() == {"total": 55}


@pytest.mark.parametrize("address", START_ADDRESSES)
def test_head_starts_nothing(db: None, address: str) -> None:
    with nothing_started():
        response = Client().head(address, {"n": "10"})
    assert response.status_code == 405
    assert response["Allow"] == "GET, POST"


@pytest.mark.parametrize("address", ["/", *HEALTH_ADDRESSES])
def test_head_of_what_only_shows_is_like_get(queue_server: Node, address: str) -> None:
    response = Client().head(address)
    assert response.status_code == 200
    assert response.content == b""


# --- CSRF -----------------------------------------------------------------------------


@pytest.fixture
def signed_in(db: None) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("ann"))
    return client


@pytest.mark.parametrize("address", SUM_ADDRESSES)
def test_a_post_without_a_session_needs_no_csrf_token(db: None, address: str) -> None:
    assert Client(enforce_csrf_checks=True).post(address, {"n": "5"}).status_code == 200


@pytest.mark.parametrize("address", SUM_ADDRESSES)
@pytest.mark.parametrize("accept", ["*/*", BROWSER], ids=["program", "browser"])
def test_a_post_with_a_session_and_no_csrf_token_is_refused(
    signed_in: Client, address: str, accept: str
) -> None:
    with nothing_started():
        response = signed_in.post(address, {"n": "5"}, headers={"accept": accept})
    assert response.status_code == 403
    assert "CSRF token" in response.content.decode()
    if accept == "*/*":
        assert list(response.json()) == ["detail"]


def test_a_session_cookie_of_nobody_counts_too(db: None) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies[settings.SESSION_COOKIE_NAME] = "made-up"
    assert client.post("/sum-start/", {"n": "5"}).status_code == 403


def test_a_get_with_a_session_needs_no_csrf_token(signed_in: Client) -> None:
    assert signed_in.get("/sum-start/", {"n": "5"}).status_code == 200


def test_the_sites_own_form_carries_the_token_of_whoever_is_signed_in(signed_in: Client) -> None:
    signed_in.defaults["HTTP_ACCEPT"] = BROWSER
    page = signed_in.get("/").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    form = {"n": "5", "csrfmiddlewaretoken": token[1]}
    assert signed_in.post("/split-sum-start/", form).status_code == 303


def test_the_form_of_whoever_is_not_signed_in_has_no_token(
    db: None, browser_client: Client
) -> None:
    response = browser_client.get("/")
    assert "csrfmiddlewaretoken" not in response.content.decode()
    assert not response.cookies


# --- either check takes either kind of id ---------------------------------------------


def test_the_plain_check_takes_a_split_sums_id(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    assert check(run, "/sum-check/") == {"status": "in-progress", "total": None, "error": None}
    run_jobs()
    assert check(run, "/sum-check/") == {"status": "done", "total": 55, "error": None}


def test_the_split_check_takes_a_plain_sums_id(db: None) -> None:
    run = started("/sum-start/", n=10)
    assert check(run)["progress"] == {"done": 0, "failed": 0, "total": 1}
    run_jobs()
    assert check(run) == {
        "status": "done",
        "raw": [55],
        "total": 55,
        "error": None,
        "progress": {"done": 1, "failed": 0, "total": 1},
    }


def test_the_split_check_takes_a_failed_sums_id(db: None) -> None:
    run = started("/bug-sum-start/", n=1234567)
    run_jobs()
    reply = check(run)
    assert (reply["status"], reply["raw"], reply["total"]) == ("error", None, None)
    assert reply["progress"] == {"done": 0, "failed": 1, "total": 1}
    assert reply["error"] == check(run, "/sum-check/")["error"]


# --- statuses -------------------------------------------------------------------------


def test_a_run_is_in_progress_until_its_chunks_are_combined(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=4)
    for done, job in enumerate(run.jobs):
        reply = check(run)
        assert (reply["status"], reply["raw"], reply["total"]) == ("in-progress", None, None)
        assert reply["progress"] == {"done": done, "failed": 0, "total": 3}
        Job.objects.filter(pk=job.pk).update(state=Job.State.DONE, result=done)
        OrmQ.objects.filter(pk=job.queue_id).delete()
    for _ in range(2):  # until a worker has combined them
        reply = check(run)
        assert (reply["status"], reply["raw"], reply["total"]) == ("in-progress", [0, 1, 2], None)
        assert reply["progress"] == {"done": 3, "failed": 0, "total": 3}
    run_queued()
    reply = check(run)
    assert (reply["status"], reply["raw"], reply["total"]) == ("done", [0, 1, 2], 3)


def test_a_run_of_one_task_is_in_progress_until_that_is_done(db: None) -> None:
    run = started("/sum-start/", n=10)
    assert check(run, "/sum-check/")["status"] == "in-progress"
    finish_by_hand(run, 55)
    assert check(run, "/sum-check/") == {"status": "done", "total": 55, "error": None}


def test_a_failed_chunk_does_not_settle_the_run_before_the_others(run_with_a_failure: Run) -> None:
    waiting = Job.objects.filter(group=run_with_a_failure.task_id, position=2)
    waiting.update(state=Job.State.RUNNING)
    reply = check(run_with_a_failure)
    assert (reply["status"], reply["error"]) == ("in-progress", None)
    assert reply["progress"] == {"done": 1, "failed": 1, "total": 3}


def test_a_failed_run_says_why_in_one_line(run_with_a_failure: Run) -> None:
    reply = check(run_with_a_failure)
    assert (reply["status"], reply["raw"], reply["total"]) == ("error", None, None)
    assert reply["progress"] == {"done": 2, "failed": 1, "total": 3}
    assert reply["error"].startswith(
        "1 of 3 chunks failed, the first being number 2: FileNotFoundError: "
    )
    assert "\n" not in reply["error"]


def test_a_retried_run_is_in_progress_again_and_then_done(
    run_with_a_failure: Run, missing_file: Any
) -> None:
    assert check(run_with_a_failure)["status"] == "error"
    missing_file.write_text("x" * 3)
    assert retry(run_with_a_failure) == 1
    reply = check(run_with_a_failure)
    assert (reply["status"], reply["total"], reply["error"]) == ("in-progress", None, None)
    assert reply["progress"] == {"done": 2, "failed": 0, "total": 3}
    run_jobs()
    reply = check(run_with_a_failure)
    assert (reply["status"], reply["raw"], reply["total"]) == ("done", [100, 3, 20], 123)


def test_a_cancelled_run_is_an_error_that_names_who_cancelled_it(db: None, admin: Client) -> None:
    run = started("/sum-start/", n=10)
    queued = list(OrmQ.objects.values_list("pk", flat=True))
    form = {"action": "delete_selected", "_selected_action": queued, "post": "yes"}
    assert admin.post("/admin/django_q/ormq/", form).status_code == 302
    assert check(run, "/sum-check/") == {
        "status": "error",
        "total": None,
        "error": "cancelled by boss",
    }
    assert check(run)["progress"] == {"done": 0, "failed": 1, "total": 1}


# --- totals of any size ---------------------------------------------------------------


@pytest.mark.parametrize("address", CHECK_ADDRESSES)
def test_a_total_of_24_digits_is_an_exact_integer(admin: Client, address: str) -> None:
    n = 10**12
    total = n * (n + 1) // 2
    run = started("/sum-start/", admin, n=n)
    finish_by_hand(run, total)
    response = Client().get(address, {"task_id": run.task_id})
    assert f'"total": {total},' in response.content.decode()
    assert len(str(total)) == 24
    assert response.json()["total"] == total


@given(results=st.lists(st.integers(0, 10**40), min_size=10, max_size=10))
@hypothesis.settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_the_totals_of_chunks_of_any_size_add_up_exactly(db: None, results: list[int]) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=1)
    finish_by_hand(run, *results)
    assert (check(run)["raw"], check(run)["total"]) == (results, None)
    run_queued()
    for _ in range(2):
        reply = check(run)
        assert reply["raw"] == results
        assert reply["total"] == sum(results)


def test_a_page_shows_every_digit_of_a_total(admin: Client, browser_client: Client) -> None:
    run = started("/sum-start/", admin, n=10**12)
    finish_by_hand(run, 500000000000500000000000)
    for address in ["/", run.get_absolute_url()] * 2:
        page = browser_client.get(address).content.decode()
    assert "500,000,000,000,500,000,000,000" in page


# --- the tutorial's names -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "address", "view"),
    [
        ("sum", "/sum-sync/", "SumView"),
        ("sum-async-start", "/sum-start/", "SumAsyncStartView"),
        ("sum-async-progress", "/sum-check/", "SumAsyncProgressView"),
        ("buggy-sum-async-start", "/bug-sum-start/", "BuggySumAsyncStartView"),
        ("split-sum-async-start", "/split-sum-start/", "SplitSumAsyncStartView"),
        ("split-sum-async-progress", "/split-sum-check/", "SplitSumAsyncProgressView"),
    ],
)
def test_urls_and_views_have_the_tutorials_names(name: str, address: str, view: str) -> None:
    assert reverse(name) == address
    assert resolve(address).func.view_class is getattr(views, view)
    assert getattr(views, view).__module__ == "compute.views"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("get_sum", ["n"]), ("get_sum_buggy", ["n"]), ("get_sum_range", ["n", "m"])],
)
def test_tasks_have_the_tutorials_names(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(tasks, name)).parameters) == parameters


def test_chunk_size_is_a_local_variable_of_the_split_view() -> None:
    assert "chunk_size" in views.SplitSumAsyncStartView.start.__code__.co_varnames


# --- the debugging step, word for word ------------------------------------------------

LINE = "task = async_task(tasks.get_sum_buggy, n)"
EDITED = "task = async_task(tasks.get_sum_buggy, n, sync=True)"


@pytest.fixture
def edited_site(settings: Any) -> Client:
    """The site after the edit that the tutorial asks for, in development."""
    source = inspect.getsource(views)
    module = types.ModuleType("compute.views")
    module.__package__ = "compute"
    exec(  # noqa: S102
        compile(source.replace(LINE, EDITED), str(views.__file__), "exec"), vars(module)
    )
    edited = path("bug-sum-start/", module.BuggySumAsyncStartView.as_view())
    urls = types.ModuleType("edited_urls")
    vars(urls)["urlpatterns"] = [edited, path("", include("sumsite.urls"))]
    settings.ROOT_URLCONF = urls
    settings.DEBUG = True
    return Client(raise_request_exception=False)


def test_the_line_to_edit_stands_in_the_buggy_view() -> None:
    source = inspect.getsource(views.BuggySumAsyncStartView)
    assert [line.strip() for line in source.splitlines()].count(LINE) == 1
    assert inspect.getsource(views).count(LINE) == 1


def test_with_sync_true_the_request_shows_the_tasks_traceback(
    db: None, edited_site: Client
) -> None:
    with nothing_started():
        response = edited_site.get("/bug-sum-start/?n=100000000", headers={"accept": "text/html"})
    assert response.status_code == 500
    page = response.content.decode()
    assert "TypeError" in page
    assert "compute/tasks.py" in page
    assert "still adding, now at" in page


def test_with_sync_true_a_sum_below_the_bug_is_done_at_once(db: None, edited_site: Client) -> None:
    address = edited_site.get("/bug-sum-start/?n=1000").json()["task_progress"]
    assert Client().get(address).json() == {"status": "done", "total": 500500, "error": None}
    assert not OrmQ.objects.exists()


# --- anything at all ------------------------------------------------------------------

ANYTHING = st.text(max_size=50)
NUMBERISH = st.one_of(
    st.integers(-5, 2000).map(str),
    st.integers(0, 10**13).map(str),
    st.from_regex(r"[0-9]{1,40}", fullmatch=True),
    ANYTHING,
)
METHODS = st.one_of(
    st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"]),
    st.from_regex(r"[A-Za-z!#$%&'*+.^_`|~-]{1,12}", fullmatch=True),
)
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60)
ACCEPTS = st.one_of(
    st.sampled_from(["*/*", "text/html", "application/json"]),
    LATIN,
    st.lists(
        st.tuples(
            st.sampled_from(["text/html", "application/json", "*/*", "text/*", "a", "/", ""]),
            st.sampled_from(["", ";q=0", ";q=0.5", ";q=2", ";q=nan", ";q=x", ";q=", ";=;"]),
        ).map("".join)
    ).map(",".join),
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "n": NUMBERISH,
        "chunk_size": NUMBERISH,
        "task_id": st.one_of(ANYTHING, st.from_regex(r"[0-9a-f]{32}", fullmatch=True)),
        "page": NUMBERISH,
    },
)


@given(
    address=st.sampled_from([*ADDRESSES, *HEALTH_ADDRESSES, "/admin/", "/admin/login/"]),
    method=METHODS,
    accept=ACCEPTS,
    query=PARAMETERS,
    body=PARAMETERS,
    htmx=st.booleans(),
)
@hypothesis.settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_nothing_that_is_sent_makes_the_site_fail_or_start_what_it_refuses(
    queue_server: Node,
    address: str,
    method: str,
    accept: str,
    query: dict[str, str],
    body: dict[str, str],
    htmx: bool,
) -> None:
    headers = {"accept": accept, **({"hx-request": "true"} if htmx else {})}
    before = rows()
    with transaction.atomic(), override_settings(SUM_SYNC_MAX_N=2000):
        response = Client(headers=headers, query_params=query).generic(
            method,
            address,
            "&".join(f"{name}={value}" for name, value in body.items()),
            content_type="application/x-www-form-urlencoded",
        )
        assert response.status_code < 500
        if response.status_code >= 400 or address not in START_ADDRESSES:
            assert rows() == before
        else:
            assert rows()[0] == before[0] + 1
        if response["Content-Type"] == "application/json" and method.upper() != "HEAD":
            assert isinstance(response.json(), dict)
        transaction.set_rollback(True)


@given(query=st.binary(max_size=60), body=st.binary(max_size=60))
@hypothesis.settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"],
)
@pytest.mark.parametrize("address", [*SUM_ADDRESSES, *CHECK_ADDRESSES])
def test_bytes_that_are_no_form_are_refused_like_anything_else(
    db: None, address: str, content_type: str, query: bytes, body: bytes
) -> None:
    with nothing_started(), transaction.atomic(), override_settings(SUM_SYNC_MAX_N=2000):
        response = Client().generic(
            "POST", address, body, content_type=content_type, QUERY_STRING=query.decode("latin-1")
        )
        assert response.status_code < 500
        transaction.set_rollback(True)
