from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django_q.tasks import async_task

from compute.queue.node import listener
from compute.queue.node.channels import Bell


@pytest.fixture
def bell() -> Iterator[Bell]:
    bell = Bell()
    yield bell
    bell.close()


class Ended(Exception):
    """The listener would go on for ever."""


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """How often the database tells of a commit, or with which error it ends that."""
    heard: list[Any] = []

    def commits() -> Iterator[None]:
        for each in heard.pop(0):
            if each:
                raise each
            yield

    monkeypatch.setattr(listener, "engine", lambda: SimpleNamespace(commits=commits))
    return heard


def rings(bell: Bell) -> int:
    return len(list(iter(lambda: bell.receive(0), None)))


def test_each_commit_rings_for_an_idle_worker(bell: Bell, heard: list[Any]) -> None:
    heard.append([None, None, None])
    listener.listen(bell)
    assert rings(bell) == 3


@pytest.mark.parametrize("error", [OperationalError("it is\ngone"), OSError("it is gone")])
def test_a_database_that_is_away_is_tried_again_and_the_workers_poll(
    bell: Bell,
    heard: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    heard += [[None, error], [None, None]]
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if not heard:
            raise Ended

    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(Ended):
        listener.run(bell)
    assert pauses == [1, 1]
    assert rings(bell) == 3
    assert f"no wake-ups, workers poll: {type(error).__name__}: it is gone" in caplog.text


def test_it_rings_for_what_was_queued_before_it_could_hear(
    transactional_db: None, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async_task("tests.queue.functions.add", 1)

    def ring() -> None:
        Bell.ring(bell)
        raise Ended

    monkeypatch.setattr(bell, "ring", ring)
    with pytest.raises(Ended):
        listener.listen(bell)
    assert rings(bell) == 1


def test_a_real_database_that_is_away_is_no_end(
    database_away: None, bell: Bell, caplog: pytest.LogCaptureFixture
) -> None:
    listener.listen(bell)
    assert "no wake-ups, workers poll: " in caplog.text
