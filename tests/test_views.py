"""The pages for people. (Addresses, statuses and JSON are in test_contract.py.)"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from compute.declarations import Problem
from compute.models import Run
from compute.models.notes import refresh, settle
from compute.models.retries import retry
from compute.queue.models import Job, JobState, Node
from compute.web.pages import home
from tests import recipes
from tests.conftest import finish_by_hand, run_jobs, run_queued, started

HTML = {"accept": "text/html"}
FRAGMENT = {**HTML, "hx-request": "true"}
POLL = "hx-get="
NOSCRIPT = '<noscript><meta http-equiv="refresh" content="3"></noscript>'


def page(address: str, client: Client | None = None, **headers: str) -> str:
    response = (client or Client()).get(address, headers={**HTML, **headers})
    assert response.status_code == 200
    return response.content.decode()


def fragment(run: Run, client: Client | None = None) -> str:
    return page(run.get_absolute_url(), client, **FRAGMENT)


def runs_by_hand(count: int) -> None:
    Run.objects.bulk_create(
        Run(
            task_id=f"{n:032x}",
            computation="sum",
            parameters={"n": n},
            state=Run.State.DONE,
            result=n,
        )
        for n in range(count)
    )


# --- the first page -------------------------------------------------------------------


def test_without_runs_the_page_says_what_to_do(db: None) -> None:
    assert "There are no runs yet. Fill in the form above and press a button." in page("/")


def test_the_form_offers_every_way_to_add_up(db: None) -> None:
    html = page("/")
    assert '<form method="post" action="/split-sum-start/"' in html
    for address in ("/sum-start/", "/sum-sync/", "/bug-sum-start/"):
        assert f'formaction="{address}"' in html


def test_without_a_queue_server_the_page_says_so(db: None) -> None:
    assert "No queue server is running" in page("/")


def test_with_a_queue_server_the_page_does_not_warn(queue_server: Node) -> None:
    assert "No queue server is running" not in page("/")


def test_the_page_tells_the_limit_of_a_sum_in_the_request(db: None, settings: Any) -> None:
    assert "n may be 100,000,000 at most" in page("/")
    settings.SUM_SYNC_MAX_N = 0
    assert "at most" not in page("/")


def test_the_page_lists_a_run_with_its_state_and_total(db: None) -> None:
    run = started("/split-sum-start/", n=2000, chunk_size=500)
    html = page("/")
    assert f'<a href="{run.get_absolute_url()}">sum 1–2,000</a>' in html
    assert "split into 4 chunks" in html
    assert '<span class="state in-progress">running</span>' in html
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
    assert "Page 1 of 3" in html
    assert '<a rel="next" href="/?page=2">Older</a>' in html
    assert 'rel="prev"' not in html
    html = page("/?page=2")
    assert '<a rel="prev" href="/?page=1">Newer</a>' in html
    assert '<a rel="next" href="/?page=3">Older</a>' in html
    html = page("/?page=3")
    assert html.count('<th scope="row">') == 1
    assert 'rel="next"' not in html


def test_twenty_runs_need_no_further_page(db: None) -> None:
    runs_by_hand(20)
    assert "Pages of runs" not in page("/")


@pytest.mark.parametrize("number", ["0", "-1", "99", "x", "", "1e3", "9" * 5000])
def test_an_odd_page_number_gets_a_page_that_exists(db: None, number: str) -> None:
    runs_by_hand(21)
    assert re.search("Page [12] of 2", page(f"/?page={number}"))


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


# --- the list narrowed down ---------------------------------------------------------------


def test_tabs_count_the_runs_of_each_state_and_show_them(db: None) -> None:
    runs_by_hand(3)
    started("/sum-start/", n=777)
    html = page("/")
    for value, text in [("", "all 4"), ("in-progress", "running 1"), ("done", "done 3")]:
        assert re.search(f'href="/\\?state={value}#runs"[^>]*>{text}</a>', html)
    assert 'href="/?state=#runs" aria-current="true">all' in html
    html = page("/?state=in-progress")
    assert html.count('<th scope="row">') == 1
    assert "sum 1–777" in html
    assert 'href="/?state=in-progress#runs" aria-current="true"' in html


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
    html = page("/?state=done&page=2")
    assert 'href="/?state=done&amp;page=3"' in html
    assert 'hx-get="/?state=done&amp;page=2"' in html


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


def test_the_list_heals_a_note_that_was_lost(db: None) -> None:
    finish_by_hand(started("/split-sum-start/", n=10, chunk_size=5), 15, 40)
    finish_by_hand(started("/sum-start/", n=4), 10)
    assert '<td class="number">10</td>' in page("/")
    run_queued()  # what combines the chunks was queued by the look
    settle()
    assert '<td class="number">55</td>' in page("/")


def test_a_computations_page_lists_its_own_runs(db: None) -> None:
    run = started("/sum-start/", n=2000)
    assert run.get_absolute_url() not in page("/compute/primes/")
    assert run.get_absolute_url() in page("/compute/sum/")


# --- the estimate -------------------------------------------------------------------------


def test_the_page_tells_how_long_it_will_take(queue_server: Node) -> None:
    Run.objects.create(
        task_id="1", parameters={"n": 10**8}, computation="sum", state="done", work_seconds=10
    )
    html = page("/?n=1000000000")
    assert 'value="1000000000"' in html
    assert "About 50 s split among 2 workers, 1 min 40 s as one task." in html
    assert 'data-speed="10000000" data-workers="2"' in html


@pytest.mark.parametrize("n", ["", "x", "-5", "9" * 5000, "%3Cb%3E"])
def test_without_an_n_there_is_no_estimate(db: None, n: str) -> None:
    html = page(f"/?n={n}")
    assert "as one task.</p>" not in html
    assert "<b>" not in html


def test_the_tutorials_three_numbers_are_a_click_away(db: None) -> None:
    html = page("/")
    for n, text in [(10**7, "10 million"), (10**8, "100 million"), (3 * 10**9, "3 billion")]:
        assert f'<a href="/?n={n}">{text}</a>' in html


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


# --- the page of a run ----------------------------------------------------------------


def test_a_running_runs_page_follows_it(db: None) -> None:
    run = started("/split-sum-start/", n=2_000_000, chunk_size=1_000_000)
    html = page(run.get_absolute_url())
    assert "<h1>sum 1–2,000,000</h1>" in html
    assert "split into chunks of 1,000,000" in html
    assert "0 of 2 chunks done" in html
    assert f'hx-get="{run.get_absolute_url()}" hx-trigger="every 1s"' in html
    assert """hx-headers='{"Accept": "text/html"}'""" in html
    assert NOSCRIPT in html


def test_a_settled_runs_page_follows_it_no_more(db: None) -> None:
    run = started("/sum-start/", n=1000)
    run_jobs()
    html = page(run.get_absolute_url())
    assert POLL not in html
    assert NOSCRIPT not in html
    assert "1 of 1 chunk done" in html
    assert "<output>500,500</output>" in html
    assert "<dt>Ended</dt>" in html
    assert "<dt>Took</dt>" in html


def test_htmx_gets_only_the_part_that_changes(db: None) -> None:
    run = started("/sum-start/", n=1000)
    html = fragment(run)
    assert html.strip().startswith('<section id="run"')
    assert html.strip().endswith("</section>")
    assert POLL in html
    assert "<html" not in html


@pytest.mark.parametrize(
    ("address", "n", "shown"),
    [("/sum-start/", 1000, "500,500"), ("/bug-sum-start/", 1234567, "TypeError: ")],
)
def test_a_settled_runs_fragment_no_longer_polls(
    db: None, address: str, n: int, shown: str
) -> None:
    run = started(address, n=n)
    run_jobs()
    html = fragment(run)
    assert POLL not in html
    assert shown in html


def test_a_retried_runs_fragment_polls_again(run_with_a_failure: Run) -> None:
    assert POLL not in fragment(run_with_a_failure)
    retry(run_with_a_failure)
    assert POLL in fragment(run_with_a_failure)


def test_page_and_fragment_are_not_kept_for_one_another(db: None) -> None:
    run = started("/sum-start/", n=1000)
    for headers in (HTML, FRAGMENT, {}):
        response = Client().get(run.get_absolute_url(), headers=headers)
        assert "HX-Request" in response["Vary"]
        assert response["Cache-Control"] == "no-store"


def test_htmx_without_accept_html_gets_json(db: None) -> None:
    run = started("/sum-start/", n=1000)
    response = Client().get(run.get_absolute_url(), headers={"hx-request": "true"})
    assert response.json()["status"] == "in-progress"


def test_a_run_of_no_chunks_shows_a_full_bar(db: None) -> None:
    run = started("/split-sum-start/", n=0)
    run_queued()
    html = page(run.get_absolute_url())
    assert "0 of 0 chunks done" in html
    assert 'max="1" value="1.0000"' in html
    assert "<output>0</output>" in html


def test_the_bar_shows_how_many_chunks_are_done_and_failed(run_with_a_failure: Run) -> None:
    html = page(run_with_a_failure.get_absolute_url())
    assert "2 of 3 chunks done, 1 failed" in html
    assert 'max="1" value="0.6667"' in html


# --- failures -------------------------------------------------------------------------


def test_staff_get_links_to_the_failed_tasks(run_with_a_failure: Run, admin: Client) -> None:
    html = page(run_with_a_failure.get_absolute_url(), admin)
    link = re.search(
        r'<li>\s*<p><a href="([^"]+)">files, chunk 2 of 3</a>: FileNotFoundError', html
    )
    assert link
    assert "Traceback" in page(link[1], admin)
    assert "The traceback and the arguments stand under" not in html


@pytest.mark.parametrize("who", ["nobody", "no staff"])
def test_others_are_told_where_staff_would_look(run_with_a_failure: Run, who: str) -> None:
    client = Client()
    if who == "no staff":
        client.force_login(User.objects.create_user("ann"))
    html = page(run_with_a_failure.get_absolute_url(), client)
    assert "files, chunk 2 of 3: FileNotFoundError" in html
    assert "/admin/django_q/failure/" not in html
    assert "The traceback and the arguments stand under" in html


def test_a_cancelled_chunk_has_no_failed_task_to_link_to(db: None, admin: Client) -> None:
    run = started("/sum-start/", n=10)
    run.jobs.update(state=JobState.CANCELLED, error="cancelled by boss")
    html = page(run.get_absolute_url(), admin)
    assert "cancelled by boss" in html
    assert "/admin/django_q/failure/" not in html


def test_of_many_failures_ten_are_shown(db: None) -> None:
    run = started("/split-sum-start/", n=30, chunk_size=1)
    run.jobs.update(state=JobState.FAILED, error="ValueError: no")
    html = page(run.get_absolute_url())
    assert html.count("<li>") == 10
    assert "30 of 30 chunks failed" in html


def test_an_error_is_shown_as_text(db: None) -> None:
    run = started("/sum-start/", n=10)
    run.jobs.update(state=JobState.FAILED, error="ValueError: <script>alert(1)</script>")
    html = page(run.get_absolute_url())
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_looking_at_a_page_heals_a_note_that_was_lost(db: None) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    finish_by_hand(run, 15, 40)
    assert "waiting for a worker to combine the results" in page(run.get_absolute_url())
    run_queued(1)
    assert Run.objects.get().state == Run.State.DONE
    assert "<output>55</output>" in page(run.get_absolute_url())


def test_looking_at_the_page_of_one_task_heals_a_note_that_was_lost(db: None) -> None:
    run = started("/sum-start/", n=10)
    finish_by_hand(run, 55)
    assert Run.objects.get().state == Run.State.IN_PROGRESS
    assert "<output>55</output>" in page(run.get_absolute_url())
    assert Run.objects.get().state == Run.State.DONE


def test_a_big_runs_page_needs_few_queries(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=1)
    with CaptureQueriesContext(connection) as queries:
        page(run.get_absolute_url())
    assert len(queries) <= 9
    assert Job.objects.count() == 1000


def test_the_page_of_a_long_run_asks_less_often(queue_server: Node) -> None:
    run = started("/split-sum-start/", n=40, chunk_size=10)
    assert 'hx-trigger="every 1s"' in fragment(run)
    for seconds, every in ((30, 1), (120, 2), (3600, 5)):
        run.jobs.update(
            state=JobState.RUNNING,
            node=queue_server,
            worker=1,
            started_at=timezone.now() - timedelta(seconds=seconds),
        )
        html = page(run.get_absolute_url())
        assert f'hx-trigger="every {every}s"' in html
        assert f'hx-trigger="every {2 * every}s"' in html


def test_a_page_of_ten_thousand_chunks_is_light(queue_server: Node) -> None:
    """Half of them done, on eight workers, two at work, some failed here and there."""
    now = timezone.now()
    run = Run.objects.create(
        task_id="a" * 32, computation="sum", parameters={"n": 10**6}, chunks=10_000, chunk_size=100
    )
    states = {n: JobState.FAILED if n % 500 == 77 else JobState.DONE for n in range(5000)}
    states |= {5000: JobState.RUNNING, 5001: JobState.RUNNING}
    jobs = []
    for n in range(10_000):
        began = now - timedelta(seconds=1000 - n / 5)
        state = states.get(n, JobState.QUEUED)
        job = recipes.job.prepare(group=run.task_id, position=n, name=f"chunk {n}", state=state)
        if state != JobState.QUEUED:
            job.node, job.worker, job.started_at = queue_server, 100 + n % 8, began
        if state in (JobState.DONE, JobState.FAILED):
            job.finished_at = began + timedelta(seconds=1.5)
        jobs.append(job)
    Job.objects.bulk_create(jobs, batch_size=1000)
    whole = page(run.get_absolute_url())
    update, timeline = fragment(run), page(f"{run.get_absolute_url()}&timeline", **FRAGMENT)
    assert len(whole.encode()) < 300_000
    assert len(update.encode()) < 10_000
    assert len(timeline.encode()) < 10_000
    assert timeline.count("Worker ") == 8
    assert "4,990 of 10,000 chunks done, 10 failed" in update


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
        assert b"".join(response.streaming_content), address


# --- queue servers --------------------------------------------------------------------------


def test_the_page_of_nodes_tells_who_runs_what_and_what_waits(queue_server: Node) -> None:
    run = started("/split-sum-start/", n=40, chunk_size=10)
    first = run.jobs[0]
    Job.objects.filter(pk=first.pk).update(
        state=JobState.RUNNING,
        node=queue_server,
        worker=77,
        started_at=timezone.now() - timedelta(seconds=42),
    )
    Job.objects.update(queued_at=timezone.now() - timedelta(seconds=90))
    Node.objects.update(ended=12345, restarts=3)
    html = page("/nodes/")
    for text in ("tests", "here", "12,345", "2, 1 at work", "sum 1–40, chunk 1 of 4, for 42 s"):
        assert text in html
    assert re.search(r"Tasks waiting</dt><dd>4<", html)
    assert re.search(r"The oldest waits for</dt><dd>1 min 30 s<", html)
    assert page("/nodes/", **FRAGMENT).strip().startswith('<section id="nodes"')
    said = Client().get("/nodes/").json()
    assert said["waiting"] == 4
    assert said["oldest_seconds"] == pytest.approx(90, abs=5)
    (node,) = said["nodes"]
    assert (node["name"], node["state"], node["workers"], node["ended"]) == (
        "tests",
        "alive",
        2,
        12345,
    )
    assert node["running"] == [
        {"task": "sum 1–40, chunk 1 of 4", "seconds": pytest.approx(42, abs=5)}
    ]


def test_nodes_that_are_gone_are_told_apart(db: None) -> None:
    now = timezone.now()
    minute = timedelta(minutes=1)
    recipes.node.make(name="quiet-one", seen_at=now - minute)
    recipes.node.make(name="ended-one", seen_at=now - minute, stopped_at=now - minute)
    recipes.node.make(name="old-one", seen_at=now - 61 * minute)
    html = page("/nodes/")
    assert re.search(r'node-silent">silent</span> quiet-one', html)
    assert re.search(r'node-stopped">stopped</span> ended-one', html)
    assert "old-one" not in html
    assert "No queue server is running" in html
    assert "The oldest waits for</dt><dd>–<" in html


# --- what was left out ------------------------------------------------------------------


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
