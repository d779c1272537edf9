"""Cards of computations, each with its newest run."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test.utils import CaptureQueriesContext

from compute.computations import all_computations
from compute.computations.primes import PRIMES
from compute.computations.sums import SUM
from compute.models import Run
from compute.web.pages.cards import cards_context, newest
from tests.conftest import started


def html_of(context: dict[str, Any]) -> str:
    return render_to_string("compute/_cards.html", context)


def test_a_card_leads_to_the_computation_and_to_its_newest_run(
    db: None, asked: HttpRequest
) -> None:
    started("/compute/primes/start/", n=100)
    run = started("/compute/primes/start/", n=200)
    context = cards_context(asked, [PRIMES, SUM], {"sum": "/elsewhere/"})
    primes, sums = context["cards"]
    assert (primes.address, primes.run) == ("/compute/primes/", run)
    assert (sums.address, sums.run) == ("/elsewhere/", None)
    html = html_of(context)
    assert '<h3><a href="/compute/primes/">primes</a></h3>' in html
    assert f"<p>{PRIMES.line}</p>" in html
    assert f'<a href="{run.get_absolute_url()}">primes up to 200</a>' in html
    assert '<span class="state in-progress">unfinished</span>, <time ' in html
    assert "Not run yet" in html


def test_a_card_tells_what_an_ended_run_took_and_a_long_title_whole(
    db: None, asked: HttpRequest
) -> None:
    run = started("/compute/primes/start/", n=100)
    ended = {"finished_at": run.created_at, "state": Run.State.DONE, "title": "x" * 61}
    Run.objects.update(**ended)
    html = html_of(cards_context(asked, [PRIMES]))
    assert '<span class="state done">done</span> in 1 ms, <time ' in html
    assert f'title="{"x" * 61}">' in html


def test_more_computations_need_no_more_queries(db: None, asked: HttpRequest) -> None:
    for name in ("sum", "primes"):
        started(f"/compute/{name}/start/", n=100)
    counts = []
    for computations in ([PRIMES], list(all_computations().values())):
        with CaptureQueriesContext(connection) as queries:
            html_of(cards_context(asked, computations))
        counts.append(len(queries))
    assert counts == [2, 2]


def test_without_computations_nothing_is_asked(asked: HttpRequest) -> None:
    assert newest(asked, []) == {}


def test_without_runs_there_is_none(db: None, asked: HttpRequest) -> None:
    assert newest(asked, ["sum", "primes"]) == {}


def test_runs_of_others_are_not_told_where_runs_are_private(
    db: None, settings: Any, asked: HttpRequest
) -> None:
    started("/compute/primes/start/", n=100)
    run = Run.objects.get()
    assert newest(asked, ["primes"]) == {"primes": run}
    settings.RUNS_PRIVATE = True
    assert newest(asked, ["primes"]) == {}
    Run.objects.update(owner="me")
    asked.session["owner"] = "me"
    assert newest(asked, ["primes"]) == {"primes": run}
