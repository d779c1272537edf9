"""Eighty computations of a hostile author at once, on a real node: every run ends."""

from __future__ import annotations

import json
from functools import partial
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from compute.models import Run
from compute.queue.models import Job, JobState
from tests.odd.computations import odd
from tests.processes import Processes, wait_until

ODD = {"DJANGO_SETTINGS_MODULE": "tests.odd.settings", "MAX_ACTIVE_RUNS": "1000"}


def test_every_run_ends_and_everybody_elses_is_exact(processes: Processes) -> None:
    _, site = processes.web(**ODD)
    nodes = [processes.node(**ODD) for _ in range(2)]
    started: dict[str, str] = {}
    sums: dict[str, int] = {}
    for number, (name, (kind, _)) in enumerate(odd.EXPECTED.items()):
        given = {"n": 4, "chunk_size": 1} if name in odd.WRONG | odd.OPEN else {"name": name}
        address = f"{site}/compute/{name}/start/?{urlencode(given)}"
        if kind == "refused":
            with pytest.raises(HTTPError, match="422"):
                urlopen(address, timeout=60)
        else:
            started[name] = start(address)
        n = 1000 + number
        sums[start(f"{site}/split-sum-start/?n={n}&chunk_size=100")] = n * (n + 1) // 2
        assert_answers(site)
    wait_until(lambda: not Run.objects.filter(state=Run.State.IN_PROGRESS).exists(), 400)
    wait_until(lambda: not Job.objects.unsettled().exists(), 60)
    runs = {name: Run.objects.get(task_id=task_id) for name, task_id in started.items()}
    assert [name for name, run in runs.items() if not ended_as_expected(name, run)] == []
    assert {kind for kind, _ in odd.EXPECTED.values()} == {"is", "apart", "error", "refused"}
    found = Run.objects.filter(task_id__in=sums)
    assert {run.task_id: run.result for run in found} == sums
    failed = Job.objects.filter(state=JobState.FAILED)
    assert set(failed.filter(deaths__gt=0).values_list("attempt", flat=True)) <= {3}
    assert_answers(site)
    for node in nodes:
        assert node.stop() == 0


def start(address: str) -> str:
    """The id of the run that this starts. While 20 MB are written on a busy disk a request may be
    told to come again (503), and does."""

    def answer() -> str | None:
        try:
            with urlopen(address, timeout=60) as reply:
                return str(json.load(reply)["task_progress"].rpartition("=")[2])
        except HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
        return None

    return wait_until(answer, 60)


def ended_as_expected(name: str, run: Run) -> bool:
    kind, expected = odd.EXPECTED[name]
    if kind == "is":
        return run.state == Run.State.DONE and run.result == expected
    if kind == "apart":
        return run.state == Run.State.DONE and run.outputs.all()[0].kind == expected
    return run.state == Run.State.ERROR and expected in (run.error() or "")


def assert_answers(site: str) -> None:
    for address in ("/", "/nodes/", "/metrics"):
        request = Request(f"{site}{address}", headers={"Accept": "text/html"})
        wait_until(partial(is_there, request), 60)


def is_there(request: Request) -> bool:
    try:
        with urlopen(request, timeout=30) as reply:
            return bool(reply.status == HTTPStatus.OK)
    except HTTPError as error:
        if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
    return False
