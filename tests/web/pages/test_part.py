"""A page of a list of runs: which it shows, and that it reads no more of more runs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from compute.models import Run, run
from compute.web.clients import OWNER
from compute.web.pages import part
from tests.aged import make_rows
from tests.reads import reading
from tests.web.pages.reading import page, runs_by_hand

LINK = re.compile(
    r'<a (?:rel="(?:next|prev)" )?href="([^"]*)#runs">(Newest|Newer|Older|Search[^<]*)<'
)


def links(html: str) -> dict[str, str]:
    """The addresses of the pages beside one."""
    return {name: address.replace("&amp;", "&") for address, name in LINK.findall(html)}


def numbers(html: str) -> list[int]:
    """Which runs there are on a page that were made by hand."""
    return [int(found, 16) for found in re.findall(r'task_id=([0-9a-f]{32})">', html)]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "LOOK", 30)
    monkeypatch.setattr(part, "LOOK_ON", 60)
    monkeypatch.setattr(part, "COUNTED", 25)
    monkeypatch.setattr(run, "LATELY", 100)


# --- pages ---------------------------------------------------------------------------------


def test_pages_go_on_where_the_last_one_ended(db: None) -> None:
    runs_by_hand(45)
    first = page("/")
    assert numbers(first) == list(range(44, 24, -1))
    assert list(links(first)) == ["Older"]
    runs_by_hand(2, first=45)  # meanwhile, and no run is shown twice
    second = page(links(first)["Older"])
    assert numbers(second) == list(range(24, 4, -1))
    third = page(links(second)["Older"])
    assert numbers(third) == [4, 3, 2, 1, 0]
    assert list(links(third)) == ["Newest", "Newer"]
    assert numbers(page(links(third)["Newer"])) == numbers(second)
    assert numbers(page(links(second)["Newer"])) == numbers(first)
    newest = page(links(third)["Newest"])
    assert numbers(newest) == list(range(46, 26, -1))
    assert list(links(newest)) == ["Older"]


def test_the_newest_runs_are_a_whole_page(db: None) -> None:
    runs_by_hand(41)
    second = page(links(page("/"))["Older"])
    Run.objects.filter(task_id=f"{40:032x}").delete()
    html = page(links(second)["Newer"])
    assert numbers(html) == list(range(39, 19, -1))
    assert list(links(html)) == ["Older"]


def test_a_page_of_a_state_has_that_state(db: None) -> None:
    runs_by_hand(45)
    Run.objects.filter(pk__in=[run.pk for run in Run.objects.all()[::2]]).update(state="error")
    first = page("/?state=error")
    assert numbers(first) == list(range(44, 4, -2))
    assert numbers(page(links(first)["Older"])) == [4, 2, 0]


def test_behind_the_last_run_there_is_no_page(db: None) -> None:
    runs_by_hand(21)
    last = links(page("/"))["Older"]
    Run.objects.filter(task_id=f"{0:032x}").delete()
    html = page(last)
    assert "There are no older runs." in html
    assert list(links(html)) == ["Newest"]


@pytest.mark.parametrize(
    "odd", ["2", "before-", f"before-{'9' * 32}", f"in-{0:032x}", f"before-{0:032x}x", "x" * 5000]
)
def test_an_odd_page_is_the_first(db: None, odd: str) -> None:
    runs_by_hand(21)
    assert numbers(page(f"/?page={odd}")) == list(range(20, 0, -1))


# --- counting ------------------------------------------------------------------------------


def test_tabs_count_to_a_thousand(db: None, few: None) -> None:
    runs_by_hand(25)
    assert "all 25</a>" in page("/")
    Run.objects.filter(task_id__lt=f"{5:032x}").update(state="error")
    runs_by_hand(6, first=25)
    html = page("/")
    assert "all 25+</a>" in html
    assert "done 25+</a>" in html
    assert "failed 5</a>" in html
    assert part.in_words([20, 15]) == "35"


# --- searching -----------------------------------------------------------------------------


def test_a_search_looks_at_the_newest_and_says_so(db: None, few: None) -> None:
    runs_by_hand(100)
    html = page("/?q=99")
    assert numbers(html) == [99]
    assert "The newest 30 runs were searched, back to <time" in html
    assert "all 1</a>" in html
    assert "hx-trigger" in html
    html = page("/?q=7")
    assert numbers(html) == []
    assert "No run found so far." in html
    html = page(links(html)["Search older ones"])
    assert "60 older runs were searched, back to" in html
    assert "No run found so far." in html
    assert "hx-trigger" not in html
    assert "all</a>" in re.sub(r"\s+</a>", "</a>", html)
    html = page(links(html)["Search older ones"])
    assert numbers(html) == [7]
    assert "searched" not in html
    assert list(links(html)) == ["Newest"]


def test_a_search_of_few_runs_looks_at_all(db: None, few: None) -> None:
    runs_by_hand(30)
    assert "searched" not in page("/?q=3")
    assert "No run matches this." in page("/?q=nothing")


def test_matches_are_paged_and_then_older_runs_searched(db: None, few: None) -> None:
    runs_by_hand(100)
    Run.objects.update(title="the same")
    first = page("/?q=same")
    assert numbers(first) == list(range(99, 79, -1))
    assert "all 25+</a>" in first
    assert list(links(first)) == ["Older"]
    second = page(links(first)["Older"])
    assert numbers(second) == list(range(79, 59, -1))
    Run.objects.filter(task_id__lt=f"{55:032x}").update(title="another")
    html = page(links(second)["Older"])
    assert numbers(html) == list(range(59, 54, -1))
    assert "No older run matches this." in page(f"/?q=nothing&page=before-{5:032x}")


def test_a_search_may_be_of_a_state(db: None, few: None) -> None:
    runs_by_hand(20)
    Run.objects.filter(task_id__gte=f"{18:032x}").update(state="error", title="bad")
    Run.objects.filter(task_id__lt=f"{2:032x}").update(title="bad")
    html = page("/?q=bad&state=error")
    assert numbers(html) == [19, 18]
    assert "all 4</a>" in html
    assert "done 2</a>" in html
    assert "unfinished 0</a>" in html
    assert numbers(page("/?q=bad&state=cancelled")) == []


def test_an_id_is_found_however_old_it_is(db: None, few: None) -> None:
    runs_by_hand(100)
    html = page(f"/?q={3:032x}")
    assert numbers(html) == [3]
    assert "searched" not in html
    assert "No run found so far." in page(f"/?q={'f' * 32}")


# --- what it costs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/?state=done",
        "/?state=error",
        "/?q=1,000",
        "/?q=1000",
        "/?q=nothing",
        f"/?q=a{50:031}",
        f"/?page=before-a{250:031}",
        f"/?page=after-a{250:031}",
        "/compute/sum/",
        "/compute/primes/",
        "/compute/sum/?state=done",
        "/compute/primes/?state=done",
        "/compute/primes/?q=1000",
        "/nodes/",
    ],
)
def test_more_runs_need_no_more_reading(db: None, few: None, address: str) -> None:
    make_rows(500)
    page(address)
    with reading() as before:
        page(address)
    make_rows(5_000, first=500)
    with reading() as after:
        page(address)
    assert after.amount < before.amount + 1_000, "of 5,000 more"


@pytest.mark.parametrize("address", ["/", "/?state=done", "/?q=1,000", "/compute/sum/?state=done"])
@pytest.mark.parametrize("who", ["an account", "a session", "nobody"])
def test_more_runs_of_others_need_no_more_reading(
    db: None, few: None, settings: Any, client: Client, address: str, who: str
) -> None:
    settings.RUNS_PRIVATE = True
    user = User.objects.create_user("somebody")
    if who == "an account":
        client.force_login(user)
    elif who == "a session":
        session = client.session
        session[OWNER] = "f" * 32
        session.save()
        client.cookies[settings.SESSION_COOKIE_NAME] = str(session.session_key)
    amounts = []
    for first, count in ((0, 500), (500, 5_000)):
        make_rows(count, first)
        mine = Run.objects.filter(task_id__in=[f"a{number:031}" for number in range(3)])
        mine.update(account=user if who == "an account" else None, owner="f" * 32)
        page(address, client)
        with reading() as read:
            html = page(address, client)
        assert html.count('<th scope="row">') == (0 if who == "nobody" else 3)
        amounts.append(read.amount)
    assert amounts[1] < amounts[0] + 1_000, "of 5,000 more"
