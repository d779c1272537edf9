"""Combining on real workers: beside a site that answers, through kills and a cancel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import quantiles
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from compute.models import Run
from compute.queue.models import Job
from tests.conftest import database_url, finish_by_hand, run_queued, started
from tests.processes import ROOT, Processes, environment, wait_until

#: The site with a computation that takes as long to combine as its form says.
SLOW = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings"}
N, TOTAL = 1000, 500500


def start(site: str, seconds: float) -> Run:
    with urlopen(f"{site}/compute/merging/start/?n={N}&seconds={seconds}", timeout=30) as reply:
        address = json.load(reply)["task_progress"]
    return Run.objects.get(task_id=address.rpartition("=")[2])


def combining(run: Run) -> Job:
    """Its combine task, once a worker runs it."""

    def running() -> Any:
        run.refresh_from_db()
        return Job.objects.filter(pk=run.combine_id, state=Job.State.RUNNING).first()

    found: Job = wait_until(running)
    return found


def ended(run: Run, seconds: float = 60) -> Run:
    def over() -> bool:
        run.refresh_from_db()
        return run.state != Run.State.IN_PROGRESS

    wait_until(over, seconds)
    return run


def seconds_of(address: str) -> float:
    began = time.monotonic()
    with urlopen(Request(address, headers={"Accept": "text/html"}), timeout=30) as reply:
        assert reply.status == 200
    return time.monotonic() - began


def watch(processes: Processes, seconds: float) -> tuple[list[float], list[float], Run]:
    """How long the first page took while nothing ran, and while a run was combined."""
    _, site = processes.web(**SLOW)
    processes.node(**SLOW)
    pages = [f"{site}/", f"{site}/nodes/"]
    idle = [seconds_of(page) for _ in range(50) for page in pages]
    run = start(site, seconds)
    combining(run)
    page = f"{site}{run.get_absolute_url()}"
    busy = []
    while Job.objects.filter(pk=run.combine_id).unsettled().exists():
        assert seconds_of(page) < 10
        busy += [seconds_of(each) for each in pages]
        time.sleep(0.05)
    return idle, busy, ended(run)


def assert_exact(run: Run) -> None:
    assert (run.state, run.result, run.shown) == (Run.State.DONE, TOTAL, "500,500")


def test_the_site_answers_meanwhile(processes: Processes) -> None:
    idle, busy, run = watch(processes, 2)
    assert idle
    assert busy
    assert_exact(run)
    assert run.took is not None
    assert run.took >= 2  # which is part of what the run took


@pytest.mark.long
def test_the_first_page_is_as_quick_while_a_combine_takes_ninety_seconds(
    processes: Processes,
) -> None:
    idle, busy, run = watch(processes, 90)
    before, meanwhile = (quantiles(some, n=20)[-1] for some in (idle, busy))
    print(f"p95 idle {before * 1000:.1f} ms, meanwhile {meanwhile * 1000:.1f} ms", end=", ")
    print(f"ratio {meanwhile / before:.2f}, {len(busy)} pages; took {run.took} s")
    assert_exact(run)
    assert run.took is not None
    assert run.took >= 90


def test_a_worker_that_is_killed_over_it_is_followed_by_another(processes: Processes) -> None:
    _, site = processes.web(**SLOW)
    processes.node(**SLOW)
    run = start(site, 2)
    job = combining(run)
    os.kill(job.worker or 0, signal.SIGKILL)
    assert_exact(ended(run))
    wait_until(lambda: not Job.objects.unsettled().exists())
    job.refresh_from_db()
    assert (job.state, job.attempt) == (Job.State.DONE, 2)
    assert set(run.jobs.values_list("attempt", flat=True)) == {1}  # no chunk ran again


def test_a_cancel_ends_it_where_it_runs(processes: Processes) -> None:
    _, site = processes.web(**SLOW)
    node = processes.node(**SLOW)
    run = start(site, 600)
    job = combining(run)
    assert run.cancel("somebody") == 1
    wait_until(lambda: f"worker {job.worker} ran what has been cancelled" in node.text())
    assert ended(run).state == Run.State.CANCELLED
    assert run.trouble == "cancelled by somebody"
    assert node.stop() == 0


def test_what_a_crash_left_a_node_finds_on_a_look_around(processes: Processes) -> None:
    run = started("/split-sum-start/", n=N, chunk_size=100)
    run_queued()  # and whoever would have noted the end of it dies
    assert Run.objects.get(pk=run.pk).combine_id == ""
    processes.node()
    assert_exact(ended(run))


# --- large ------------------------------------------------------------------------------------


@pytest.mark.skipif(not psutil.LINUX, reason="Linux tells the most that a process has had")
@pytest.mark.parametrize("shape", ["table", "file"])
def test_a_merge_of_a_million_numbers_stays_small(
    transactional_db: None, declare: Callable[..., None], shape: str
) -> None:
    """From 40 chunks, written as they come: under 100 MB beside what a worker has anyway."""
    chunks, of_each = 40, 25_000
    declare(name="odd")
    run = started("/compute/odd/start/", n=40, chunk_size=1)
    finish_by_hand(run, *(list(range(first, chunks * of_each, chunks)) for first in range(chunks)))
    command = [sys.executable, "-m", "tests.workers.reduce", run.task_id, shape]
    variables = environment(DATABASE_URL=database_url())
    ran = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    before, most = map(float, ran.stdout.split())
    assert most - before < 100, ran.stdout
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    (output,) = run.outputs.all()
    lines = b"".join(output.read()).decode().replace("[", "").replace("]", "").splitlines()
    assert list(map(int, lines)) == list(range(chunks * of_each))
