"""The tutorial's own pages for people. (Addresses and JSON are in test_contract.py.)"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from compute import computations, views
from compute.computations.primes import PRIMES
from tests.conftest import started
from tests.web.pages.reading import FRAGMENT, HTML, page

# --- the first page -------------------------------------------------------------------


def test_the_form_offers_every_way_to_add_up(db: None) -> None:
    html = page("/")
    assert '<form method="post" action="/split-sum-start/"' in html
    for address in ("/sum-start/", "/sum-sync/", "/bug-sum-start/"):
        assert f'formaction="{address}"' in html


def test_the_page_tells_the_limit_of_a_sum_in_the_request(db: None, settings: Any) -> None:
    assert "n may be 100,000,000 at most" in page("/")
    settings.SUM_SYNC_MAX_N = 0
    assert "at most" not in page("/")


# --- the form again -------------------------------------------------------------------


def test_the_form_comes_back_with_what_was_typed_and_the_error_at_its_field(
    db: None, browser_client: Client
) -> None:
    response = browser_client.post("/split-sum-start/", {"n": "1e9", "chunk_size": "77"})
    assert response.status_code == 400
    html = response.content.decode()
    assert re.search(r'name="n"[^>]*value="1e9"[^>]*n_error[^>]*aria-invalid="true"', html)
    assert re.search(r'name="chunk_size"[^>]*value="77"', html)
    assert html.count('role="alert"') == 1
    assert html.count('aria-invalid="true"') == 1


def test_each_field_has_its_own_error(db: None, browser_client: Client) -> None:
    html = browser_client.post("/split-sum-start/", {"n": "x", "chunk_size": "y"}).content.decode()
    assert 'id="n_error"' in html
    assert 'id="chunk_size_error"' in html


def test_what_was_typed_comes_back_escaped(db: None, browser_client: Client) -> None:
    html = browser_client.get("/sum-start/", {"n": '"><script>alert(1)</script>'}).content.decode()
    assert "<script>alert" not in html
    assert "&quot;&gt;&lt;script&gt;" in html


def test_a_sum_that_takes_too_long_for_the_request_comes_back_at_its_field(
    db: None, browser_client: Client
) -> None:
    response = browser_client.post("/sum-sync/", {"n": "1000000000"})
    assert response.status_code == 422
    html = response.content.decode()
    assert 'id="n_error"' in html
    assert "/sum-start/?n=1000000000" in html
    assert 'value="1000000000"' in html


# --- a sum inside the request ---------------------------------------------------------


def test_a_sum_in_the_request_is_a_page_with_the_total(browser_client: Client) -> None:
    html = browser_client.post("/sum-sync/", {"n": "1000"}).content.decode()
    assert "<h1>sum 1–1,000</h1>" in html
    assert "<output>500,500</output>" in html


# --- every page -----------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/", "/sum-sync/?n=5", "/sum-check/?task_id=1", "/nowhere"])
def test_no_page_has_script_or_style_inside(db: None, address: str) -> None:
    html = Client().get(address, headers=HTML).content.decode()
    assert "<style" not in html
    assert not re.search(r"\sstyle=|\son\w+=|hx-on", html)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))
    assert '"allowEval": false' in html


def test_static_files_that_pages_name_are_there(db: None, settings: Any) -> None:
    settings.WHITENOISE_USE_FINDERS = True
    client = Client()
    for address in re.findall(r'(?:src|href)="(/?static/[^"]+)"', page("/")):
        response = client.get(address if address.startswith("/") else f"/{address}")
        assert response.status_code == 200, address
        assert response.getvalue(), address


# --- which page is the first ----------------------------------------------------------


TUTORIALS, ALL = "<h1>Add up all integers from 1 to n</h1>", "<h1>sumsite</h1>"


@pytest.fixture
def own(declare: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Declares computations as if they lay in a clone's folder."""

    def own(*names: str) -> None:
        for name in names:
            declare(name=name, line=f"What {name} does.", about="Why.\n\nAnd how.")
        now = computations.loaded()._replace(own=frozenset(names))
        monkeypatch.setattr("compute.computations.loaded", lambda: now)

    return own


def test_the_tutorials_page_is_the_first_as_long_as_there_is_nothing_else(
    db: None, settings: Any, own: Any
) -> None:
    settings.HOME_PAGE = ""
    own()  # whatever a clone has
    assert TUTORIALS in page("/")
    own("mine")
    assert TUTORIALS not in page("/")
    html = page("/tutorial/")
    assert TUTORIALS in html
    assert '<a href="/tutorial/?n=10000000">' in html
    assert 'value="77"' in page("/tutorial/?n=77")


def test_beside_the_tutorial_a_card_for_each_leads_on(db: None, settings: Any, own: Any) -> None:
    settings.HOME_PAGE = ""
    own("zebra", "ant")
    html = page("/")
    assert ALL in html
    links = re.findall(r'<h3><a href="([^"]*)">([^<]*)</a>', html)
    assert links[:2] == [("/compute/ant/", "ant"), ("/compute/zebra/", "zebra")]
    assert ("/compute/primes/", "primes") in links
    assert links[-1] == ("/tutorial/", "sum")
    assert "buggy-sum" not in html
    assert "What ant does." in html


def test_a_computation_that_is_chosen_has_the_first_page(db: None, settings: Any, own: Any) -> None:
    own("mine", "other")
    settings.HOME_PAGE = "mine"
    run = started("/sum-start/", n=5)
    html = page("/")
    assert "<h1>mine</h1>" in html
    assert '<form method="post" action="/compute/mine/start/"' in html
    assert "<p>Why.</p>\n<p>And how.</p>" in html
    assert run.get_absolute_url() in html  # of all, and not of its own alone
    assert 'href="/?state=done#runs"' in html
    assert '<h3><a href="/compute/other/">other</a></h3>' in html
    assert '<h3><a href="/tutorial/">sum</a></h3>' in html
    assert '<h3><a href="/compute/mine/">' not in html


def test_without_the_tutorial_nothing_leads_to_it(db: None, settings: Any, own: Any) -> None:
    own("mine")
    settings.HOME_PAGE, settings.TUTORIAL = "", False
    html = page("/")
    assert ALL in html
    for word in ("tutorial", "/compute/sum/", "buggy-sum", "Σ"):
        assert word not in html
    assert "Find by id, name or title" in html
    # Its addresses go on working.
    assert TUTORIALS in page("/tutorial/")
    assert Client().get("/sum-sync/?n=4").json() == {"total": 10}
    assert "<h1>sum</h1>" in page("/compute/sum/")


def test_one_computation_alone_has_the_first_page(
    db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOME_PAGE, settings.TUTORIAL = "", False
    monkeypatch.setattr(views, "others", lambda: [PRIMES])
    html = page("/")
    assert "<h1>primes</h1>" in html
    assert "Other computations" not in html
    monkeypatch.setattr(views, "others", list)
    assert "./manage.py startcomputation NAME" in page("/")


@pytest.mark.parametrize("tutorial", [True, False])
def test_the_sum_can_be_chosen_with_its_tutorial_or_without(
    db: None, settings: Any, own: Any, tutorial: bool
) -> None:
    own("mine")
    settings.HOME_PAGE, settings.TUTORIAL = "sum", tutorial
    assert (TUTORIALS in page("/")) == tutorial
    assert ("<h1>sum</h1>" in page("/")) == (not tutorial)


def test_whatever_the_first_page_is_a_program_gets_the_runs(
    db: None, settings: Any, own: Any
) -> None:
    own("mine")
    run = started("/sum-start/", n=5)
    link = f"http://testserver/compute/sum/check/?task_id={run.task_id}"
    for settings.HOME_PAGE in ("", "mine", "sum", "nothing"):
        for address in ("/", "/tutorial/"):
            assert Client().get(address).json() == {"runs": [{"task_progress": link}]}
            assert page(address, **FRAGMENT).strip().startswith('<section id="runs-list"')
