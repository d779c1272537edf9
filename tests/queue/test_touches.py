from __future__ import annotations

import ctypes
import os
import queue
import select
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_django import Settings

from compute.queue import kernel, touches

pytestmark = pytest.mark.once


@pytest.fixture(params=[False, True], ids=["linux", "elsewhere"])
def portable(request: pytest.FixtureRequest, settings: Settings) -> bool:
    settings.Q_PORTABLE = request.param
    return bool(request.param)


def readable(watch: touches.Watch, seconds: float) -> bool:
    return bool(select.select([watch], [], [], seconds)[0])


def test_touches_of_a_file_are_heard_and_those_of_others_are_not(
    portable: bool, tmp_path: Path
) -> None:
    bell, other = tmp_path / "bell", tmp_path / "other"
    assert not touches.touch(bell)
    bell.touch()
    heard: queue.Queue[None] = queue.Queue()
    end = threading.Event()

    def listen() -> None:
        for touch in touches.touches(bell):
            heard.put(touch)
            if end.is_set():
                break

    thread = threading.Thread(target=listen)
    thread.start()
    heard.get(timeout=5)  # what came before
    other.touch()
    assert touches.touch(bell)
    heard.get(timeout=5)
    assert heard.empty()
    end.set()
    touches.touch(bell)
    heard.get(timeout=5)
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.thorough
def test_a_file_that_is_gone_is_waited_for(settings: Settings, tmp_path: Path) -> None:
    settings.Q_PORTABLE = True
    bell = tmp_path / "bell"
    told = touches.touches(bell)
    next(told)
    bell.unlink()
    threading.Timer(0.1, bell.touch).start()
    assert next(told) is None


def test_a_file_that_there_cannot_be_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        next(touches.touches(tmp_path / "nowhere" / "bell"))


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Path, touches.Watch]]:
    watch = touches.watch(tmp_path / "bell")
    assert watch
    yield tmp_path / "bell", watch
    watch.close()


def test_the_kernel_tells_of_the_first_touch_and_of_each_and_of_no_other_file(
    watched: tuple[Path, touches.Watch],
) -> None:
    bell, watch = watched
    assert not watch.heard()
    for touch in (bell.touch, lambda: touches.touch(bell)):
        touch()
        assert readable(watch, 5)
        assert watch.heard()
        assert not watch.heard(), "it was told"
    bell.with_name("other").touch()
    assert readable(watch, 5)
    assert not watch.heard()
    assert not readable(watch, 0)


def test_of_several_processes_one_is_told(watched: tuple[Path, touches.Watch]) -> None:
    bell, watch = watched
    told, tell = os.pipe()

    def wait() -> None:
        if readable(watch, 30):
            os.write(tell, b"!" if watch.heard() else b"?")

    children = [kernel.PROCESSES.Process(target=wait) for _ in range(2)]
    for child in children:
        child.start()
    heard = b""
    for count in (1, 2):
        bell.touch()
        while heard.count(b"!") < count:
            heard += os.read(told, 8)
    for child in children:
        child.join(5)
        assert child.exitcode == 0
    os.close(told)
    os.close(tell)
    assert heard.count(b"!") == 2


def test_where_nothing_tells_of_a_touch_there_is_no_watch(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert touches.watch(tmp_path / "nowhere" / "bell") is None
    assert "touches of " in caplog.text
    settings.Q_PORTABLE = True
    assert touches.watch(tmp_path / "bell") is None


def test_a_kernel_that_has_no_more_watches_to_give(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    libc = SimpleNamespace(inotify_init1=lambda _: -1)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
    assert touches.watch(tmp_path / "bell") is None
