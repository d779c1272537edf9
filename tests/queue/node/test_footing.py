"""What a task may spoil of its worker's process: seen, and put back as far as it goes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, connections
from django_q.tasks import async_task

from compute.queue.models import Job, JobState
from compute.queue.node import footing as footing_module
from compute.queue.node.attempt import Attempt
from compute.queue.node.footing import Footing, Spoilt, files, identity, opened
from compute.queue.node.processes import LOST_DATABASE
from tests.queue.conftest import LocalNode, the_job

STANDARD = "has closed or replaced its worker's standard input or output"
LIMITS = "has lowered its worker's resource limits"


@pytest.fixture
def kept() -> Iterator[None]:
    """Standard input and output are as before in the end."""
    copies = [os.dup(number) for number in range(3)]
    yield
    for number, copy in enumerate(copies):
        os.dup2(copy, number)
        os.close(copy)


@pytest.fixture
def footing(kept: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Footing]:
    """One that looks as often as it is asked."""
    monkeypatch.setattr(footing_module, "LOOK_S", 0)
    footing = Footing()
    yield footing
    for number in footing.spare.values():
        os.close(number)


@pytest.fixture
def number(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a file, which stands where one of the database would."""
    (tmp_path / "file").write_text("x")
    number = os.open(tmp_path / "file", os.O_RDONLY)
    before = identity(number)
    yield number
    if identity(number) == before:
        os.close(number)


def test_nothing_is_spoilt(footing: Footing, db: None) -> None:
    footing.begin()
    assert footing.spoilt() is None


@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1, 2)])
def test_what_is_closed_is_seen_and_put_back(footing: Footing, closed: tuple[int, ...]) -> None:
    for number in closed:
        os.close(number)
    spoilt = footing.spoilt()
    footing.mend()
    assert spoilt == Spoilt(STANDARD)
    assert footing.spoilt() is None


@pytest.mark.parametrize("leave", [(1,), (0, 1, 2)])
def test_without_its_copy_no_other_file_gets_the_number(
    footing: Footing, leave: tuple[int, ...]
) -> None:
    for number in leave:
        os.close(number)
        os.close(footing.spare.pop(number))
    footing.mend()
    assert [identity(number) for number in leave] == [identity_of(os.devnull)] * len(leave)


def identity_of(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def test_nor_is_it_another_file_without_its_copy(footing: Footing, number: int) -> None:
    os.dup2(number, 0)
    os.close(footing.spare.pop(0))
    footing.mend()
    assert identity(0) == identity_of(os.devnull)


def test_what_is_replaced_is_seen_and_put_back(footing: Footing, number: int) -> None:
    os.dup2(number, 0)
    assert footing.spoilt() == Spoilt(STANDARD)
    footing.mend()
    assert footing.spoilt() is None


def test_one_that_was_closed_before_is_no_tasks_doing(
    kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.close(0)
    footing = Footing()
    assert footing.spoilt() is None
    assert 0 not in footing.spare
    for number in footing.spare.values():
        os.close(number)


def test_between_two_looks_what_is_closed_is_seen_all_the_same(
    footing: Footing, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footing_module, "LOOK_S", 1000)
    assert footing.spoilt() is None
    os.dup2(number, 0)
    assert footing.spoilt() is None, "it is not looked at yet"
    os.close(0)
    assert footing.spoilt() == Spoilt(STANDARD)
    footing.mend()


def test_a_limit_that_leaves_no_room_to_look_is_seen() -> None:
    """In a process of its own, for it may be lowered for good."""
    script = """
        import resource
        from django.conf import settings
        settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3"}})
        from compute.queue.node import footing
        footing.LOOK_S = 1000
        found = footing.Footing()
        assert found.spoilt() is None
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, 1))
        print(found.spoilt().what)
        found.mend()
    """
    command = [sys.executable, "-c", dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == LIMITS, done.stderr


def test_where_it_cant_be_asked_all_is_looked_at(
    footing: Footing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footing_module, "LOOK_S", 1000)
    assert footing.spoilt() is None
    footing.poll = SimpleNamespace(poll=failing_poll)  # type: ignore[assignment]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    assert footing.spoilt() == Spoilt(LIMITS)
    footing.mend()


def failing_poll(timeout: int) -> None:
    raise OSError("more are asked for than the limit allows")


def test_a_limit_is_put_back_where_that_may_be(footing: Footing) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
    assert footing.spoilt() == Spoilt(LIMITS)
    footing.mend()
    assert footing.spoilt() is None
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_a_limit_that_cant_be_put_back_stays(
    footing: Footing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise ValueError("not allowed to raise maximum limit")

    limits = footing.limits
    footing.limits = [UNLIMITED] * len(limits)
    with monkeypatch.context() as patch:
        patch.setattr(resource, "getrlimit", lambda _: (1, 1))
        patch.setattr(resource, "setrlimit", refuse)
        footing.mend()
        assert footing.spoilt() == Spoilt(LIMITS)
    footing.limits = limits
    assert footing.spoilt() is None


#: The soft one and the hard one.
Limit = tuple[int, int]
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def change_limits(
    footing: Footing, monkeypatch: pytest.MonkeyPatch, before: Limit, now: Limit
) -> None:
    """All limits were the one, and are the other."""
    footing.limits = [before] * len(footing.limits)
    monkeypatch.setattr(resource, "getrlimit", lambda _: now)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ((5, 7), (6, 7)),
        ((5, 7), (5, 8)),
        ((5, 7), UNLIMITED),
        ((5, resource.RLIM_INFINITY), UNLIMITED),
    ],
)
def test_a_limit_that_is_raised_spoils_nothing_and_stays(
    footing: Footing, monkeypatch: pytest.MonkeyPatch, before: Limit, now: Limit
) -> None:
    """A worker that was started while the disk was full, say, must not go back to that."""
    change_limits(footing, monkeypatch, before, now)
    set_anew: list[Any] = []
    monkeypatch.setattr(resource, "setrlimit", lambda *values: set_anew.append(values))
    assert footing.spoilt() is None
    footing.mend()
    assert set_anew == []


@pytest.mark.parametrize(
    ("before", "now"), [((5, 7), (4, 7)), ((5, 7), (5, 6)), (UNLIMITED, (5, 5))]
)
def test_a_limit_that_is_lowered_in_either_part_is_seen(
    footing: Footing, monkeypatch: pytest.MonkeyPatch, before: Limit, now: Limit
) -> None:
    change_limits(footing, monkeypatch, before, now)
    assert footing.spoilt() == Spoilt(LIMITS)


def test_a_limit_below_its_copies_leaves_none(kept: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footing_module, "SPARE", resource.getrlimit(resource.RLIMIT_NOFILE)[1] + 1)
    assert Footing().spare == {}


# --- the database's files ----------------------------------------------------------------


@pytest.fixture
def with_file(
    footing: Footing, number: int, db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Footing:
    connection.ensure_connection()
    names = [str(tmp_path / "file"), str(tmp_path / "none")]
    monkeypatch.setattr(footing_module, "files", lambda: names)
    footing.begin()
    assert footing.database == {number: identity(number)}
    return footing


def test_they_are_known_of_each_connection(with_file: Footing) -> None:
    with_file.database.clear()
    with_file.begin()
    assert not with_file.database, "it is the same"
    with_file.driver = None
    with_file.begin()
    assert with_file.database


def test_that_they_are_closed_is_seen(with_file: Footing, number: int) -> None:
    os.close(number)
    spoilt = with_file.spoilt()
    assert spoilt is not None
    assert spoilt.database


def test_another_connections_may_be_closed(with_file: Footing, number: int, tmp_path: Path) -> None:
    another = os.open(tmp_path / "file", os.O_RDONLY)
    os.close(number)
    assert with_file.spoilt() is None
    assert list(with_file.database) == [another]
    os.close(another)


def test_a_connection_that_a_task_has_replaced_is_its_own(with_file: Footing, number: int) -> None:
    os.close(number)
    with_file.driver = object()
    assert with_file.spoilt() is None


def test_without_a_connection_there_are_none(with_file: Footing, monkeypatch: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(connections["default"], "connection", None)
        with_file.begin()
    assert with_file.database == {}


def test_a_database_without_files_has_none_open() -> None:
    assert opened([]) == {}


def test_the_engines_files_are_found(transactional_db: None) -> None:
    connection.ensure_connection()
    connection.cursor().execute("SELECT 1 FROM queue_job")
    assert len(set(opened(files()).values())) == len(files())
    assert len(files()) == (3 if connection.vendor == "sqlite" else 0)


# --- an attempt looks at it ----------------------------------------------------------------


class Told:
    """A footing that says so."""

    def __init__(self, spoilt: Spoilt | None) -> None:
        self.told = spoilt
        self.done: list[str] = []

    def begin(self) -> None:
        self.done.append("begin")

    def spoilt(self) -> Spoilt | None:
        return self.told

    def mend(self) -> None:
        self.done.append("mend")


def attempt_with(node: LocalNode, footing: Any) -> Attempt:
    async_task("tests.queue.functions.add", 1)
    task = node.claim_one()

    def claim_ahead() -> None:
        raise AssertionError("the next task is another worker's")

    slot = node.board.slots[0]
    return Attempt(task["ack_id"], task, slot, claim_ahead, footing=footing)


def test_a_worker_whose_process_is_spoilt_is_replaced_after_the_outcome(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    footing = Told(Spoilt("has spoilt something"))
    attempt = attempt_with(node, footing)
    assert attempt.run()
    assert attempt.spent
    assert footing.done == ["begin", "mend"]
    assert the_job().state == JobState.DONE
    assert "add(1) has spoilt something; its worker is replaced" in caplog.text


def test_without_the_database_it_ends_at_once(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    attempt = attempt_with(node, Told(Spoilt("has closed its files", database=True)))
    with pytest.raises(SystemExit, match=str(LOST_DATABASE)):
        attempt.clean()
    assert Job.objects.get().state == JobState.RUNNING


def test_nothing_spoilt_is_nothing_said(node: LocalNode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    attempt = attempt_with(node, Told(None))
    attempt.delivery.claim_ahead = None
    assert attempt.run()
    assert not attempt.spent
    assert not caplog.records
