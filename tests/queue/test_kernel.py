from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading

import pytest

from compute.queue import kernel
from tests.processes import wait_until

pytestmark = pytest.mark.once


@pytest.fixture(params=[False, True], ids=["linux", "elsewhere"])
def portable(request, settings):
    settings.Q_PORTABLE = request.param
    return request.param


def test_a_stopped_process_is_known_from_others(portable):
    sleeper = subprocess.Popen(["sleep", "60"])
    pids = [os.getpid(), sleeper.pid]
    try:
        assert kernel.stopped(pids) == set()
        sleeper.send_signal(signal.SIGSTOP)
        wait_until(lambda: kernel.stopped(pids) == {sleeper.pid}, 5)
        sleeper.send_signal(signal.SIGCONT)
        wait_until(lambda: kernel.stopped(pids) == set(), 5)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert kernel.stopped(pids) == set()


def test_touches_of_a_file_are_heard_and_those_of_others_are_not(portable, tmp_path):
    bell, other = tmp_path / "bell", tmp_path / "other"
    kernel.touch(bell)
    heard: queue.Queue[None] = queue.Queue()
    end = threading.Event()

    def listen() -> None:
        for touch in kernel.touches(bell):
            heard.put(touch)
            if end.is_set():
                break

    thread = threading.Thread(target=listen)
    thread.start()
    heard.get(timeout=5)  # what came before
    kernel.touch(other)
    kernel.touch(bell)
    heard.get(timeout=5)
    assert heard.empty()
    end.set()
    kernel.touch(bell)
    heard.get(timeout=5)
    thread.join(5)
    assert not thread.is_alive()


def test_a_file_that_is_gone_is_waited_for(settings, tmp_path):
    settings.Q_PORTABLE = True
    bell = tmp_path / "bell"
    touches = kernel.touches(bell)
    next(touches)
    bell.unlink()
    threading.Timer(0.1, bell.touch).start()
    assert next(touches) is None


def test_a_folder_that_cannot_be_watched_is_an_error(portable, tmp_path):
    with pytest.raises(OSError, match=r"inotify|No such file"):
        next(kernel.touches(tmp_path / "nowhere" / "bell"))


def test_who_has_no_parent_to_end_with_goes_on():
    kernel.end_if_orphaned()
