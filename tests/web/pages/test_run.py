"""The page of a run: how far it is, and what failed."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from compute.models import Run
from compute.models.retries import retry
from compute.queue.models import Job, JobState, Node
from compute.web.pages.run import cancel_context, query_of
from tests import recipes
from tests.conftest import finish_by_hand, run_jobs, run_queued, started
from tests.web.pages.reading import FRAGMENT, HTML, fragment, page

POLL = "hx-get="
NOSCRIPT = '<noscript><meta http-equiv="refresh" content="3"></noscript>'


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


@pytest.mark.thorough
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
    failures = html.partition('<ul class="failures">')[2].partition("</ul>")[0]
    assert failures.count("<li>") == 10
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


@pytest.mark.thorough
def test_a_big_runs_page_needs_few_queries(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=1)
    with CaptureQueriesContext(connection) as queries:
        page(run.get_absolute_url())
    assert len(queries) <= 11
    assert Job.objects.count() == 1000


@pytest.mark.thorough
def test_what_others_have_to_do_needs_few_queries_too(queue_server: Node) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=10)
    started("/split-sum-start/", n=1000, chunk_size=10)
    with CaptureQueriesContext(connection) as queries:
        page(run.get_absolute_url())
    assert len(queries) <= 17


def test_a_run_that_waits_is_queued_and_tells_when_it_starts_and_ends(
    queue_server: Node,
) -> None:
    first, second = (started("/split-sum-start/", n=80, chunk_size=10) for _ in range(2))
    Run.objects.update(expected_seconds=40 * 60, client="a")
    second.flow.update(client="b")
    first.jobs.filter(position__lt=2).update(
        state=JobState.RUNNING, started_at=timezone.now(), node=queue_server, worker=1
    )
    html = page(second.get_absolute_url())
    assert '<span class="state queued">queued</span>' in html
    assert "<title>sum 1–80: queued · sumsite</title>" in html
    assert 'data-announce="sum 1–80: queued"' in html
    assert re.search(r"<dt>Starts</dt><dd>in about (5 min|4 min 5. s)</dd>", html)
    assert re.search(r"<dt>Done</dt><dd>in about (3\d|4[0-2]) min(| .*? s)</dd>", html)
    assert "2 runs share the workers: this one gets half of them." in html
    html = page(first.get_absolute_url())
    assert '<span class="state in-progress">running</span>' in html
    assert re.search(r"<dt>Time left</dt><dd>about (3\d|4[0-2]) min(| .*? s)</dd>", html)
    assert "2 runs share the workers: this one gets half of them." in html


def test_who_is_alone_shares_with_nobody(queue_server: Node) -> None:
    run = started("/split-sum-start/", n=80, chunk_size=10)
    Run.objects.update(expected_seconds=40 * 60)
    html = page(run.get_absolute_url())
    assert "<dt>Starts</dt><dd>at once</dd>" in html
    assert re.search("<dt>Done</dt><dd>in about (20 min|19 min 5. s)</dd>", html)
    assert "share the workers" not in html


def test_without_a_queue_server_nobody_knows_when(db: None) -> None:
    html = page(started("/split-sum-start/", n=80, chunk_size=10).get_absolute_url())
    assert "<dt>Starts</dt><dd>not known yet</dd>" in html
    assert "<dt>Done</dt><dd>not known yet</dd>" in html


def test_a_run_took_the_time_from_the_press_and_computed_for_its_workers(db: None) -> None:
    run = started("/sum-start/", n=1000)
    run_jobs()
    now = timezone.now()
    Run.objects.update(created_at=now - timedelta(seconds=30), finished_at=now, work_seconds=2.5)
    html = page(run.get_absolute_url())
    assert "<dt>Took</dt><dd>30 s</dd>" in html
    assert "<dt>Computed for</dt><dd>2.5 s</dd>" in html


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


@pytest.mark.thorough
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


# --- each chunk -------------------------------------------------------------------------


def test_each_cell_and_each_bar_leads_to_its_chunk(queue_server: Node) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    now = timezone.now()
    run.jobs.filter(position__lt=2).update(
        state=JobState.RUNNING, started_at=now, node=queue_server, worker=1, attempt=2
    )
    html = page(run.get_absolute_url())
    grid = html.partition('<figure class="grid">')[2].partition("</figure>")[0]
    lanes = html.partition('<ol class="lanes">')[2].partition("</ol>")[0]
    link = f"/compute/sum/chunk/?task_id={run.task_id}&amp;number="
    assert [int(number) for number in re.findall(f'{re.escape(link)}(\\d+)"', grid)] == [1, 2, 3, 4]
    assert {int(number) for number in re.findall(f'{re.escape(link)}(\\d+)"', lanes)} == {1, 2}
    assert "<title>Chunk 2, running</title>" in grid
    assert "<title>Chunk 3, queued</title>" in grid
    # Ten thousand of them are no tab stops; the form is.
    assert grid.count("<a ") == grid.count('tabindex="-1"') == 4
    assert lanes.count("<a ") == lanes.count('tabindex="-1"') == 2
    assert '<label>Chunk, 1 to 4 <input name="number"' in html
    assert 'role="group" aria-labelledby="grid-counts"' in grid
    assert "data-chunk-at" not in grid


def test_a_grid_of_many_cells_is_a_picture_that_says_where_a_click_leads(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=10)
    html = fragment(run)
    assert '<a href="/compute/sum/chunk/' not in html
    assert 'role="img" aria-labelledby="grid-counts"' in html
    at = f'data-chunk-at="/compute/sum/chunk/?task_id={run.task_id}&amp;number="'
    assert f'{at} data-columns="20" data-chunks="100"' in html


def test_the_grid_of_a_run_that_is_done_is_folded_away(run_with_a_failure: Run) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    assert "<details" not in page(run.get_absolute_url())
    run_jobs()
    html = page(run.get_absolute_url())
    assert '<details class="fold"><summary>All 4 chunks</summary><figure class="grid">' in " ".join(
        html.split()
    ).replace("> <", "><").replace("<!--", "")
    assert '<span class="key done">4 done</span>' in html
    html = page(run_with_a_failure.get_absolute_url())
    assert '<figure class="grid">' in html
    assert '<details class="fold">' not in html


def test_the_marks_of_a_timeline_have_a_legend(queue_server: Node) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    assert "key bar-" not in page(run.get_absolute_url())
    now = timezone.now()
    run.jobs.update(started_at=now, node=queue_server, worker=1, attempt=1)
    run.jobs.filter(position=0).update(state=JobState.RUNNING)
    html = page(run.get_absolute_url())
    assert re.findall('<span class="key bar-([a-z]+)">', html) == ["running"]
    run.jobs.filter(position=1).update(state=JobState.FAILED, attempt=3)
    html = page(run.get_absolute_url())
    assert re.findall('<span class="key bar-([a-z]+)">', html) == ["running", "failed", "again"]
    assert "tried more than once" in html


def test_the_words_of_a_timeline_fit_one_chunk(queue_server: Node) -> None:
    run = started("/sum-start/", n=1000)
    run.jobs.update(state=JobState.RUNNING, started_at=timezone.now(), node=queue_server, worker=1)
    html = page(run.get_absolute_url())
    assert "A lane for the worker that ran it, with a bar from its start to its end." in html
    assert "One lane for each" not in html


def test_a_run_leads_to_the_list_of_its_chunks(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    html = page(run.get_absolute_url())
    for kind in ("csv", "jsonl"):
        assert f"/compute/sum/chunks/?task_id={run.task_id}&amp;as={kind}" in html
    empty = started("/split-sum-start/", n=0)
    assert "/compute/sum/chunk" not in page(empty.get_absolute_url())


def test_a_form_that_is_too_long_for_an_address_is_named_by_its_run(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    assert query_of({"n": ["1000"]}, run) == query_of({"n": ["1000"]}, None) == "n=1000"
    assert query_of({"n": ["1" * 2_000]}, run) == f"task_id={run.task_id}"
    assert query_of({"n": ["1" * 2_000]}, None) == f"n={'1' * 2_000}"


def test_what_the_end_of_a_run_would_cost(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    context = cancel_context(run)
    assert (context["run"], context["spent"], context["pace"].done) == (run, 0, 0)


def test_the_title_of_a_part_of_a_page_comes_first(db: None) -> None:
    """htmx takes the first that there is, and a cell of the grid has one, too."""
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    assert fragment(run).index("<title>Chunk 1, queued") > 0
    run_jobs()
    html = fragment(run)
    assert html.strip().startswith("<title>sum 1–1,000: done")
    assert html.index("<title>Chunk 1, done") > 0


def test_the_pause_until_a_retry_is_no_time_at_work(db: None, queue_server: Node) -> None:
    """Ten numbers in each of two chunks, of ten seconds each, with an hour in between."""
    run = started("/split-sum-start/", n=20, chunk_size=10)
    now = timezone.now()
    for job, ago in zip(run.jobs, (3_620, 10), strict=True):
        began = now - timedelta(seconds=ago)
        Job.objects.filter(pk=job.pk).update(
            state=JobState.DONE,
            node=queue_server,
            worker=1,
            started_at=began,
            finished_at=began + timedelta(seconds=10),
        )
    Run.objects.filter(pk=run.pk).update(state=Run.State.DONE, result=210, finished_at=now)
    assert "<dt>Rate</dt><dd>1 integers/s</dd>" in page(run.get_absolute_url())


def test_a_slow_rate_is_no_rate_of_nothing(db: None, queue_server: Node) -> None:
    run = started("/split-sum-start/", n=20, chunk_size=10)
    began = timezone.now() - timedelta(seconds=25)
    Job.objects.in_group(run.task_id).update(
        state=JobState.DONE,
        node=queue_server,
        worker=1,
        started_at=began,
        finished_at=began + timedelta(seconds=25),
    )
    Run.objects.filter(pk=run.pk).update(state=Run.State.DONE, result=210, finished_at=began)
    assert "<dt>Rate</dt><dd>0.8 integers/s</dd>" in page(run.get_absolute_url())
