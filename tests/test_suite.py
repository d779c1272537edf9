"""The tests themselves: they fail well, and leave nothing however they are ended."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import database
from tests.cleaner import processes_of
from tests.processes import ROOT, Process, Processes, environment, wait_until

TEST = """
import time
from pathlib import Path

def test_with_a_node(processes):
    processes.node()
    Path({ready!r}).touch()
    {then}
"""

Suite = Callable[..., Process]


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    """Runs a test that has a node, and then does what it is told; says so by a file."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    outer = Processes(tmp_path, environment())

    def start(then: str, *options: str) -> Process:
        test = TEST.format(ready=str(tmp_path / "ready"), then=then)
        (tmp_path / "test_with_a_node.py").write_text(test)
        settled = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "--tb=short")
        return outer.start(sys.executable, "-m", "pytest", *settled, *options, str(tmp_path))

    yield start
    outer.end()


@pytest.mark.once
def test_who_fails_shows_what_its_processes_said_last(suite: Suite) -> None:
    run = suite("assert not 'today'")
    assert run.popen.wait(60) == 1
    assert "assert not 'today'" in run.text()
    assert "- python manage.py qcluster -" in run.text()
    assert "Q Cluster" in run.text()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("number", "options"),
    [(signal.SIGKILL, ["-n2"]), (signal.SIGINT, ["-n2"]), (signal.SIGTERM, [])],
    ids=["kill -9 of two workers' controller", "Ctrl-C", "a time limit"],
)
def test_who_is_ended_leaves_nothing(
    suite: Suite, tmp_path: Path, number: signal.Signals, options: list[str]
) -> None:
    before = folders()
    run = suite("time.sleep(600)", *options)
    wait_until((tmp_path / "ready").exists, 60, run.text())
    (folder,) = folders() - before
    left = partial(processes_of, str(folder))
    assert any("qcluster" in (each.info["cmdline"] or ()) for each in left())
    assert any(process.info["name"] == "postgres" for process in left())
    if number == signal.SIGINT:
        os.killpg(run.pid, number)
    else:
        run.send(number)
    wait_until(lambda: not folder.exists(), 30, f"{folder} has gone")
    wait_until(lambda: not left(), 10, "the end of the cleaners themselves")


def folders() -> set[Path]:
    """Those of runs within this one."""
    return set(database.FOLDER.glob("sumsite-tests-*"))
