"""LOG_FORMAT=json with real processes: what they write is JSON, line by line."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django_q.tasks import async_task

from compute.queue.fanout import async_iter
from compute.queue.models import Job, Node
from tests.processes import Process, Processes, wait_until
from tests.workers.test_node import wait_for_state

pytestmark = pytest.mark.once


def lines(process: Process) -> list[dict[str, Any]]:
    """All that a process and its children have written; fails unless each line is JSON."""
    found = [json.loads(line) for line in process.text().splitlines()]
    assert all({"time", "level", "logger", "message", "process"} <= set(line) for line in found)
    return found


def said(process: Process, start: str) -> list[dict[str, Any]]:
    return [line for line in lines(process) if line["message"].startswith(start)]


def test_every_line_of_a_node_and_of_a_web_server_is_json(processes: Processes) -> None:
    node = processes.manage("qcluster", LOG_FORMAT="json")
    node.wait_for_output("Q Cluster .* running")
    web, site = processes.web(LOG_FORMAT="json", WEB_CONCURRENCY="1")
    with urlopen(f"{site}/split-sum-start/?n=3000&chunk_size=1000") as reply:
        run = json.load(reply)["task_progress"].partition("task_id=")[2]
    failed = async_task("math.sqrt", -1)
    killed = async_task("signal.raise_signal", 9)
    wait_for_state(killed, Job.State.FAILED)

    def done_chunks() -> list[dict[str, Any]]:
        return [line for line in said(node, "done: ") if line["run"] == run]

    # A line is written after what it tells of, for a write can fail.
    wait_until(lambda: len(done_chunks()) == 3, what="three chunks")
    wait_until(lambda: len(said(node, "failed: ")) == 2, what="two failures")

    row = Node.objects.get()
    jobs = {job.pk: job for job in Job.objects.in_group(run)}
    done = done_chunks()
    assert {line["task"] for line in done} == set(jobs)
    for line in done:
        job = jobs[line["task"]]
        assert (line["run"], line["chunk"], line["node"]) == (run, job.number, row.pk)
        assert (line["attempt"], line["function"]) == (1, "compute.tasks.get_sum_range")
        assert 0 <= line["seconds"] < 30
    (line,) = [each for each in said(node, "failed: ") if each["task"] == failed]
    assert (line["level"], line["error_class"]) == ("ERROR", "ValueError")
    assert line["message"].endswith("ValueError: math domain error")
    assert "Traceback" in line["exc_info"]
    (line,) = [each for each in said(node, "failed: ") if each["task"] == killed]
    assert (line["attempt"], line["error_class"], line["node"]) == (3, "WorkerDied", row.pk)
    assert [each["attempt"] for each in said(node, "again: ")] == [2, 3]

    assert node.stop() == 0
    assert web.stop() == 0
    assert {line["node"] for line in lines(node)} == {row.pk}
    assert {"compute.queue.node.guard", "compute.queue.node.reporter"} <= {
        line["logger"] for line in lines(node)
    }
    (request,) = said(web, "GET /split-sum-start/")
    assert (request["logger"], request["status"]) == ("gunicorn.access", 200)
    assert said(web, "Booting worker")


def test_lines_for_people_name_the_task_at_their_end(processes: Processes) -> None:
    node = processes.node()
    task_id = async_task("math.factorial", 5)
    group = async_iter("math.factorial", [6, 7])
    wait_for_state(task_id, Job.State.DONE)
    start = r"(?m)^\S+ \S+ INFO compute.queue.node.reporter: done: "
    node.wait_for_output(rf"{start}factorial\(5\) \[task={task_id}\]$")
    second = Job.objects.get(group=group, position=1).pk
    node.wait_for_output(rf"{start}factorial\(7\) \[task={second} run={group} chunk=2\]$")


def test_a_message_with_lines_of_its_own_makes_none(processes: Processes) -> None:
    """Neither in a node's log nor in a web server's, whatever somebody sends."""
    node = processes.node()
    evil = "x\n2026-01-01 00:00:00,000 INFO root: forged\x1b[31m\u2028caf\udce9"
    wait_for_state(async_task("tests.queue.functions.fail", evil), Job.State.FAILED)
    node.wait_for_output(r"failed: fail\(.* forged.*\[31m.*\[task=\w+\]\n    ")
    web, site = processes.web(DEBUG="0", ALLOWED_HOSTS="localhost", WEB_CONCURRENCY="1")
    forwarded = {"X-Forwarded-For": "9.9.9.9, 203.0.113.7", "X-Forwarded-Proto": "https"}
    headers = {"User-Agent": "a\x9b31m", **forwarded}
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(f"{site}/%0Aforged/?secret", headers=headers))
    caught.value.close()
    web.wait_for_output(r'(?m)203\.0\.113\.7 "GET /%0Aforged/" \d+ \d+ [\d.]+ "a\\x9b31m"$')
    for process in (node, web):
        assert not re.search(r"(?m)^(2026-01-01|forged)|[\x1b\x9b\u2028]", process.text())
    assert "secret" not in web.text()
