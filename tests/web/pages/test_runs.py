"""The list of runs, whole and narrowed down."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compute.models import Run
from compute.models.notes import refresh, settle
from compute.queue.models import JobState, Node
from tests.conftest import finish_by_hand, run_jobs, run_queued, started
from tests.web.pages.reading import FRAGMENT, page, runs_by_hand


def test_without_runs_the_page_says_what_to_do(db: None) -> None:
    assert "There are no runs yet. Fill in a form and press its button." in page("/")


def test_the_page_lists_a_run_with_its_state_and_total(db: None) -> None:
    run = started("/split-sum-start/", n=2000, chunk_size=500)
    html = page("/")
    assert f'<a href="{run.get_absolute_url()}">sum 1–2,000</a>' in html
    assert "split into 4 chunks" in html
    assert '<span class="state queued">queued</span>' in html
    run_jobs()
    refresh(run)
    html = page("/")
    assert '<span class="state done">done</span>' in html
    assert "2,001,000" in html


def test_a_program_gets_the_runs_as_links(db: None) -> None:
    run = started("/sum-start/", n=5)
    assert Client().get("/").json() == {
        "runs": [{"task_progress": f"http://testserver/compute/sum/check/?task_id={run.task_id}"}]
    }


def test_a_page_holds_twenty_runs(db: None) -> None:
    runs_by_hand(41)
    html = page("/")
    assert html.count('<th scope="row">') == 20
    assert f'<a rel="next" href="/?page=before-{21:032x}#runs">Older</a>' in html
    assert 'rel="prev"' not in html
    older = page(f"/?page=before-{1:032x}")
    assert older.count('<th scope="row">') == 1
    assert f'<a rel="prev" href="/?page=after-{0:032x}#runs">Newer</a>' in older
    assert 'rel="next"' not in older


def test_twenty_runs_need_no_further_page(db: None) -> None:
    runs_by_hand(20)
    assert "Pages of runs" not in page("/")


def test_a_program_gets_the_address_of_older_runs(db: None) -> None:
    runs_by_hand(21)
    first = Client().get("/").json()
    assert len(first["runs"]) == 20
    rest = Client().get(first["older"]).json()
    assert [run["task_progress"][-32:] for run in rest["runs"]] == [f"{0:032x}"]
    assert "older" not in rest


def test_more_runs_need_no_more_queries(db: None) -> None:
    runs_by_hand(2)
    with CaptureQueriesContext(
        connection,
    ) as few:
        page("/")
    Run.objects.all().delete()
    runs_by_hand(20)
    with CaptureQueriesContext(connection) as many:
        page("/")
    assert len(many) == len(few)


def test_tabs_count_the_runs_of_each_state_and_show_them(db: None) -> None:
    runs_by_hand(3)
    started("/sum-start/", n=777)
    html = page("/")
    for value, text in [("", "all 4"), ("in-progress", "unfinished 1"), ("done", "done 3")]:
        assert re.search(f'href="/\\?state={value}#runs"[^>]*>{text}</a>', html)
    assert 'href="/?state=#runs" aria-current="true">all' in html
    html = page("/?state=in-progress")
    assert html.count('<th scope="row">') == 1
    assert "sum 1–777" in html
    assert 'href="/?state=in-progress#runs" aria-current="true"' in html


@pytest.mark.thorough
def test_a_run_is_found_by_id_or_n_or_title(db: None) -> None:
    run = started("/sum-start/", n=2000)
    started("/sum-start/", n=12000)
    for search in (run.task_id, "2000", "1–2,0"):
        html = page(f"/?q={search}")
        assert html.count('<th scope="row">') == 1
        assert run.get_absolute_url() in html
    assert page("/?q=sum").count('<th scope="row">') == 2


@pytest.mark.parametrize("search", ["nothing", "9" * 5000, "%00", "٣", "<b>", "%", "&state=done"])
def test_what_is_not_found_says_how_to_go_on(db: None, search: str) -> None:
    started("/sum-start/", n=2000)
    html = page(f"/?q={search}")
    assert "No run matches this." in html or "sum 1–2,000" in html
    assert "<b>" not in html


def test_an_unknown_state_shows_all(db: None) -> None:
    started("/sum-start/", n=2000)
    assert "sum 1–2,000" in page("/?state=odd")


def test_the_pages_of_a_list_stay_narrowed_down(db: None) -> None:
    runs_by_hand(41)
    html = page(f"/?state=done&page=before-{30:032x}")
    assert f'href="/?state=done&amp;page=before-{10:032x}#runs"' in html
    assert f'hx-get="/?state=done&amp;page=before-{30:032x}"' in html
    assert 'href="/?state=done#runs">Newest</a>' in html


def test_htmx_gets_the_list_alone(db: None) -> None:
    run = started("/split-sum-start/", n=40, chunk_size=10)
    run.jobs.filter(position=0).update(state=JobState.DONE)
    run.jobs.filter(position=1).update(state=JobState.RUNNING, progress=0.5)
    html = page("/", **FRAGMENT)
    assert html.strip().startswith('<section id="runs-list"')
    assert 'value="0.3750" aria-label="37 % done"' in html
    assert 'hx-trigger="every 2s"' in html
    Run.objects.update(state=Run.State.DONE)
    assert 'hx-trigger="every 10s"' in page("/compute/sum/", **FRAGMENT)


def test_the_list_tells_when_runs_start_and_end(queue_server: Node) -> None:
    run = started("/split-sum-start/", n=80, chunk_size=10)
    Run.objects.update(expected_seconds=40 * 60)
    html = page("/")
    assert '<span class="state queued">queued</span>' in html
    said = "</progress> 0 %<br><small>starts at once, done in about (20 min|19 min 5. s)</small>"
    assert re.search(said, html)
    run.jobs.filter(position=0).update(state=JobState.RUNNING, started_at=Now(), node=queue_server)
    html = page("/")
    assert '<span class="state in-progress">running</span>' in html
    said = "</progress> 0 %<br><small>done in about (20 min|19 min 5. s)</small></td>"
    assert re.search(said, html)


@pytest.mark.thorough
def test_the_list_heals_a_note_that_was_lost(db: None) -> None:
    finish_by_hand(started("/split-sum-start/", n=10, chunk_size=5), 15, 40)
    finish_by_hand(started("/sum-start/", n=4), 10)
    assert '<td class="number" data-label="Result">10</td>' in page("/")
    run_queued()  # what combines the chunks was queued by the look
    settle()
    assert '<td class="number" data-label="Result">55</td>' in page("/")


def test_a_computations_page_lists_its_own_runs(db: None) -> None:
    run = started("/sum-start/", n=2000)
    assert run.get_absolute_url() not in page("/compute/primes/")
    assert run.get_absolute_url() in page("/compute/sum/")


def test_the_list_tells_which_runs_are_paused(db: None) -> None:
    paused, held_up = (started("/split-sum-start/", n=80, chunk_size=10) for _ in range(2))
    paused.flow.pause()
    held_up.flow.update(kind_paused=True)
    assert page("/").count('<span class="state paused">paused</span>') == 2
    paused.flow.resume()
    assert page("/").count('<span class="state paused">paused</span>') == 1


def test_tabs_count_a_run_as_its_row_tells_it_even_if_that_is_noted_only_now(db: None) -> None:
    finish_by_hand(started("/sum-start/", n=4), 10)
    html = page("/")
    assert '<span class="state done">done</span>' in html
    assert re.search(r">unfinished 0</a>", html)
    assert re.search(r">done 1</a>", html)
    finish_by_hand(started("/sum-start/", n=5), 15)
    html = page("/?state=in-progress")
    assert html.count('<th scope="row">') == 0
    assert "No run matches this." in html
    assert re.search(r">done 2</a>", html)


def test_state_and_progress_come_first_and_each_cell_says_what_it_is(db: None) -> None:
    started("/split-sum-start/", n=40, chunk_size=40)
    row = page("/").partition("<tbody>")[2].partition("</tr>")[0]
    labels = re.findall(r'<(td|th)(?: (?:class|scope)="[\w ]+")?(?: data-label="(\w+)")?>', row)
    assert labels == [("td", ""), ("th", ""), ("td", "Result"), ("td", "Took"), ("td", "Started")]
    assert "split into 1 chunk</small>" in row
    assert "<progress" in row.partition("<th")[0]


def test_a_long_title_is_at_hand_whole(db: None) -> None:
    started("/sum-start/", n=4)
    Run.objects.update(title="t" * 200)
    html = page("/")
    assert f'title="{"t" * 200}">{"t" * 200}</a>' in html
    Run.objects.update(title="<b>" + "t" * 60)
    assert 'title="&lt;b&gt;t' in page("/")


def test_a_computations_list_says_whose_runs_it_has(db: None) -> None:
    assert '<h2 id="runs">Runs of primes</h2>' in page("/compute/primes/")
    assert '<h2 id="runs">Runs</h2>' in page("/")


def test_times_say_that_they_are_in_utc(db: None) -> None:
    started("/sum-start/", n=4)
    assert re.search(r'<time datetime="[^"]+\+00:00">[\d-]{10} [\d:]{8} UTC</time>', page("/"))
