"""LOG_FORMAT=json with real processes: what they write is JSON, line by line."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import urlopen

import pytest
from django_q.tasks import async_task

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

    wait_until(lambda: len(done_chunks()) == 3, what="three chunks")

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
    assert "Traceback" in line["message"]
    (line,) = [each for each in said(node, "failed: ") if each["task"] == killed]
    assert (line["attempt"], line["error_class"], line["node"]) == (3, "WorkerDied", row.pk)
    assert [each["attempt"] for each in said(node, "again: ")] == [2, 3]

    assert node.stop() == 0
    assert web.stop() == 0
    assert {line["node"] for line in lines(node)} == {row.pk}
    assert {"django-q", "compute.queue.cluster", "compute.queue.monitor"} <= {
        line["logger"] for line in lines(node)
    }
    (request,) = said(web, "GET /split-sum-start/")
    assert (request["logger"], request["status"]) == ("gunicorn.access", 200)
    assert said(web, "Booting worker")


def test_lines_for_people_are_as_they_were(processes: Processes) -> None:
    node = processes.node()
    task_id = async_task("math.factorial", 5)
    wait_for_state(task_id, Job.State.DONE)
    node.wait_for_output(r"(?m)^\S+ \S+ INFO compute.queue.monitor: done: factorial\(5\)$")
    assert task_id not in node.text()
