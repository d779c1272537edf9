"""How a node stops: its workers may finish, and what they can't is given back."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from django_q.conf import Conf
from django_q.signing import SignedPackage
from pytest_django import Settings

from compute.queue import transitions
from compute.queue.models import Job, JobState, Node
from compute.queue.node.guard import Guard
from compute.queue.node.processes import MARGIN_S
from tests.conftest import without_database
from tests.queue.conftest import expire_leases, leases
from tests.queue.node.conftest import Clock, process_of
from tests.queue.node.guarded import as_it_is, running

pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def ends(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets something happen when the guard has waited so many seconds."""
    due: list[tuple[float, Callable[[], Any]]] = []
    sleep = clock.sleep

    def pass_by(seconds: float) -> None:
        sleep(seconds)
        for each in [each for each in due if each[0] <= clock.now]:
            due.remove(each)
            each[1]()

    monkeypatch.setattr(clock, "sleep", pass_by)
    return lambda seconds, what: due.append((clock.now + seconds, what))


def stopped(guard: Guard) -> Node:
    """Its row, after a stop whose every step is done."""
    guard.stop()
    assert not any(child.is_alive() for child in guard.children)
    assert (guard.board.head.stopping, guard.board.head.closing) == (1, 1)
    assert guard.bell.inlet.fileno() == guard.reports.inlet.fileno() == -1
    row = Node.objects.get(pk=guard.node)
    assert row.stopped_at is not None
    assert (row.workers, SignedPackage.loads(row.stat).status) == (0, Conf.STOPPED)
    return row


def test_workers_that_end_in_time_are_waited_for(
    guard: Guard, clock: Clock, settings: Settings, ends: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    settings.Q_GRACE = 10
    began, beats = clock.now, guard.board.head.heartbeat
    processes = [process_of(worker) for worker in guard.workers]
    job = running(guard)
    states = []

    def end() -> None:
        states.append(SignedPackage.loads(Node.objects.get(pk=guard.node).stat).status)
        guard.workers[0].slot.held = 0
        Job.objects.filter(pk=job.pk).update(state=JobState.DONE)
        for process in processes:
            process.exitcode = 0

    ends(3, end)
    stopped(guard)
    assert 3 <= clock.now - began < 3 + MARGIN_S + 0.1, "the reporter has not ended"
    assert guard.board.head.heartbeat > beats + 30
    assert states == [Conf.STOPPING]
    assert [process.exitcode for process in processes] == [0, 0]
    assert "stopping: running tasks have 10 s to finish" in caplog.text
    assert "gave back 0 task(s)" in caplog.text
    assert as_it_is(job) == (JobState.DONE, 0)


def test_idle_workers_are_woken_to_hear_of_it(guard: Guard, ends: Any) -> None:
    def end() -> None:
        assert guard.board.head.stopping
        assert guard.bell.receive(0) == b"!"
        for worker in guard.workers:
            process_of(worker).exitcode = 0

    ends(0.05, end)
    stopped(guard)


def test_what_takes_longer_than_its_grace_is_given_back(
    guard: Guard,
    clock: Clock,
    settings: Settings,
    ended_below: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    settings.Q_GRACE = 2 * settings.Q_LEASE
    process, job, helpers = process_of(guard.workers[0]), running(guard), guard.helpers
    pids = [helper.pid for helper in helpers]
    guard.workers[0].slot.group = process.pid  # the other has ended, and leads none any more
    ended = [process.pid]
    began = clock.now
    expire_leases()
    stopped(guard)
    assert guard.board.groups() == [0, 0], "whose ids may be anybody's by now"
    assert settings.Q_GRACE <= clock.now - began < settings.Q_GRACE + 5
    assert process.exitcode == -signal.SIGKILL
    assert as_it_is(job) == (JobState.QUEUED, 0)
    assert "gave back 1 task(s)" in caplog.text
    assert ended_below == [{"known": pids, "groups": ended}], "before the helpers end"


def test_leases_are_renewed_until_the_end(guard: Guard, settings: Settings, ends: Any) -> None:
    settings.Q_GRACE = 2 * settings.Q_LEASE
    running(guard)
    seen: list[float] = []
    ends(1.5 * settings.Q_LEASE, lambda: seen.extend(leases()))
    expire_leases()
    stopped(guard)
    assert seen[0] > settings.Q_LEASE / 2


def test_a_worker_that_dies_meanwhile_is_written_down(
    guard: Guard, ends: Any, caplog: pytest.LogCaptureFixture
) -> None:
    job = running(guard)
    worker, other = (process_of(worker) for worker in guard.workers)
    ends(0.1, worker.kill)
    ends(0.2, lambda: setattr(other, "exitcode", 0))
    stopped(guard)
    assert f"worker {worker.pid} was killed by SIGKILL" in caplog.text
    assert as_it_is(job) == (JobState.QUEUED, 1)


def test_the_reporter_may_tell_of_what_it_has_heard(
    guard: Guard, clock: Clock, settings: Settings
) -> None:
    settings.Q_GRACE = 0
    reporter, began = process_of(guard.reporter), clock.now

    def meanwhile() -> None:
        assert guard.board.head.closing
        assert guard.reports.receive(0) == b"", "it is woken"
        reporter.exitcode = 0

    reporter.meanwhile = meanwhile
    stopped(guard)
    assert reporter.exitcode == 0
    assert clock.now - began == MARGIN_S


@pytest.mark.thorough
def test_while_the_database_is_away_it_stops_all_the_same(
    transactional_db: None, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    job, dead = running(guard), running(guard, place=1)
    process_of(guard.workers[1]).kill()
    with without_database():
        guard.stop()
    assert not any(child.is_alive() for child in guard.children)
    assert "nothing could be given back, leases run out: OperationalError" in caplog.text
    assert as_it_is(job) == as_it_is(dead) == (JobState.RUNNING, 0)
    expire_leases()
    assert len(transitions.claim(Conf.CLUSTER_NAME, 2, None)) == 2
