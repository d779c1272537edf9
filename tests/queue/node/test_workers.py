"""The workers as their guard has them: the living, and those whose end is to be written down."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from django_q.models import Failure
from django_q.tasks import async_task

from compute.queue import kernel
from compute.queue.models import Job, JobState
from compute.queue.node.guard import Guard
from tests.queue.conftest import the_id
from tests.queue.node.conftest import Clock, Sent, process_of
from tests.queue.node.guarded import as_it_is, begin, claimed, running, take

ADD = "tests.queue.functions.add"

pytestmark = pytest.mark.usefixtures("stand_ins")


# --- a worker that dies ---------------------------------------------------------------


def test_a_worker_that_dies_is_replaced_and_its_task_runs_again(
    guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    job, worker = running(guard), guard.workers[0]
    process_of(worker).kill()
    pid = worker.pid
    guard.check()
    assert worker.is_alive()
    assert worker.pid != pid
    assert f"worker {pid} was killed by SIGKILL, starting another" in caplog.text
    assert as_it_is(job) == (JobState.QUEUED, 1)
    assert (worker.slot.ids(), guard.restarts, guard.dead) == ([], 1, [])


def test_the_third_worker_that_a_task_kills_is_its_last(guard: Guard) -> None:
    async_task(ADD, 1)
    for _ in range(3):
        job = begin(guard, take(guard))
        process_of(guard.workers[0]).exitcode = -11
        guard.check()
    job.refresh_from_db()
    assert (job.state, job.error_class) == (JobState.FAILED, "WorkerDied")
    assert "its worker was killed by SIGSEGV while running it, for the 3rd time" in job.error


def test_a_task_that_kills_who_reads_it_is_failed_unread(guard: Guard) -> None:
    async_task(ADD, 1)
    for _ in range(3):
        job = begin(guard, take(guard))
        guard.workers[0].slot.reading = 1
        process_of(guard.workers[0]).exitcode = -9
        guard.check()
    assert as_it_is(job) == (JobState.FAILED, 2)
    assert Failure.objects.get().args is None
    assert guard.workers[0].slot.reading == 0


def test_what_it_had_claimed_ahead_is_innocent(guard: Guard) -> None:
    ran, ahead = running(guard), claimed(guard)
    guard.workers[0].slot.have([the_id(ahead)])
    process_of(guard.workers[0]).kill()
    guard.check()
    assert as_it_is(ran) == (JobState.QUEUED, 1)
    assert as_it_is(ahead) == (JobState.QUEUED, 0)


def test_what_waits_behind_a_task_that_takes_long_is_put_up_for_others(guard: Guard) -> None:
    ran, ahead, slot = running(guard), claimed(guard), guard.workers[0].slot
    slot.have([the_id(ran), the_id(ahead)])
    assert guard.workers[0].is_stuck
    guard.check()
    assert as_it_is(ran) == (JobState.RUNNING, 0)
    assert as_it_is(ahead) == (JobState.QUEUED, 0)
    assert ahead.starts == 0, "it has not begun"
    assert guard.board.held() == [the_id(ran)]
    assert not guard.workers[0].is_stuck


def test_what_its_sibling_runs_goes_on(guard: Guard) -> None:
    ran, other = running(guard), running(guard, place=1)
    process_of(guard.workers[0]).kill()
    guard.check()
    assert as_it_is(ran) == (JobState.QUEUED, 1)
    assert as_it_is(other) == (JobState.RUNNING, 0)


def test_a_worker_that_has_had_its_share_is_replaced_quietly(
    guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    guard.workers[0].slot.begun = 5
    process_of(guard.workers[0]).exitcode = 0
    guard.look_at_children()
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "ended with exit code 0, starting another" in caplog.text
    assert guard.workers[0].is_alive()


def test_one_that_dies_at_once_again_and_again_is_not_started_all_the_time(
    guard: Guard, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    worker, lines = guard.workers[0], []
    for _ in range(3):
        process_of(worker).exitcode = 1
        guard.look_at_children()
        assert not worker.is_alive()
        clock.now = worker.due
        guard.look_at_children()
        assert worker.is_alive()
        lines.append(caplog.messages[-1].partition(", ")[2])
    assert lines == [f"starting another in {pause} s" for pause in (0.1, 0.2, 0.4)]
    worker.slot.begun += 1  # which is of use, and counts for this process alone
    process_of(worker).exitcode = 1
    guard.look_at_children()
    assert worker.is_alive()
    process_of(worker).exitcode = 1
    guard.look_at_children()
    assert not worker.is_alive()


def test_what_dead_workers_tasks_have_started_is_ended(
    guard: Guard, ended_below: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    guard.check()
    assert ended_below == []
    process_of(guard.workers[0]).kill()
    ended = guard.workers[0].pid
    guard.check()
    alive = [child.pid for child in guard.children if child is not guard.workers[0]]
    assert ended_below == [{"known": alive, "groups": [ended]}]
    assert "ended 1 process(es) that tasks had started" in caplog.text


# --- a worker that is ended -----------------------------------------------------------


def test_a_worker_whose_task_is_cancelled_is_ended(
    guard: Guard, sent: Sent, ended_below: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    job, other = running(guard), running(guard, place=1)
    Job.objects.filter(pk=job.pk).cancel("a person asked for it")
    process, pids = process_of(guard.workers[0]), [child.pid for child in guard.workers]
    guard.check()
    assert sent == [(pids[0], signal.SIGSTOP)]
    assert ended_below[0] == {"known": [], "root": pids[0]}, "before it, or nobody could find them"
    assert process.exitcode == -signal.SIGKILL
    record = next(each for each in caplog.records if "worker" in each.getMessage())
    assert record.levelname == "INFO"
    assert record.getMessage() == (
        f"worker {pids[0]} ran what has been cancelled, starting another"
    )
    assert as_it_is(job) == (JobState.CANCELLED, 0)
    assert as_it_is(other) == (JobState.RUNNING, 0)
    assert guard.workers[0].is_alive()
    assert guard.workers[1].pid == pids[1]


def on_stop(monkeypatch: pytest.MonkeyPatch, sent: Sent, meanwhile: Callable[[], None]) -> None:
    """Let something happen just before a process is stopped."""

    def kill(pid: int, number: int) -> None:
        if number == signal.SIGSTOP:
            meanwhile()
        sent.append((pid, number))

    monkeypatch.setattr(os, "kill", kill)


def test_a_worker_that_has_gone_on_to_another_task_meanwhile_is_not_ended(
    guard: Guard, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, worker = running(guard), guard.workers[0]
    Job.objects.filter(pk=job.pk).cancel("a person asked for it")
    on_stop(monkeypatch, sent, lambda: setattr(worker.slot, "held", worker.slot.held + 1))
    guard.check()
    assert sent == [(worker.pid, signal.SIGSTOP), (worker.pid, signal.SIGCONT)]
    assert worker.is_alive()
    assert guard.restarts == 0


@pytest.mark.parametrize("name", ["cancelled", "over"])
def test_a_worker_that_has_ended_meanwhile_is_not_stopped(
    guard: Guard, sent: Sent, name: str
) -> None:
    """Another may have its process id by now."""
    job, worker = running(guard), guard.workers[0]
    if name == "cancelled":
        Job.objects.filter(pk=job.pk).cancel("a person asked for it")
    else:
        worker.slot.deadline = 1
    process_of(worker).kill()
    guard.check()
    assert sent == []
    assert worker.is_alive()
    assert guard.restarts == 1


@pytest.mark.parametrize("role", ["worker", "reporter"])
def test_who_stays_frozen_is_ended(
    guard: Guard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, role: str
) -> None:
    job = running(guard)
    child = next(child for child in guard.children if child.role == role)
    pid, process = child.pid, process_of(child)
    monkeypatch.setattr(kernel, "stopped", lambda pids: {pid} & set(pids))
    guard.check()
    assert process.is_alive(), "a tracer may stop it for a moment"
    guard.check()
    assert process.exitcode == -signal.SIGKILL
    assert f"{role} {pid} was frozen, " in caplog.text
    # It was not the task's doing.
    assert as_it_is(job) == ((JobState.QUEUED if role == "worker" else JobState.RUNNING), 0)


def test_a_task_that_does_not_end_by_its_limit_fails_with_its_worker(
    guard: Guard, sent: Sent, ended_below: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    job, ahead, worker = running(guard), claimed(guard), guard.workers[0]
    worker.slot.have([the_id(ahead)])
    worker.slot.limit_s, worker.slot.deadline = 2.5, 1
    pid, process = worker.pid, process_of(worker)
    guard.check()
    assert sent == [(pid, signal.SIGSTOP)]
    assert ended_below[0] == {"known": [], "root": pid}
    assert process.exitcode == -signal.SIGKILL
    assert f"worker {pid} ran out of time, " in caplog.text
    job.refresh_from_db()
    assert (job.state, job.error_class) == (JobState.FAILED, "TimeoutException")
    assert job.error == "it ran for more than 2.5 seconds and had to be killed"
    assert Failure.objects.get().pk == job.pk
    assert as_it_is(ahead) == (JobState.QUEUED, 0)
    assert not worker.slot.is_over()


def test_a_task_that_has_ended_meanwhile_is_not_over(
    guard: Guard, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = guard.workers[0]
    running(guard)
    worker.slot.deadline = 1
    on_stop(monkeypatch, sent, lambda: setattr(worker.slot, "deadline", 0))
    guard.check()
    assert sent == [(worker.pid, signal.SIGSTOP), (worker.pid, signal.SIGCONT)]
    assert worker.is_alive()
