"""Only a part of the web processes computes in requests."""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest
from django.test import Client

from compute.web import slots
from compute.web.slots import AllTaken, a_place
from tests.processes import ROOT, Processes, wait_until

HOLDER = """
import django; django.setup()
from compute.web.slots import a_place
with a_place():
    print("has it", flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    where = tmp_path / "places"
    monkeypatch.setattr(slots, "folder", lambda: where)
    return where


@pytest.mark.parametrize(
    ("processes", "places"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (8, 4), (0, 1)]
)
def test_half_of_the_web_processes_may_compute(settings: Any, processes: int, places: int) -> None:
    settings.WEB_CONCURRENCY = processes
    assert slots.places() == places


def test_a_place_is_taken_once_and_free_again_afterwards(settings: Any, own_folder: Path) -> None:
    settings.WEB_CONCURRENCY = 4
    for _ in range(3):
        with a_place(), a_place(), pytest.raises(AllTaken), a_place():
            pass
    with pytest.raises(KeyError), a_place():
        raise KeyError
    with a_place(), a_place():
        pass
    assert stat.S_IMODE(own_folder.stat().st_mode) == 0o700


def test_no_descriptor_is_left_open() -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        with a_place(), pytest.raises(AllTaken), a_place():
            pass
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_where_nothing_can_be_locked_nobody_is_refused(
    own_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_folder.write_text("no folder")
    with caplog.at_level(logging.WARNING), a_place(), a_place():
        pass
    assert "computing in requests is not limited" in caplog.text


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_sum_sync_is_refused_while_as_many_as_may_compute(accept: str, db: None) -> None:
    client = Client(headers={"accept": accept})
    with a_place():
        for reply in (client.get("/sum-sync/?n=4"), client.post("/sum-sync/", {"n": 4})):
            assert reply.status_code == 429
            assert int(reply["Retry-After"]) > 0
            assert "start it at /sum-start/?n=4 instead" in reply.content.decode()
        assert client.get("/sum-sync/?n=x").status_code == 400
        assert client.get("/sum-sync/?n=1000000000").status_code == 422
    assert client.get("/sum-sync/?n=4").status_code == 200


def test_every_site_has_places_of_its_own(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.undo()
    here = slots.folder()
    settings.PORT = 4711
    assert slots.folder() != here
    assert here.parent == slots.folder().parent


@pytest.mark.thorough
def test_a_killed_process_holds_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the time limit of a request, or the kernel, ends it."""
    monkeypatch.undo()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "sumsite.settings",
            "TMPDIR": tempfile.gettempdir(),  # as it is for this process
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"has it\n"
        with pytest.raises(AllTaken), a_place():
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    with a_place():
        pass


def ask(address: str) -> tuple[int, float]:
    began = time.monotonic()
    try:
        with urlopen(Request(address), timeout=60) as reply:
            status, _ = reply.status, json.load(reply)
    except HTTPError as error:
        status = error.code
        error.close()
    return status, time.monotonic() - began


def test_beside_twenty_loops_of_sum_sync_the_site_answers(processes: Processes) -> None:
    """What has a place is computed, the rest is told to come back, and who looks need not wait."""
    web, site = processes.web(WEB_CONCURRENCY="3")
    over = threading.Event()
    answers: Counter[int] = Counter()

    def loop() -> None:
        while not over.is_set():
            status, _ = ask(f"{site}/sum-sync/?n=30000000")
            answers[status] += 1
            over.wait(0.2)

    loops = [threading.Thread(target=loop) for _ in range(20)]
    for each in loops:
        each.start()
    wait_until(lambda: answers[429] > 20, 30)
    looks = [
        ask(f"{site}{path}") for path in ("/healthz", "/", "/sum-start/?n=5") for _ in range(15)
    ]
    over.set()
    for each in loops:
        each.join()
    took = [seconds for _, seconds in looks]
    print(f"p50 {median(took):.3f}, max {max(took):.3f} s; {dict(answers)}")
    assert {status for status, _ in looks} == {200}
    assert max(took[:15]) < 4  # a second, with room for what else this machine does
    assert set(answers) == {200, 429}
    assert len(psutil.Process(web.pid).children()) == 3
