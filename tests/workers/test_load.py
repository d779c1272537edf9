"""A site and its nodes, all writing to one SQLite file."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from compute.models import Run
from compute.queue.models import Job
from tests.processes import Processes, wait_until

SECONDS = 120
RATE = 50  # requests a second


@pytest.mark.long
@pytest.mark.sqlite
def test_fifty_requests_a_second_and_eight_workers_share_a_file(processes: Processes) -> None:
    web, site = processes.web()
    nodes = [processes.node(Q_WORKERS="4") for _ in range(2)]
    choices = random.Random(1)  # noqa: S311 - no secret
    answers: Counter[Any] = Counter()
    durations: list[float] = []
    noting = threading.Lock()

    def ask(path: str) -> None:
        began = time.monotonic()
        try:
            with urlopen(site + path, timeout=30) as reply:
                status = reply.status
        except HTTPError as error:
            status = error.code
        except OSError as error:
            status = repr(error)
        with noting:
            answers[urlsplit(path).path, status] += 1
            durations.append(time.monotonic() - began)

    def path() -> str:
        if choices.random() < 0.1:
            return "/split-sum-start/?n=4000000&chunk_size=1000000"
        run = Run.objects.first()
        return choices.choice(["/", run.get_absolute_url() if run else "/"])

    began = time.monotonic()
    with ThreadPoolExecutor(20) as askers:
        for number in range(SECONDS * RATE):
            time.sleep(max(0, began + number / RATE - time.monotonic()))
            askers.submit(ask, path())
    took = time.monotonic() - began
    durations.sort()
    print(f"{len(durations) / took:.0f} requests/s, p50 {durations[len(durations) // 2]:.3f} s,")
    print(f"p99 {durations[int(len(durations) * 0.99)]:.3f} s; {dict(answers)}")

    wait_until(lambda: not Job.objects.unsettled().exists(), 120)
    for process in (web, *nodes):
        assert "database is locked" not in process.text()
    assert all(isinstance(status, int) and status < 500 for _, status in answers), answers
    started = answers["/split-sum-start/", 200]
    assert started == Run.objects.count() > 100
    for run in Run.objects.all():
        run.refresh()
        assert (run.state, run.result) == (Run.State.DONE, 8000002000000)
