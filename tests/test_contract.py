"""The URL contract: both of its tables row by row in their order, then what it says besides."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse
from django.test import Client

from compute.models import Run
from compute.queue.models import Node
from tests.addresses import (
    ADDRESSES,
    BROWSER,
    CHECK_ADDRESSES,
    HEALTH_ADDRESSES,
    START_ADDRESSES,
    SUM_ADDRESSES,
    nothing_started,
)
from tests.conftest import (
    NOBODY_KNOWS,
    OVER,
    check,
    measure_samples,
    run_jobs,
    started,
)

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Reply


def row(address: str, *values: Any, **parameters: str) -> Any:
    """A row of a table; its id is the address as one would type it."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    name = f"{address}?{query}" if query else address
    return pytest.param(address, parameters, *values, id=name.encode("unicode_escape").decode())


def without_id(text: str) -> str:
    return re.sub(r"[0-9a-f]{32}", "<id>", text)


def vary(response: HttpResponse | Reply) -> list[str]:
    return [name.strip() for name in response.get("Vary", "").split(",")]


#: In how many seconds a run that is a trifle starts and ends.
WAITING = {"state": "queued", "poll_after": 1, "starts_in": 0.0, "ends_in": 0.0}


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
        row(
            "/sum-check/",
            {"status": "in-progress", "total": None, "error": None, **WAITING},
            task_id="<id>",
        ),
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
                **WAITING,
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
    assert check(run, "/sum-check/") == {
        "status": "in-progress",
        "total": None,
        "error": None,
        **NOBODY_KNOWS,
    }
    run_jobs()
    assert check(run, "/sum-check/") == {
        "status": "done",
        "total": 500500,
        "error": None,
        **OVER,
    }


def test_a_split_sum_has_one_total_for_each_chunk_in_the_order_of_the_ranges(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=4)
    run_jobs()
    assert check(run) == {
        "status": "done",
        "raw": [10, 26, 19],
        "total": 55,
        "error": None,
        "progress": {"done": 3, "failed": 0, "total": 3},
        **OVER,
    }


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_10000_chunks_are_allowed(db: None) -> None:
    run = started("/split-sum-start/", n=10_000, chunk_size=1)
    assert check(run)["progress"] == {"done": 0, "failed": 0, "total": 10_000}


@pytest.mark.thorough
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


def replies(accept: str | None) -> list[Reply]:
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


@pytest.mark.thorough
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


@pytest.mark.thorough
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
