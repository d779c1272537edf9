"""Who shares the workers, as the page of nodes tells it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.tasks import async_task

from compute.models.partial import queue
from compute.queue.broker import sharing
from compute.queue.fanout import async_iter
from compute.queue.models import Flow, Job, JobState, Node
from compute.web.pages import flows
from tests.conftest import started
from tests.web.pages.reading import FRAGMENT, page

ADD = "tests.queue.functions.add"


def rows(html: str) -> list[list[str]]:
    """The cells of the table, as text."""
    table = html.partition("Who shares the workers")[2].partition("</table>")[0]
    found = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in table.split("<tr>")]
    return [[re.sub(r"<[^>]*>", "", cell) for cell in cells] for cells in found if cells][1:]


def set_running(node: Node, *jobs: Job) -> None:
    keys = [job.pk for job in jobs]
    Job.objects.filter(pk__in=keys).update(
        state=JobState.RUNNING, node=node, worker=7, started_at=timezone.now()
    )


def test_each_flow_has_a_row_with_what_it_has_had(queue_server: Node) -> None:
    run = started("/split-sum-start/", n=40, chunk_size=10)
    async_task(ADD, 1, broker=sharing("nightly", priority="urgent", key="report", at_once=3))
    set_running(queue_server, run.jobs[0])
    Flow.objects.filter(key=run.task_id).update(seconds=90)
    Flow.objects.filter(key="report").update(seconds=30, paused=True)
    html = page("/nodes/")
    assert rows(html) == [
        ["sum 1–40", "normal", "3", "1, 100 %", "1 min 30 s, 75 %", "any number"],
        ["paused report", "urgent", "1", "0", "30 s, 25 %", "0 of 3"],
    ]
    assert f'<a href="{run.get_absolute_url()}">sum 1–40</a>' in html
    assert rows(page("/nodes/", **FRAGMENT)) == rows(html)
    said = Client().get("/nodes/").json()
    assert said["more_flows"] == 0
    assert said["flows"][1] == {
        "name": "report",
        "address": None,
        "client": None,
        "priority": "urgent",
        "waiting": 1,
        "at_work": 0,
        "workers": 0,
        "seconds": 30,
        "part": 0.25,
        "paused": True,
        "at_once": 3,
        "taken": 0,
    }


def test_without_anything_to_do_there_is_no_table(db: None) -> None:
    assert "Who shares the workers" not in page("/nodes/")


def test_whose_they_are_is_for_staff(queue_server: Node, admin: Client) -> None:
    boss = User.objects.get()
    for client in (f"account {boss.pk}", "account 999", "b" * 32, "nightly"):
        async_task(ADD, 1, broker=sharing(client, key=f"of {client}"))
    async_iter(ADD, [1])
    async_iter(ADD, [1], broker=sharing("nightly", kind="report"))
    told = {row[0]: row[1] for row in rows(page("/nodes/", admin))}
    assert told == {
        f"of account {boss.pk}": "boss",
        "of account 999": "account 999",
        f"of {'b' * 32}": "visitor bbbbbb",
        "of nightly": "nightly",
        "a group of tasks": ADD,
        "report": "nightly",
    }
    html = page("/nodes/")
    assert "boss" not in html
    assert "visitor" not in html


def test_others_runs_have_no_name_where_runs_are_private(queue_server: Node, settings: Any) -> None:
    settings.RUNS_PRIVATE = True
    mine, other = Client(headers={"accept": "text/html"}), Client(headers={"accept": "text/html"})
    for client, n in ((mine, 10), (other, 20)):
        client.post("/split-sum-start/", {"n": n})
    async_task(ADD, 1)
    names = [row[0] for row in rows(page("/nodes/", mine))]
    assert names == ["sum 1–10", "a run that is not yours", "a run that is not yours"]


def test_of_many_the_first_are_shown_in_as_many_statements(
    queue_server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    for count in (1, 4):
        for _ in range(count):
            async_iter(ADD, [1, 2])
        with CaptureQueriesContext(connection) as queries:
            html = page("/nodes/")
        asked.append(len(queries))
    assert asked[0] == asked[1]
    monkeypatch.setattr(flows, "MOST", 2)
    html = page("/nodes/")
    assert len(rows(html)) == 2
    assert "And 3 more" in html


def test_a_line_of_parts_is_called_by_its_run(queue_server: Node) -> None:
    run = started("/split-sum-start/", n=40, chunk_size=10)
    queue(run, None, run.flow.first())
    html = page("/nodes/")
    assert [row[0] for row in rows(html)] == ["sum 1–40", "sum 1–40, so far"]
    assert html.count(f'<a href="{run.get_absolute_url()}">') == 2
    run.delete()
    assert "so far of" in page("/nodes/")
