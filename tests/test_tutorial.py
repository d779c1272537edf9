"""The tutorial's names, and its debugging step, word for word."""

from __future__ import annotations

import inspect
import types
from typing import Any

import pytest
from django.test import Client
from django.urls import include, path, resolve, reverse
from django_q.models import OrmQ

from compute import tasks, views
from tests.addresses import nothing_started
from tests.conftest import OVER


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
    assert vars(resolve(address).func)["view_class"] is getattr(views, view)
    assert getattr(views, view).__module__ == "compute.views"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("get_sum", ["n"]), ("get_sum_buggy", ["n"]), ("get_sum_range", ["n", "m"])],
)
def test_tasks_have_the_tutorials_names(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(tasks, name)).parameters) == parameters


def test_chunk_size_is_a_local_variable_of_the_split_view() -> None:
    assert "chunk_size" in views.SplitSumAsyncStartView.start.__code__.co_varnames


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


@pytest.mark.thorough
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
    assert Client().get(address).json() == {
        "status": "done",
        "total": 500500,
        "error": None,
        **OVER,
    }
    assert not OrmQ.objects.exists()
