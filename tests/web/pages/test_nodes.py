"""The page of nodes."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from compute.queue import pauses
from compute.queue.models import Job, JobState, Node
from tests import recipes
from tests.conftest import About, started
from tests.web.pages.reading import FRAGMENT, page


def test_the_page_of_nodes_tells_who_runs_what_and_what_waits(
    queue_server: Node, about: About
) -> None:
    run = started("/split-sum-start/", n=40, chunk_size=10)
    first = run.jobs[0]
    Job.objects.filter(pk=first.pk).update(
        state=JobState.RUNNING,
        node=queue_server,
        worker=77,
        started_at=timezone.now() - timedelta(hours=4.2),
    )
    Job.objects.update(queued_at=timezone.now() - timedelta(minutes=90))
    Node.objects.update(ended=12345, restarts=3)
    html = page("/nodes/")
    for text in (
        "tests",
        "here",
        "12,345",
        "2, 1 at work",
        "sum 1–40, chunk 1 of 4, for 4 h 12 min",
    ):
        assert text in html
    assert re.search(r"Tasks waiting</dt><dd>4<", html)
    assert re.search(r"The oldest waits for</dt><dd>1 h 30 min<", html)
    assert page("/nodes/", **FRAGMENT).strip().startswith('<section id="nodes"')
    said = Client().get("/nodes/").json()
    assert said["waiting"] == 4
    assert said["oldest_seconds"] == about(5400)
    (node,) = said["nodes"]
    assert (node["name"], node["state"], node["workers"], node["ended"]) == (
        "tests",
        "alive",
        2,
        12345,
    )
    assert node["running"] == [{"task": "sum 1–40, chunk 1 of 4", "seconds": about(4.2 * 3600)}]


def test_no_time_is_negative_where_another_machines_clock_is_ahead(queue_server: Node) -> None:
    run = started("/sum-start/", n=40)
    later = timezone.now() + timedelta(minutes=1)
    Job.objects.filter(group=run.task_id).update(
        state=JobState.RUNNING, node=queue_server, worker=77, started_at=later, queued_at=later
    )
    Node.objects.update(started_at=later)
    said = Client().get("/nodes/").json()
    assert said["oldest_seconds"] == 0
    assert [task["seconds"] for task in said["nodes"][0]["running"]] == [0]
    assert "-" not in re.sub(r"[^0-9-]|(?<![ >])-", "", page("/nodes/", **FRAGMENT))


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


def test_who_drains_or_is_paused_says_so(queue_server: Node, admin: Client) -> None:
    minute = timedelta(minutes=1)
    recipes.node.make(name="slow-one (slow)", seen_at=timezone.now() + minute)
    recipes.node.make(name="gone", draining=True, seen_at=timezone.now() - minute)
    pauses.pause(by="boss")
    html = page("/nodes/")
    assert re.search(r'node-paused">paused</span> tests', html)
    assert re.search(r'node-alive">alive</span> slow-one', html)
    assert re.search(r'node-silent">silent</span> gone', html)
    assert "<strong>The queue is paused</strong>" in html
    assert "boss" not in html
    assert "<button" not in html.partition("<main")[2]
    Node.objects.filter(pk=queue_server.pk).update(draining=True)
    html = page("/nodes/", admin)
    assert re.search(r'node-draining">draining</span> tests', html)
    assert "by boss:" in html
    assert "Resume the queue</button>" in html
    assert html.count(">Work again<") == html.count(">Drain<") == 1
    said = Client().get("/nodes/").json()
    assert list(said["paused"]) == [""]
    told = {
        each["name"]: (each["state"], each["draining"], each["paused"]) for each in said["nodes"]
    }
    assert told == {
        "tests": ("alive", True, True),
        "slow-one (slow)": ("alive", False, False),
        "gone": ("silent", False, False),
    }


def test_a_computation_is_paused_and_resumed_there(queue_server: Node, admin: Client) -> None:
    html = page("/nodes/", admin)
    assert "<option>sum</option>" in html
    pauses.pause("sum")
    html = page("/nodes/", admin)
    assert "<strong>sum is paused</strong>" in html
    assert "Resume sum</button>" in html
    assert "node-alive" in html
    assert "<option>" not in page("/nodes/")


def made(count: int, **fields: Any) -> None:
    """Queue servers that a code change replaced, each a second after the one before."""
    now = timezone.now()
    for number in range(count):
        seen = now - timedelta(seconds=600 - number)
        recipes.node.make(name=f"old-{number:02}", seen_at=seen, **fields)


def test_those_that_are_gone_are_folded_away_the_newest_first(queue_server: Node) -> None:
    made(23, stopped_at=timezone.now())
    html = page("/nodes/")
    there, _, earlier = html.partition('<details class="earlier" id="earlier">')
    assert "node-alive" in there
    assert "old-" not in there
    assert "<summary>23 earlier</summary>" in earlier
    assert "The last 20:" in earlier
    names = re.findall(r"</span> (old-\d\d)</h2>", earlier)
    assert names == [f"old-{number:02}" for number in range(22, 2, -1)]
    assert len(Client().get("/nodes/").json()["nodes"]) == 21


def test_those_that_fell_silent_are_counted_beside_the_fold(queue_server: Node) -> None:
    made(1)
    made(2, stopped_at=timezone.now())
    html = page("/nodes/")
    assert '<summary>3 earlier, <span class="state node-silent">1 silent</span></summary>' in html
    assert "one that is silent died" in html
    assert "The last" not in html


def test_without_such_there_is_no_fold(queue_server: Node) -> None:
    assert "<details" not in page("/nodes/")


def test_many_that_are_gone_need_no_more_queries(queue_server: Node) -> None:
    counts = []
    for more in (1, 30):
        made(more, stopped_at=timezone.now())
        with CaptureQueriesContext(connection) as queries:
            page("/nodes/")
        counts.append(len(queries))
    assert counts[0] == counts[1]
