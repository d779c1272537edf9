"""The page of a chunk."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from compute.computations.sums import SUM
from compute.models import Run
from compute.models.plans import run_of
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState, Node
from compute.web.pages.chunk import address_of
from tests.conftest import run_jobs, run_queued, started
from tests.queue.admin.pages import user_with
from tests.web.pages.kept import png
from tests.web.pages.reading import page

POLL = "hx-get="


def of(run: Run, number: int = 1, client: Client | None = None) -> str:
    return page(address_of(run, number), client)


def data(run: Run, number: int = 1) -> Any:
    return Client().get(address_of(run, number)).json()


def run_that_gives(*results: Any) -> Run:
    """A run whose chunks return these."""
    group = async_iter("tests.queue.functions.give", [(each,) for each in results])
    run = run_of(group, SUM, {"n": 3}, chunk_size=1, chunks=len(results))
    run_queued(len(results))
    return run


def test_a_chunk_that_is_done_says_what_it_came_to(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    run_jobs()
    html = of(run, 2)
    assert "<h1>Chunk 2 of 4</h1>" in html
    assert f'<a href="{run.get_absolute_url()}">sum 1–1,000</a>' in html
    assert "<code>(251, 500)</code>" in html
    assert f"<output>{sum(range(251, 501)):,}</output>" in html
    assert f'data-copy="{sum(range(251, 501))}"' in html
    assert '<span class="state done">done</span>' in html
    assert "<dt>Waited</dt>" in html
    assert "<dt>Took</dt>" in html
    assert "<dt>Ended</dt>" in html
    assert "attempt" not in html
    assert POLL not in html


def test_chunks_beside_it_are_a_click_away(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    links = {
        number: re.findall('rel="(prev|next)" href="([^"]+)"', of(run, number))
        for number in (1, 2, 4)
    }
    assert [rel for rel, _ in links[1]] == ["next"]
    assert [rel for rel, _ in links[4]] == ["prev"]
    assert [link.rpartition("=")[2] for _, link in links[2]] == ["1", "3"]
    assert "<h1>Chunk 3 of 4</h1>" in page(links[2][1][1].replace("&amp;", "&"))


def test_any_chunk_is_found_by_its_number(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=1)
    for html in (of(run, 7), page(run.get_absolute_url())):
        assert '<label>Chunk, 1 to 1000 <input name="number"' in html
        assert f'<input type="hidden" name="task_id" value="{run.task_id}">' in html


def test_words_fit_one_task_and_one_chunk(db: None) -> None:
    one = started("/sum-start/", n=1000)
    html = of(one)
    assert "<h1>The task</h1>" in html
    assert 'name="number"' not in html
    assert "rel=" not in html.partition("<main")[2]
    assert '<h2 id="chunks-title">Its task</h2>' in page(one.get_absolute_url())
    run = started("/split-sum-start/", n=10, chunk_size=10)
    assert "<h1>The only chunk</h1>" in of(run)
    assert "Its only chunk" in page(run.get_absolute_url())


def test_a_chunk_that_waits_or_runs_is_followed(queue_server: Node) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=500)
    Job.objects.update(queued_at=timezone.now() - timedelta(minutes=75))
    html = of(run)
    assert POLL in html
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in html
    assert "<dt>Waited</dt><dd>1 h 15 min</dd>" in html
    assert "<dt>Took</dt>" not in html
    Job.objects.filter(position=0).update(
        state=JobState.RUNNING,
        node=queue_server,
        worker=77,
        attempt=2,
        progress=0.25,
        started_at=timezone.now() - timedelta(minutes=60),
    )
    html = of(run)
    assert "<dt>Waited</dt><dd>15 min</dd>" in html
    assert "<dt>At work for</dt><dd>1 h</dd>" in html
    assert "<dt>On</dt><dd>tests, worker 77</dd>" in html
    assert "attempt 2" in html
    assert 'value="0.2500"' in html
    assert POLL in html


def test_a_cancelled_chunk_that_never_started_has_waited(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=500)
    run.cancel("boss")
    html = of(run)
    assert "cancelled by boss" in html
    assert "<dt>Took</dt>" not in html
    assert "<dt>Started</dt>" not in html
    assert POLL not in html


def test_a_failed_chunk_says_why(run_with_a_failure: Run, missing_file: Any, admin: Client) -> None:
    html = of(run_with_a_failure, 2)
    assert "FileNotFoundError" in html
    assert str(missing_file) not in html
    assert "/admin/django_q" not in html
    job = run_with_a_failure.jobs.get(position=1)
    html = of(run_with_a_failure, 2, admin)
    assert str(missing_file) in html
    assert f'<a href="/admin/django_q/failure/{job.pk}/change/">' in html
    assert "Traceback" in page(f"/admin/django_q/failure/{job.pk}/change/", admin)


def test_staff_is_led_to_what_it_may_see(run_with_a_failure: Run) -> None:
    failed, done = (run_with_a_failure.jobs.get(position=place).pk for place in (1, 0))
    client = user_with("view_job")
    assert f"/admin/queue/job/{failed}/change/" in of(run_with_a_failure, 2, client)
    assert f"/admin/queue/job/{done}/change/" in of(run_with_a_failure, 1, client)
    assert "Its record" not in of(run_with_a_failure, 1)


def test_a_failure_whose_record_is_gone_leads_to_its_job(
    run_with_a_failure: Run, admin: Client
) -> None:
    from django_q.models import Task

    Task.objects.all().delete()
    failed = run_with_a_failure.jobs.get(position=1).pk
    assert f"/admin/queue/job/{failed}/change/" in of(run_with_a_failure, 2, admin)


def test_arguments_that_nobody_can_tell_are_said_to_be_so(db: None) -> None:
    group = async_iter("builtins.len", [bytes(range(256)) * 1_000])
    run = run_of(group, SUM, {"n": 3}, chunk_size=1, chunks=1)
    run_jobs()
    assert "too long to be shown, or were not kept" in of(run)
    assert data(run)["arguments"] is None


def test_a_hostile_argument_is_text(db: None) -> None:
    group = async_iter("builtins.len", ["<script>alert(1)</script>"])
    run = run_of(group, SUM, {"n": 3}, chunk_size=1, chunks=1)
    run_jobs()
    assert "<script>alert" not in of(run)
    assert "&lt;script&gt;alert" in of(run)


# --- results -------------------------------------------------------------------------------


def test_a_result_is_shown_as_what_it_is(db: None) -> None:
    rows = [{"name": "a", "size": 1}, {"name": "b", "size": 2}]
    run = run_that_gives(7, "a text", None, rows, [1, 5, 2], png(8, 4), b"\xff\0" * 9)
    assert "<output>7</output>" in of(run, 1)
    assert "<output>a text</output>" in of(run, 2)
    assert "<output>None</output>" in of(run, 3)
    assert "<td>a</td>" in of(run, 4)
    assert 'class="line line-1"' in of(run, 5)
    assert 'width="320" height="160" class="pixels"' in of(run, 6)
    assert "application/octet-stream, 18 bytes" in of(run, 7)
    assert [data(run, number)["result"] for number in (1, 2, 3, 4, 5)] == [
        *(7, "a text", None, rows, [1, 5, 2]),
    ]
    for number in (6, 7):
        told = data(run, number)
        assert told["result"] is None
        assert Client().get(told["result_at"]).status_code == 200
    for number in range(4, 8):
        html = of(run, number)
        links = re.findall('<a href="([^"]+)" download>', html)
        assert links
        for link in links:
            assert Client().get(link.replace("&amp;", "&")).status_code == 200


def test_a_page_of_a_chunks_rows_is_a_click_away(db: None) -> None:
    run = run_that_gives([[n, -n] for n in range(120)])
    html = of(run)
    assert "rows 1–50 of 120" in html
    (link,) = re.findall(r'rel="next" href="([^"#]+)', html)
    assert "rows 51–100 of 120" in page(link.replace("&amp;", "&"))


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ([b"\0"], "the result[0] is a bytes"),
        ({1: 2}, "the key 1"),
        (range(3), "of a class of its own"),
        ("x" * 200_000, "it is a str of 200,0"),
    ],
)
def test_what_can_t_be_shown_is_said_to_be_so(db: None, result: Any, why: str) -> None:
    run = run_that_gives(result)
    html = of(run)
    assert "Its result can’t be shown here: " in html
    assert why in html.replace("&#x27;", "'")
    assert "download" not in html.partition("<main")[2].partition("</section>")[0]
    assert (data(run)["result"], data(run)["result_at"]) == (None, None)


def test_a_result_that_is_plain_and_long_is_had_by_its_address(db: None) -> None:
    run = run_that_gives([["x" * 45_000], ["é" * 10]])
    assert data(run)["result"] is not None
    run = run_that_gives(["\x01" * 20_000])  # which JSON makes six times as long
    told = data(run)
    assert told["result"] is None
    assert len(Client().get(told["result_at"]).getvalue()) > 100_000
