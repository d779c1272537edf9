"""The admin's lists of many rows: what they count, read and say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from compute.models import Run
from compute.queue.admin import newest
from compute.queue.models import Job
from tests import recipes
from tests.aged import make_rows
from tests.queue.admin.pages import JOBS
from tests.reads import reading
from tests.web.pages.reading import runs_by_hand

RUNS = "/admin/compute/run/"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "MOST", 150)


def listed(client: Client, address: str, **query: Any) -> Any:
    reply = client.get(address, query)
    assert reply.status_code == 200
    return reply.context["cl"]


def test_a_list_counts_so_far_and_says_so(admin: Client, few: None) -> None:
    runs_by_hand(150)
    assert "150 runs" in admin.get(RUNS).content.decode()
    runs_by_hand(1, first=150)
    html = re.sub(r"\s+", " ", admin.get(RUNS).content.decode())
    assert "150+ runs" in html
    assert "All 150+ selected" in html
    assert "Select all 150+ runs" in html
    assert len(listed(admin, RUNS, p=2).result_list) == 50
    assert admin.get(RUNS, {"p": 3}).status_code == 302, "to the list, for there is no such page"


def test_a_search_looks_at_the_newest_unless_it_is_asked_for_all(admin: Client, few: None) -> None:
    runs_by_hand(200)
    Run.objects.update(title="one of many")
    Run.objects.filter(task_id=f"{3:032x}").update(title="an old one")
    assert not listed(admin, RUNS, q="old").result_count
    assert listed(admin, RUNS, q="old", of="all").result_count == 1
    assert listed(admin, RUNS, q="many").result_count == 150
    assert listed(admin, RUNS, q=f"{3:032x}").result_count == 1
    assert not listed(admin, RUNS, q=f"{900:032x}").result_count
    html = admin.get(RUNS).content.decode()
    assert "An id is found among all rows" in html
    assert '<a href="?of=all">all, which takes longer</a>' in html


def test_a_list_that_is_filtered_or_sorted_looks_at_the_newest(admin: Client, few: None) -> None:
    for number in range(3):
        recipes.job.make(queue_id=number + 1, state="failed", error_class=f"Error{number}")
    recipes.job.make(queue_id=None)
    for number in range(149):
        recipes.job.make(queue_id=number + 4)
    assert str(listed(admin, JOBS).result_count) == "150+"
    assert listed(admin, JOBS, state__exact="failed").result_count == 1
    assert listed(admin, JOBS, state__exact="failed", of="all").result_count == 3
    assert listed(admin, JOBS, o="1").result_count == 150
    page = admin.get(JOBS).content.decode()
    assert "?error_class=Error2" in page
    assert "?error_class=Error1" not in page
    assert admin.get(JOBS, {"q": Job.objects.get(queue_id=1).pk}).context["cl"].result_count == 1


@pytest.mark.parametrize(
    "query",
    ["", "?q=1,000", "?q=nothing", f"?q=b{5:031}", "?o=1", "?state__exact=error", "?p=2"],
)
@pytest.mark.parametrize("address", [RUNS, JOBS, f"{RUNS}?computation=primes"])
def test_more_rows_need_no_more_reading(admin: Client, few: None, address: str, query: str) -> None:
    address = f"{address}{query}" if "?" not in address else f"{address}&{query[1:]}"
    amounts = []
    for first, count in ((0, 500), (500, 5_000)):
        make_rows(count, first)
        admin.get(address)
        with reading() as read:
            assert admin.get(address).status_code == 200
        amounts.append(read.amount)
    assert amounts[1] < amounts[0] + 1_000, "of 5,000 more"
