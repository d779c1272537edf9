from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest
from django.core.management import get_commands, load_command_class
from django.utils.autoreload import StatReloader

from compute.queue import cluster, kernel
from compute.queue.cluster import Supervisor, is_alive
from compute.queue.management.commands.qcluster import Command
from compute.queue.sentinel import Flag, Frozen, ended
from compute.queue.signals import watching
from tests.processes import ROOT


def test_a_flag_is_down_until_it_is_set():
    flag = Flag()
    assert not flag.is_set()
    flag.set()
    flag.set()
    assert flag.is_set()


def test_a_signal_handler_may_set_a_flag():
    flag = Flag()
    before = signal.signal(signal.SIGUSR1, flag.set)
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert flag.is_set()


def test_waiting_for_a_flag_that_is_set_takes_no_time(monkeypatch):
    monkeypatch.setattr(time, "sleep", pytest.fail)
    flag = Flag()
    flag.set()
    assert flag.wait(1000) is True


def test_waiting_for_a_flag_that_stays_down_takes_its_time():
    started = time.monotonic()
    assert Flag().wait(0.01) is False
    assert time.monotonic() - started >= 0.01


def test_waiting_tells_of_a_flag_that_was_set_meanwhile(monkeypatch):
    flag = Flag()
    monkeypatch.setattr(time, "sleep", lambda _: flag.set())
    assert flag.wait(1) is True


def test_qcluster_is_ours():
    assert get_commands()["qcluster"] == "compute.queue"
    command = load_command_class("compute.queue", "qcluster")
    assert isinstance(command, Command)
    assert "queue server" in command.help


def test_qcluster_takes_django_qs_options():
    parser = Command().create_parser("manage.py", "qcluster")
    assert parser.parse_args(["--run-once"]).run_once is True


@pytest.mark.parametrize(
    ("signals", "hurry"),
    [
        ([signal.SIGTERM], False),
        ([signal.SIGTERM, signal.SIGTERM], False),
        ([signal.SIGINT], False),
        ([signal.SIGINT, signal.SIGINT], True),
        ([signal.SIGTERM, signal.SIGINT], True),
        ([signal.SIGINT, signal.SIGTERM], False),
        ([signal.SIGINT, signal.SIGINT, signal.SIGTERM], True),
    ],
)
def test_only_a_second_ctrl_c_hurries(signals, hurry):
    supervisor = Supervisor()
    for number in signals:
        supervisor.on_signal(number, None)
    assert (supervisor.signals, supervisor.hurry) == (len(signals), hurry)


def test_a_flag_is_seen_by_other_threads():
    flag = Flag()
    thread = threading.Thread(target=flag.set)
    thread.start()
    thread.join()
    assert flag.wait(0) is True


def test_a_process_is_alive_until_it_has_ended(monkeypatch):
    assert is_alive(os.getpid())
    assert is_alive(1), "also somebody else's"
    ended_long_ago = subprocess.Popen(["true"])
    ended_long_ago.wait()
    assert not is_alive(ended_long_ago.pid)

    def refuse(pid, number):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert is_alive(1)


def test_how_a_process_ended_is_said_in_words():
    assert ended(-9) == "was killed by SIGKILL"
    assert ended(1) == "ended with exit code 1"


def test_a_process_is_frozen_if_it_stays_stopped(monkeypatch):
    stopped = iter([{1}, {2}, {1}, {1, 2}, {1}, set()])
    monkeypatch.setattr(kernel, "stopped", lambda pids: next(stopped))
    frozen = Frozen()
    assert [frozen.among([1, 2]) for _ in range(6)] == [set(), set(), set(), {1}, {1}, set()]


def test_code_that_is_imported_later_has_not_changed(monkeypatch):
    monkeypatch.setattr(cluster, "LOOK", 0)
    snapshots = iter([{"a": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1}, {"a": 1}])
    monkeypatch.setattr(StatReloader, "snapshot_files", lambda self: next(snapshots).items())
    checks = iter([0, 1])
    monkeypatch.setattr(
        cluster.subprocess,
        "run",
        lambda *args, **kwargs: SimpleNamespace(returncode=next(checks), stderr=""),
    )
    code = cluster.Code()
    assert not code.has_changed(), "b is new"
    assert code.has_changed(), "b has changed, and can be loaded"
    assert not code.has_changed(), "b is gone, and the rest can't be loaded"
    assert not code.has_changed(), "nothing has changed"


def test_a_file_that_comes_into_a_watched_folder_is_a_change(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "LOOK", 0)
    monkeypatch.setattr(
        cluster.subprocess, "run", lambda *args, **kwargs: SimpleNamespace(returncode=0)
    )

    def watch(sender, reloader, **kwargs):
        reloader.watch_dir(tmp_path, "**/*.py")

    watching.connect(watch)
    try:
        code = cluster.Code()
    finally:
        watching.disconnect(watch)
    changes = [
        lambda: tmp_path.joinpath("new.py").touch(),
        lambda: os.utime(tmp_path / "new.py", (1, 1)),
        lambda: tmp_path.joinpath("new.py").unlink(),
        lambda: tmp_path.joinpath("new.txt").touch(),
        lambda: None,
    ]
    assert [change() or code.has_changed() for change in changes] == [True] * 3 + [False] * 2


def test_the_folder_of_computations_is_watched():
    assert ROOT / "compute" / "computations" in cluster.Code().reloader.directory_globs
