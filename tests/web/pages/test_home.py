"""The first page: of one computation, or with cards of all."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from compute.computations.primes import PRIMES
from compute.computations.sums import SUM
from compute.declarations import Problem
from compute.models import Run
from compute.queue.models import JobState, Node
from compute.web.pages import home
from tests.conftest import started
from tests.web.pages.reading import page


def test_the_page_tells_how_long_it_will_take(queue_server: Node) -> None:
    Run.objects.create(
        task_id="1", parameters={"n": 10**8}, computation="sum", state="done", work_seconds=10
    )
    html = page("/?n=1000000000")
    assert 'value="1000000000"' in html
    assert "About 50 s split among 2 workers, 1 min 40 s as one task." in html
    assert 'data-speed="10000000" data-workers="2" data-curve="0.0:2.000">' in html


def test_beside_what_is_unfinished_the_page_tells_what_one_gets(queue_server: Node) -> None:
    Run.objects.create(
        task_id="1", parameters={"n": 10**8}, computation="sum", state="done", work_seconds=10
    )
    run = started("/split-sum-start/", n=10**9, chunk_size=10**8)  # 100 s
    began = time.monotonic()
    run.jobs.filter(position__lt=2).update(
        state=JobState.RUNNING, started_at=Now() - timedelta(seconds=6), node=queue_server
    )
    html = page("/?n=1500000000")
    said = re.search(
        r"Starts in about (\d.\d) s, done in about 2 min \d s: you get half of the workers. "
        r"As one task 2 min 3\d s.</p>",
        html,
    )
    assert said
    assert 3.9 - (time.monotonic() - began) <= float(said[1]) <= 4
    assert re.search(
        r'data-curve="0.0:1.000 8\d.\d:2.000" data-wait="\d.\d" data-starts="in about \d.\d s" '
        'data-portion="half">',
        html,
    )


@pytest.mark.parametrize("n", ["", "x", "-5", "9" * 5000, "%3Cb%3E"])
def test_without_an_n_there_is_no_estimate(db: None, n: str) -> None:
    html = page(f"/?n={n}")
    assert "as one task.</p>" not in html
    assert "<b>" not in html


def test_the_tutorials_three_numbers_are_a_click_away(db: None) -> None:
    html = page("/")
    for n, text in [(10**7, "10 million"), (10**8, "100 million"), (3 * 10**9, "3 billion")]:
        assert f'<a href="/?n={n}">{text}</a>' in html


def test_what_was_left_out_of_the_computations_is_told_to_those_who_can_mend_it(
    db: None, browser_client: Client, admin: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem("compute.W002", "odd.py, <b>: its name is bad.", "Take another.")
    monkeypatch.setattr(home, "problems", lambda: [problem])
    html = admin.get("/", headers={"accept": "text/html"}).content.decode()
    assert "Some computations are left out" in html
    assert "<li>odd.py, &lt;b&gt;: its name is bad. Take another.</li>" in html
    assert "are left out" not in browser_client.get("/").content.decode()
    settings.DEBUG = True
    assert "are left out" in browser_client.get("/").content.decode()


def test_why_there_is_no_such_computation_is_told_to_those_who_can_mend_it(
    db: None, client: Client, admin: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def detail(client: Client, name: str) -> str:
        reply = client.get(f"/compute/{name}/")
        assert reply.status_code == 404
        return str(reply.json()["detail"])

    bad = Problem("compute.W005", "odd.py, computation 'odd': it is.", "Mend it.")
    broken = Problem("compute.W001", "b.py can't be loaded: KeyError.", "Take it out.")
    monkeypatch.setattr(home, "problems", lambda: [bad, broken])
    assert detail(client, "odd").endswith("sum.")
    for each in (admin, client):
        settings.DEBUG = each is client
        assert detail(each, "odd").endswith(
            "sum. Left out: odd.py, computation 'odd': it is. Mend it."
        )
        assert detail(each, "x").endswith(
            "sum. Left out: b.py can't be loaded: KeyError. Take it out."
        )


def test_a_home_page_that_there_is_not_is_told_to_those_who_can_mend_it(
    db: None, browser_client: Client, admin: Client, settings: Any
) -> None:
    settings.HOME_PAGE = "<tset>"
    sentence = "<strong>HOME_PAGE is &#x27;&lt;tset&gt;&#x27;, and no computation has that name."
    html = admin.get("/", headers={"accept": "text/html"}).content.decode()
    assert sentence in html
    assert "Leave it out, or give one of: buggy-sum, " in html
    reply = browser_client.get("/")
    assert reply.status_code == 200
    assert "HOME_PAGE" not in reply.content.decode()


def test_without_one_the_page_has_cards_of_all(db: None, asked: Any) -> None:
    template, context = home.page_of(asked, None, [PRIMES, SUM], {"sum": "/there/"})
    assert template == "compute/cards.html"
    assert [card.address for card in context["cards"]] == ["/compute/primes/", "/there/"]
    assert context["rows"] == []


def test_the_form_of_one_stands_before_cards_of_the_others(db: None, asked: Any) -> None:
    template, context = home.page_of(asked, PRIMES, [PRIMES, SUM])
    assert template == "compute/computation.html"
    assert (context["computation"], context["expected"]) == (PRIMES, None)
    assert [each.name for each in context["fields"]] == ["n", "chunk_size"]
    assert [card.computation for card in context["cards"]] == [SUM]


def test_a_form_that_fails_does_not_take_the_page_along(
    db: None, asked: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no form today")

    odd = replace(PRIMES, name="odd", form=type("Odd", (PRIMES.form,), {"__init__": broken}))
    template, context = home.page_of(asked, odd, [odd, SUM])
    assert template == "compute/cards.html"
    assert [card.computation for card in context["cards"]] == [odd, SUM]
    assert "odd: its `form` raised RuntimeError: no form today" in caplog.text
