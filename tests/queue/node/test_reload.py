from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils.autoreload import StatReloader

from compute.queue.imported import BEGAN
from compute.queue.node import reload
from compute.queue.node.reload import Code
from compute.queue.signals import watching
from tests.processes import ROOT

pytestmark = pytest.mark.once


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """With which exit codes `manage.py check` ends, each time; looks come as soon as asked for."""
    codes: list[int] = []

    def run(*args: Any, **kwargs: Any) -> SimpleNamespace:
        return SimpleNamespace(returncode=codes.pop(0), stderr="Traceback: no such name")

    monkeypatch.setattr(reload, "LOOK_S", 0)
    monkeypatch.setattr(subprocess, "run", run)
    return codes


def test_code_that_is_imported_later_has_not_changed(
    checks: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = iter([{"a": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1}, {"a": 1}])
    monkeypatch.setattr(StatReloader, "snapshot_files", lambda self: next(snapshots).items())
    checks += [0, 1]
    code = Code()
    assert not code.has_changed(), "b is new"
    assert code.has_changed(), "b has changed, and can be loaded"
    assert caplog.text == ""
    assert not code.has_changed(), "b is gone, and the rest can't be loaded"
    assert "the changed code can't be loaded, the old one goes on" in caplog.text
    assert [vars(record)["traceback"] for record in caplog.records] == ["Traceback: no such name"]
    assert not code.has_changed(), "nothing has changed"


@pytest.mark.thorough
def test_a_file_that_comes_into_a_watched_folder_is_a_change(
    checks: list[int], tmp_path: Path
) -> None:
    def watch(sender: Any, reloader: StatReloader, **kwargs: Any) -> None:
        reloader.watch_dir(tmp_path, "**/*.py")

    watching.connect(watch)
    try:
        code = Code()
    finally:
        watching.disconnect(watch)
    checks += [0, 0, 0]
    changes: list[Callable[[], object]] = [
        lambda: tmp_path.joinpath("new.py").touch(),
        lambda: os.utime(tmp_path / "new.py", (1, 1)),
        lambda: tmp_path.joinpath("new.py").unlink(),
        lambda: tmp_path.joinpath("new.txt").touch(),
        lambda: None,
    ]

    def changed_by(change: Callable[[], object]) -> bool:
        change()
        return code.has_changed()

    assert [changed_by(change) for change in changes] == [True] * 3 + [False] * 2


def test_what_was_written_to_during_the_imports_has_changed(
    checks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look comes after them: the old text may be what this process runs."""
    now = time.time()
    times = {"before": BEGAN - 2, "meanwhile": BEGAN + 0.001, "tomorrow": now + 86400}
    monkeypatch.setattr(StatReloader, "snapshot_files", lambda self: times.items())
    checks += [0]
    code = Code()
    assert code.has_changed()
    assert not code.has_changed(), "it is told once"


def test_the_code_is_looked_at_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    code = Code()
    monkeypatch.setattr(code, "look", pytest.fail)
    assert not code.has_changed()
    monkeypatch.setattr(code, "look", lambda: code.seen)
    before = code.looked = code.looked - reload.LOOK_S
    assert not code.has_changed()
    assert code.looked > before


def test_what_is_checked_is_this_code(checks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `manage.py` is called in a project, and wherever it is."""
    asked: list[tuple[list[str], str]] = []

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        asked.append((command[1:], options["env"]["PYTHONPATH"]))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    code = Code()
    code.seen = {**code.seen, ROOT / "gone.py": 1.0}
    assert code.has_changed()
    assert asked == [(["-m", "django", "check"], os.pathsep.join(sys.path))]


def test_the_folder_of_computations_is_watched() -> None:
    assert ROOT / "compute" / "computations" in Code().reloader.directory_globs
