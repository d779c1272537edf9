"""A site under load: nothing is refused that need not be, and no run is lost.

How quick it is is printed, not asserted: `bin/test --long tests/workers/test_load.py -s`.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from compute.models import Run
from compute.models.notes import refresh, unfinished
from tests.processes import Process, Processes, wait_until

SECONDS = 120
RATE = 50  # requests a second
CLIENTS, PAUSE, MINUTES = 200, 2, 5
#: What a browser says when htmx asks for a part of a page.
BROWSER = {"Accept": "text/html", "HX-Request": "true"}


class Asked:
    """Requests to a site from any thread, how they were answered, and in how many seconds."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.answers: Counter[tuple[str, int | str]] = Counter()
        self.seconds: dict[str, list[float]] = {}
        self.noting = threading.Lock()

    def ask(self, path: str, headers: dict[str, str] | None = None) -> str:
        request = Request(self.site + path, headers=headers or {})
        status: int | str
        text = ""
        began = time.monotonic()
        try:
            with urlopen(request, timeout=30) as reply:
                status, text = reply.status, reply.read().decode()
        except HTTPError as error:
            status = error.code
        except OSError as error:
            status = repr(error)
        took = time.monotonic() - began
        kind = path.partition("?")[0]
        with self.noting:
            self.answers[kind, status] += 1
            self.seconds.setdefault(kind, []).append(took)
        return text

    def report(self, took: float) -> None:
        for kind, seconds in sorted(self.seconds.items()):
            cuts = quantiles(seconds, n=100)
            p50, p95, p99 = (f"{1000 * cuts[share - 1]:.0f}" for share in (50, 95, 99))
            print(f"{kind}: {len(seconds) / took:.1f}/s, p50 {p50}, p95 {p95}, p99 {p99} ms")
        print(dict(self.answers))

    def check(self, *processes: Process) -> None:
        """No error of the site's, and none of its processes was refused by the database."""
        statuses = {status for _, status in self.answers}
        assert all(isinstance(status, int) and status < 500 for status in statuses), self.answers
        for process in processes:
            assert "database is locked" not in process.text()


@pytest.mark.long
@pytest.mark.sqlite
def test_fifty_requests_a_second_and_eight_workers_share_a_file(processes: Processes) -> None:
    web, site = processes.web()
    nodes = [processes.node(Q_WORKERS="4") for _ in range(2)]
    choices = random.Random(1)  # noqa: S311 - no secret
    asked = Asked(site)

    def path() -> str:
        if choices.random() < 0.1:
            return "/split-sum-start/?n=4000000&chunk_size=1000000"
        run = Run.objects.first()
        return choices.choice(["/", run.get_absolute_url() if run else "/"])

    began = time.monotonic()
    with ThreadPoolExecutor(20) as askers:
        for number in range(SECONDS * RATE):
            time.sleep(max(0, began + number / RATE - time.monotonic()))
            askers.submit(asked.ask, path())
    asked.report(time.monotonic() - began)

    wait_until(lambda: not unfinished(), 120)
    asked.check(web, *nodes)
    started = asked.answers["/split-sum-start/", 200]
    assert started == Run.objects.count() > 100
    for run in Run.objects.all():
        refresh(run)
        assert (run.state, run.result) == (Run.State.DONE, 8000002000000)


@pytest.mark.long
def test_two_hundred_clients_follow_their_runs(processes: Processes) -> None:
    """As a host runs it, behind a proxy: two web processes, and a node on every core.

    Each client starts a run, follows it (half as a browser, half as a program) and starts
    the next when it is done; so the cores have something to compute all the time.
    """
    production = {
        "DEBUG": "0",
        "ALLOWED_HOSTS": "localhost",
        "DJANGO_SETTINGS_MODULE": "tests.plain_static",
        "WEB_CONCURRENCY": "2",
        "MAX_ACTIVE_RUNS": str(CLIENTS),
    }
    web, site = processes.web(**production)
    node = processes.node(Q_NICE="5")  # as it is by default
    asked = Asked(site)
    over = time.monotonic() + MINUTES * 60
    started: dict[str, int] = {}

    def follow(number: int) -> None:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": f"203.0.113.{number}"}
        polls = {**headers, **(BROWSER if number % 2 else {})}
        n, check = 20_000_000 + number, ""
        due = time.monotonic() + PAUSE * number / CLIENTS
        while due < over:
            time.sleep(max(0, due - time.monotonic()))
            due = time.monotonic() + PAUSE
            if not check:
                reply = asked.ask(f"/split-sum-start/?n={n}", headers)
                check = reply and "/" + json.loads(reply)["task_progress"].split("/", 3)[3]
                started[check] = n
            elif re.search('"status": "done"|class="state done"', asked.ask(check, polls)):
                check = ""

    clients = [threading.Thread(target=follow, args=(number,)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    asked.report(MINUTES * 60)
    print(f"{len(started)} runs")

    wait_until(lambda: not unfinished(), 300)
    asked.check(web, node)
    assert {status for _, status in asked.answers} == {200}
    assert len(started) == asked.answers["/split-sum-start/", 200] == Run.objects.count()
    for check, n in started.items():
        run = Run.objects.get(task_id=check.partition("task_id=")[2])
        refresh(run)
        assert (run.state, run.result) == (Run.State.DONE, n * (n + 1) // 2)
