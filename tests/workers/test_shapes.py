"""Results of every shape, large ones too, on two nodes whose workers are killed meanwhile."""

from __future__ import annotations

import os
import signal

import pytest

from compute.models import Run
from compute.queue.models import Job, JobState
from tests.chaos.shapes import wrong
from tests.processes import Processes, ended, wait_until
from tests.workers.test_chapters import get

CHAOS = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "MAX_RESULT_MB": "120"}


@pytest.mark.long
def test_whatever_is_killed_each_is_exact_in_every_format(processes: Processes) -> None:
    """100,000 rows, a file of 100 MB: 116 MB in all."""
    _, site = processes.web(**CHAOS)
    for _ in range(2):
        processes.node(**CHAOS)
    address = get(f"{site}/compute/shapes/start/?n=100000&chunk_size=2500")["task_progress"]
    run = Run.objects.get(task_id=address.rpartition("=")[2])
    for done in (5, 15, 25):
        wait_until(lambda: run.progress().done >= done, 120)  # noqa: B023
        kill_a_worker()
    wait_until(lambda: Run.objects.exclude(combine_id="").filter(pk=run.pk).exists(), 120)
    run.refresh_from_db()
    combining = Job.objects.filter(pk=run.combine_id, state=JobState.RUNNING)
    wait_until(combining.exists)
    kill_a_worker(run.combine_id)
    assert ended(lambda: get(address), 300, address)["status"] == "done"
    assert list(wrong(site, run.task_id, 100_000)) == []


def kill_a_worker(task_id: str = "") -> None:
    """Of the task of this id, or of any."""
    running = Job.objects.filter(state=JobState.RUNNING).exclude(worker=None)
    job = (running.filter(pk=task_id) if task_id else running).first()
    if job and job.worker:
        os.kill(job.worker, signal.SIGKILL)
