"""The tutorial's chapters with a real web server and real queue servers."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from django.test import Client
from django_q.models import Failure, OrmQ
from django_q.signing import SignedPackage

from compute.models import Run
from compute.queue.models import Job
from tests.conftest import OVER
from tests.processes import ROOT, Processes, ended

pytestmark = pytest.mark.main_path


def get(address: str) -> Any:
    with urlopen(address, timeout=60) as response:
        return json.load(response)


def settled(address: str) -> Any:
    return ended(lambda: get(address), what=address)


def test_the_problem_a_long_request_is_killed(processes: Processes) -> None:
    web, site = processes.web(SUM_SYNC_MAX_N="0", WEB_TIMEOUT="1", WEB_CONCURRENCY="1")
    with pytest.raises((HTTPError, http.client.HTTPException, OSError)):
        get(f"{site}/sum-sync/?n=3000000000")
    web.wait_for_output(r"\[CRITICAL\] WORKER TIMEOUT \(pid:\d+\)")
    assert get(f"{site}/sum-sync/?n=1000") == {"total": 500500}


def test_start_and_check(processes: Processes) -> None:
    _, site = processes.web()
    processes.node()
    began = time.monotonic()
    started = get(f"{site}/sum-start/?n=30000000")
    assert list(started) == ["task_progress"]
    assert started["task_progress"].startswith(f"{site}/sum-check/?task_id=")
    assert get(f"{site}/sum-sync/?n=10") == {"total": 55}, "the site answers meanwhile"
    assert settled(started["task_progress"]) == {
        "status": "done",
        "total": 450000015000000,
        "error": None,
        **OVER,
    }
    assert time.monotonic() - began < 60


def test_the_failing_task_is_found_in_the_admin(processes: Processes, admin: Client) -> None:
    _, site = processes.web()
    processes.node()
    reply = settled(get(f"{site}/bug-sum-start/?n=100000000")["task_progress"])
    assert reply["status"] == "error"
    assert reply["error"].startswith("TypeError: ")
    failure = Failure.objects.get()
    assert failure.name == "get_sum_buggy(100000000)"
    listed = admin.get("/admin/django_q/failure/").content.decode()
    assert failure.name in listed
    page = admin.get(f"/admin/django_q/failure/{failure.pk}/change/").content.decode()
    assert "Traceback" in page
    assert "compute/tasks.py" in page
    assert "<pre>(100000000)</pre>" in page, "its arguments"


@pytest.mark.parametrize(
    ("nodes", "chunks", "portable"),
    [(1, 400, "0"), (2, 1, "0"), (2, 10, "0"), (2, 400, "0"), (2, 10, "1"), (1, 400, "1")],
)
def test_a_split_sum_is_exact(processes: Processes, nodes: int, chunks: int, portable: str) -> None:
    _, site = processes.web(Q_PORTABLE=portable)
    for _ in range(nodes):
        processes.node(Q_PORTABLE=portable)
    n = 4_000_000
    reply = settled(get(f"{site}/split-sum-start/?n={n}&chunk_size={n // chunks}")["task_progress"])
    assert (reply["status"], reply["total"]) == ("done", n * (n + 1) // 2)
    assert len(reply["raw"]) == chunks
    assert reply["progress"] == {"done": chunks, "failed": 0, "total": chunks}
    assert Run.objects.get().state == Run.State.DONE


def test_a_failed_chunk_is_retried_in_the_admin_and_completes_its_run(
    processes: Processes, admin: Client
) -> None:
    _, site = processes.web()
    address = get(f"{site}/split-sum-start/?n=4000000&chunk_size=1000000")["task_progress"]
    # Make one chunk fail as a bug of the function would: by what it is called with.
    victim = Job.objects.get(position=2)
    row = OrmQ.objects.get(pk=victim.queue_id)
    good = row.payload
    broken = SignedPackage.loads(good)
    broken["args"] = (2_000_001, None)
    OrmQ.objects.filter(pk=row.pk).update(payload=SignedPackage.dumps(broken))
    processes.node()

    reply = settled(address)
    assert reply["status"] == "error"
    assert reply["progress"] == {"done": 3, "failed": 1, "total": 4}
    assert reply["raw"] is reply["total"] is None
    failure = Failure.objects.get()
    assert failure.args == (2_000_001, None)
    assert failure.name == "sum 1–4,000,000, chunk 3 of 4"
    Job.objects.filter(pk=failure.pk).update(payload=good)  # the bug is mended

    admin.post("/admin/django_q/failure/", {"action": "resubmit", "_selected_action": [failure.pk]})
    reply = settled(address)
    assert (reply["status"], reply["total"]) == ("done", 8000002000000)
    assert not Failure.objects.exists()


def test_the_sum_command_prints_the_total_alone(processes: Processes) -> None:
    processes.node()
    done = subprocess.run(
        [sys.executable, "manage.py", "sum", "20000000", "--split", "--chunk-size", "1000000"],
        cwd=ROOT,
        env=processes.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "200000010000000\n"), done.stderr
    assert re.search(r"20 of 20 chunks", done.stderr)


@pytest.mark.long
@pytest.mark.parametrize("chunks", [1, 10, 400, 3000])
@pytest.mark.parametrize("nodes", [2, 3])
def test_twenty_split_sums_in_a_row_on_many_nodes(
    processes: Processes, nodes: int, chunks: int
) -> None:
    _, site = processes.web()
    for _ in range(nodes):
        processes.node()
    n = 3_000_000
    for _ in range(20):
        address = get(f"{site}/split-sum-start/?n={n}&chunk_size={n // chunks}")["task_progress"]
        reply = settled(address)
        assert (reply["status"], reply["total"]) == ("done", n * (n + 1) // 2)
        assert len(reply["raw"]) == chunks
    assert Job.objects.exclude(attempt=1).count() == 0


@pytest.mark.long
def test_a_billion_uses_all_workers(processes: Processes) -> None:
    _, site = processes.web()
    processes.node()
    reply = settled(get(f"{site}/split-sum-start/?n=1000000000")["task_progress"])
    assert reply["total"] == 500000000500000000
    assert Job.objects.values("worker").distinct().count() == 2
