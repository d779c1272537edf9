"""The page of all chunks of a run."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from compute.models import Run
from compute.queue.models import Job, JobState, Node
from compute.web.pages import chunks as module
from compute.web.pages.chunks import Part, chunks_context, list_address, page_with, part_of
from tests.conftest import run_jobs, started
from tests.web.pages.reading import page


@pytest.fixture
def run(db: None) -> Run:
    """Four chunks that wait."""
    return started("/split-sum-start/", n=1000, chunk_size=250)


@pytest.fixture(autouse=True)
def three_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PER_PAGE", 3)


def rows(html: str) -> list[str]:
    """What the rows of the table say, as one reads it."""
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    texts = (re.sub(r"<[^>]*>", " ", row) for row in body.split("</tr>")[:-1])
    return [" ".join(text.split()) for text in texts]


def of(run: Run, client: Client | None = None, **asked: Any) -> str:
    return page(list_address(run, **asked), client)


def test_each_row_says_what_a_chunk_is(run: Run, queue_server: Node) -> None:
    now = timezone.now()
    began = {"node": queue_server, "worker": 7, "started_at": now - timedelta(seconds=5)}
    for position, columns in enumerate(
        [
            {"state": JobState.DONE, "attempt": 2, "finished_at": now, **began},
            {"state": JobState.FAILED, "error": "it broke", "finished_at": now, **began},
            {"state": JobState.RUNNING, "progress": 0.25, **began},
        ]
    ):
        run.jobs.filter(position=position).update(**columns)
    html = of(run)
    done, failed, running = rows(html)
    at = f"{began['started_at']:%Y-%m-%d %H:%M:%S} UTC"
    assert done == f"done attempt 2 Chunk 1 (1, 250) 5.0 s {at} tests worker 7"
    assert failed == f"failed Chunk 2 (251, 500) it broke 5.0 s {at} tests worker 7"
    told = rf"running 25 % Chunk 3 \(501, 750\) \d+\.\d s {at} tests worker 7"
    assert re.fullmatch(told, running)
    assert f'href="/compute/sum/chunk/?task_id={run.task_id}&amp;number=2"' in html
    assert rows(of(run, page=2)) == ["queued Chunk 4 (751, 1000) – – –"]


def test_what_is_not_known_is_a_dash(run: Run) -> None:
    run_jobs()
    run.jobs.update(state=JobState.QUEUED, queue_id=None)
    Job.objects.update(payload="no package")
    assert rows(of(run))[0] == "queued Chunk 1 – – – –"


def test_one_looks_through_pages_and_states(run: Run) -> None:
    run.jobs.filter(position=1).update(state=JobState.FAILED)
    first = of(run)
    assert re.findall(r"(all|queued|failed|done|running) (\d+)</a>", first) == [
        *(("all", "4"), ("queued", "3"), ("failed", "1"))
    ]
    assert "<span>1–3 of 4</span>" in first
    assert 'rel="prev"' not in first
    assert f'<a rel="next" href="{at(run, page=2)}">Next</a>' in first
    assert f'<a href="{at(run, page=2)}">Last</a>' in first
    second = of(run, page=2)
    assert "<span>4–4 of 4</span>" in second
    assert f'<a rel="prev" href="{at(run)}">Previous</a>' in second
    assert 'rel="next"' not in second
    of_state = of(run, state="queued")
    assert len(rows(of_state)) == 3
    assert f'<a href="{at(run, state="queued")}" aria-current="true">queued 3</a>' in of_state
    assert f'href="{at(run, state="queued")}&amp;as=csv" download' in of_state
    assert "All that are queued as CSV" in of_state
    assert 'aria-label="Pages of chunks"' not in of_state


def at(run: Run, **asked: Any) -> str:
    return list_address(run, **asked).replace("&", "&amp;")


def test_of_none_the_page_says_why(run: Run) -> None:
    html = of(run, state="failed")
    assert "No chunk is failed." in html
    assert "failed 0</a>" in html
    assert "download" not in html
    beyond = of(run, page=9)
    assert "There are no more than 2 pages of these." in beyond
    assert f'<a rel="prev" href="{at(run, page=2)}">Previous</a>' in beyond
    run.jobs.all().delete()
    assert "The chunks of this run have been removed." in of(run)
    empty = of(started("/split-sum-start/", n=0))
    assert "This run has no chunks, for there was nothing to do." in empty


def test_it_is_asked_for_again_while_something_is_to_come(run: Run) -> None:
    poll = f'hx-get="{at(run, state="queued", page=1)}"'
    html = of(run, state="queued")
    assert poll in html
    assert 'hx-trigger="every 2s"' in html
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in html
    run_jobs()
    assert "hx-get" not in of(run)


def test_long_texts_are_cut_and_stand_on_the_chunks_own_page(run: Run) -> None:
    run.jobs.filter(position=0).update(state=JobState.FAILED, error="<b>" + "e" * 400)
    html = of(run)
    assert "&lt;b&gt;eee" in html
    assert "e" * 200 not in html


def test_names_of_nodes_are_not_for_everybody_where_runs_are_private(
    run: Run, settings: Any, queue_server: Node
) -> None:
    run.jobs.update(node=queue_server, worker=77)
    assert "worker 77" in of(run)
    settings.RUNS_PRIVATE = True
    assert Client().get(list_address(run), headers={"accept": "text/html"}).status_code == 404
    Run.objects.update(shared=True)
    assert "worker 77" not in of(run)
    ann = Client()
    ann.force_login(user := User.objects.create_user("ann"))
    Run.objects.update(account=user)
    assert "worker 77" in of(run, ann)


def test_a_run_leads_to_it(run: Run) -> None:
    html = page(run.get_absolute_url())
    assert f'<a href="{at(run)}">List of chunks</a>' in html


# --- in few statements -------------------------------------------------------------------


@pytest.fixture
def many(run: Run) -> Run:
    """The run with 600 chunks, by copies of one; each has much to go on with."""
    job = run.jobs[0]
    job.payload, job.state = "x" * 6_000, JobState.FAILED
    copies = []
    for position in range(4, 600):
        copy = Job.objects.get(pk=job.pk)
        copy.pk, copy.position, copy.queue_id = f"{position:032x}", position, None
        copies.append(copy)
    Job.objects.bulk_create(copies)
    Run.objects.update(chunks=600)
    return run


@pytest.mark.thorough
@pytest.mark.parametrize("asked", [{}, {"page": 20}, {"state": "queued", "page": 3}])
def test_a_page_costs_the_same_however_many_chunks_there_are(
    run: Run, many: Run, asked: dict[str, Any]
) -> None:
    Client().get(list_address(run), headers={"accept": "text/html"})
    with CaptureQueriesContext(connection) as queries:
        assert len(rows(of(many, **asked))) == 3
    statements = [query["sql"] for query in queries]
    of_jobs = [sql for sql in statements if "queue_job" in sql]
    assert len(of_jobs) == 3, "counts, keys, rows"
    assert len(statements) <= 6
    assert not any('"queue_job"."result"' in sql for sql in statements)


def test_a_page_too_far_reads_no_chunk(run: Run, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        part = part_of(run, "", 10**9 - 1)
    assert (part.chunks, part.pages) == ([], 2)


# --- its parts ---------------------------------------------------------------------------


def test_how_many_pages_there_are() -> None:
    for count, pages in ((0, 1), (1, 1), (3, 1), (4, 2), (9_999, 3_333)):
        assert Part([], "", 1, {"done": count, "failed": 0}).pages == pages
        assert Part([], "failed", 2, {"done": 5, "failed": count}).pages == pages
    assert Part([], "", 3, {}).first == 7


def test_which_page_has_a_chunk(run: Run) -> None:
    assert page_with(run, 1) == page_with(run, 3) == list_address(run)
    assert page_with(run, 4) == list_address(run, page=2)


def test_a_chunk_that_is_queued_again_has_not_begun(run: Run, asked: HttpRequest) -> None:
    run.jobs.update(started_at=timezone.now(), finished_at=timezone.now())
    row = chunks_context(asked, run, part_of(run, "", 1))["rows"][0]
    assert (row["begun"], row["took"]) == (None, None)
