"""What views read of a request, and how they say no."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import Client, RequestFactory
from django.urls import reverse

from compute.computation import ComputationError
from compute.models import Run
from compute.urls import urlpatterns
from compute.web.base import ReplyView, find_run, parameters, refuse_unknown, reply_with
from tests.addresses import CHECK_ADDRESSES, START_ADDRESSES
from tests.conftest import check, started

HTML = {"accept": "text/html"}


def asking(address: str = "/", body: Any = None, **headers: str) -> HttpRequest:
    factory = RequestFactory(headers=headers)
    request = factory.get(address) if body is None else factory.post(address, body)
    request.session, request.user = SessionBase(), AnonymousUser()
    return request


def detail(reply: Run | HttpResponseBase) -> str:
    assert isinstance(reply, HttpResponse)
    return str(json.loads(reply.content)["detail"])


class Raising(ReplyView):
    """Raises what it was made with."""

    error: Exception = ValueError("nothing of the site's")

    def get(self, request: HttpRequest) -> HttpResponse:
        raise self.error


# --- what is read ---------------------------------------------------------------------


def test_parameters_of_the_body_take_the_place_of_the_addresss() -> None:
    given = parameters(asking("/?a=1&a=2&b=3", {"a": ["4", "5"], "c": "6"}))
    assert dict(given.lists()) == {"a": ["4", "5"], "b": ["3"], "c": ["6"]}


def test_a_run_is_found_by_its_task_id_in_the_address_or_in_the_body(db: None) -> None:
    run = Run.objects.create(task_id="a" * 32, parameters={})
    assert find_run(asking(f"/?task_id={run.task_id}")) == run
    assert find_run(asking("/", {"task_id": run.task_id})) == run


def test_without_a_task_id_it_is_asked_for() -> None:
    reply = find_run(asking("/?task_id="))
    assert (isinstance(reply, HttpResponse), detail(reply)[:16]) == (True, "Give the task_id")


@pytest.mark.parametrize("task_id", ["x", "A" * 32, "a" * 31, "٣" * 32, "a" * 32 + "%0A"])
def test_what_cannot_be_a_task_id_is_not_looked_for(task_id: str) -> None:
    # Without the `db` fixture any query fails the test.
    assert detail(find_run(asking(f"/?task_id={task_id}"))).startswith("No run has this task_id")


def test_a_run_that_is_not_there_is_answered_in_the_same_words(db: None) -> None:
    reply = find_run(asking(f"/?task_id={'a' * 32}"))
    assert isinstance(reply, HttpResponse)
    assert (reply.status_code, reply.content) == (404, refuse_unknown(asking()).content)


# --- under the name of its computation ---------------------------------------------------

#: All that `/compute/<name>/…` has and that is of no run.
OF_NO_RUN = {"computation", "start", "estimate", "uploads", "upload"}
OF_A_RUN: dict[str, Any] = {
    str(each.name): getattr(each.callback, "view_class", None)
    for each in urlpatterns
    if str(each.pattern).startswith("compute/<slug:name>/") and each.name not in OF_NO_RUN
}


def ask(client: Client, address: str, name: str, run: Run, *, post: bool, **headers: str) -> Any:
    given = {"task_id": run.task_id, "number": "1", "way": "Zoom in", "note": "x"}
    ask = client.post if post else client.get
    return ask(reverse(address, args=[name]), given, headers=headers)


@pytest.mark.parametrize("address", OF_A_RUN)
@pytest.mark.parametrize("headers", [{}, HTML], ids=["program", "browser"])
def test_a_run_has_no_address_under_another_name(
    admin: Client, address: str, headers: dict[str, str]
) -> None:
    run, before = started("/compute/primes/start/", n=100), Run.objects.count()
    for method in {"get", "post"} & set(OF_A_RUN[address].http_method_names):
        if (address, method) == ("chunk-sizes", "post"):
            continue  # it reads no run
        post = method == "post"
        for name in ("sum", "nothing"):
            reply = ask(admin, address, name, run, post=post, **headers)
            assert reply.status_code == 404, (name, method)
            if not headers and (address, name) != ("chunk-sizes", "nothing"):
                unknown = ask(admin, address, name, Run(task_id="0" * 32), post=post)
                assert reply.json() == unknown.json()
        assert Run.objects.get(pk=run.pk).state == Run.State.IN_PROGRESS
        said = ask(admin, address, "primes", run, post=post, **headers)
        assert "No run has this task_id" not in b"".join(said).decode()
    assert Run.objects.filter(pk=run.pk).exists()
    assert Run.objects.count() <= before + 1  # for "again"


def test_a_run_that_fills_a_form_in_is_of_its_computation(admin: Client) -> None:
    run = started("/compute/primes/start/", n=100)
    statuses = [
        admin.get(f"/compute/{name}/", {"from": run.task_id}).status_code
        for name in ("primes", "sum")
    ]
    assert statuses == [200, 404]


@pytest.mark.parametrize("name", ["gone", "renamed-1", "sum"])
def test_the_runs_of_what_is_no_longer_declared_keep_their_addresses(
    admin: Client, name: str
) -> None:
    run = started("/compute/primes/start/", n=100)
    Run.objects.update(computation=name)
    run.refresh_from_db()
    assert run.get_absolute_url() == f"/compute/{name}/check/?task_id={run.task_id}"
    for address in ("check", "chunk", "chunks"):
        assert ask(admin, address, name, run, post=False).status_code == 200
        assert ask(admin, address, "primes", run, post=False).status_code == 404
    for address in ("note", "cancel", "delete"):
        assert ask(admin, address, "primes", run, post=True).status_code == 404
        assert ask(admin, address, name, run, post=True).status_code == 200
    assert not Run.objects.exists()


@pytest.mark.parametrize("address", CHECK_ADDRESSES)
def test_the_tutorials_check_addresses_take_any_run(db: None, address: str) -> None:
    for start in (*START_ADDRESSES, "/compute/primes/start/"):
        assert check(started(start, n=10), address)["status"] == "in-progress"


# --- how it is said -------------------------------------------------------------------


def test_another_method_is_told_which_there_are() -> None:
    reply = ReplyView.as_view()(RequestFactory().delete("/"))
    assert (reply.status_code, reply["Allow"]) == (405, "GET, HEAD")
    assert detail(reply) == "Ask this address with GET, HEAD."


def test_a_run_that_is_removed_while_a_view_works_is_an_unknown_one() -> None:
    reply = Raising.as_view(error=Run.DoesNotExist())(asking())
    assert (reply.status_code, detail(reply)) == (404, detail(refuse_unknown(asking())))


def test_a_computations_mistake_is_logged_and_told_to_who_can_mend_it(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    view = Raising.as_view(error=ComputationError("sum: its `cut` raised ValueError: no"))
    stranger, staff = asking(), asking()
    staff.user = User(is_staff=True)
    assert [view(request).status_code for request in (stranger, staff)] == [422, 422]
    assert detail(view(staff)) == "sum: its `cut` raised ValueError: no"
    assert "ValueError" not in detail(view(stranger))
    settings.DEBUG = True
    assert detail(view(stranger)) == detail(view(staff))
    record = caplog.records[0]
    assert (record.name, record.levelno) == ("compute.web.base", logging.ERROR)
    assert record.exc_info


def test_any_other_error_is_the_sites_own() -> None:
    with pytest.raises(ValueError, match="nothing of the site's"):
        Raising.as_view()(asking())


def test_who_may_not_see_all_runs_is_told_how_to_see_more(settings: Any) -> None:
    assert "starting it returned" in detail(refuse_unknown(asking()))
    settings.RUNS_PRIVATE = True
    assert "sign in as its owner" in detail(refuse_unknown(asking()))


def test_a_page_that_asks_for_a_part_of_itself_is_loaded_again() -> None:
    headers = {"hx-request": "true"}
    assert refuse_unknown(asking(**headers))["HX-Refresh"] == "true"
    assert "HX-Refresh" not in refuse_unknown(asking())


def test_a_browser_is_sent_on_and_a_program_told_where() -> None:
    browser = reply_with(asking(**HTML), "/there/?a=1", {"cancelled": 2})
    assert (browser.status_code, browser["Location"]) == (303, "/there/?a=1")
    program = reply_with(asking(), "/there/?a=1", {"cancelled": 2}, "address")
    assert json.loads(program.content) == {
        "cancelled": 2,
        "address": "http://testserver/there/?a=1",
    }
    for reply in (browser, program):
        assert (reply["Vary"], reply["Cache-Control"]) == ("Accept, HX-Request", "no-store")
