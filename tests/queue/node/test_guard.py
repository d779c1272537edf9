from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from pytest_django import Settings

from compute.queue import kernel, pauses
from compute.queue.models import Job, JobQuerySet, JobState, Node
from compute.queue.node import guard as guard_module
from compute.queue.node import leases as leases_module
from compute.queue.node import shares as shares_module
from compute.queue.node.board import Board
from compute.queue.node.guard import SHORT_CYCLE_S, Guard
from compute.queue.node.processes import Child
from compute.queue.node.sign import SIGN_S
from compute.queue.node.steering import Steering
from compute.queue.node.suspects import Suspects
from tests.conftest import without_database
from tests.queue.conftest import expire_leases, failing, leases, the_id
from tests.queue.node.conftest import Clock, Sent, process_of
from tests.queue.node.guarded import as_it_is, claimed, running

pytestmark = pytest.mark.usefixtures("stand_ins")


# --- in each round ---------------------------------------------------------------------


def test_while_all_is_well_nothing_is_replaced(guard: Guard, sent: Sent) -> None:
    job, pids = running(guard), [child.pid for child in guard.children]
    for _ in range(3):
        guard.check()
    assert [child.pid for child in guard.children] == pids
    assert (guard.restarts, sent) == (0, [])
    assert as_it_is(job) == (JobState.RUNNING, 0)


def test_a_helper_that_dies_is_replaced(
    guard: Guard, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    pid = guard.reporter.pid
    process_of(guard.reporter).exitcode = 1
    guard.check()
    clock.now += 1
    guard.check()
    assert f"reporter {pid} ended with exit code 1, starting another in 0.1 s" in caplog.text
    assert guard.reporter.is_alive()
    assert guard.restarts == 1


# --- while the database is away ----------------------------------------------------------


def test_what_dead_workers_ran_is_written_down_when_the_database_is_back(
    transactional_db: None, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    dead, over = running(guard), running(guard, place=1)
    guard.workers[1].slot.limit_s, guard.workers[1].slot.deadline = 5, 1
    process_of(guard.workers[0]).kill()
    with without_database():
        for _ in range(2):
            guard.check()
        assert len(guard.dead) == 2
    assert all(worker.is_alive() for worker in guard.workers), "they wait for it, too"
    assert guard.restarts == 2
    assert caplog.text.count("the database is away: ") == 1, "not in each round"
    assert as_it_is(dead) == as_it_is(over) == (JobState.RUNNING, 0)
    guard.check()
    assert as_it_is(dead) == (JobState.QUEUED, 1)
    assert as_it_is(over) == (JobState.FAILED, 0)
    assert guard.dead == []


def test_what_cannot_be_written_down_keeps_no_other_from_it(
    guard: Guard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = running(guard), running(guard, place=1)
    for worker in guard.workers:
        process_of(worker).kill()
    bury = failing(1, JobQuerySet.bury, ValueError("a receiver of pre_enqueue is broken"))
    monkeypatch.setattr(JobQuerySet, "bury", bury)
    guard.check()
    assert guard.dead == []
    assert (as_it_is(first), as_it_is(second)) == ((JobState.RUNNING, 0), (JobState.QUEUED, 1))
    assert "can't be written down, its lease ends" in caplog.text


def test_what_can_be_written_of_several_dead_is_written_once(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = running(guard), running(guard, place=1)
    for worker in guard.workers:
        process_of(worker).kill()
    guard.look_at_children()
    give_back = JobQuerySet.give_back
    answers = iter([give_back, give_back, failing(1, give_back)])  # of the first, and no more
    monkeypatch.setattr(JobQuerySet, "give_back", lambda rows: next(answers)(rows))
    guard.bury()
    monkeypatch.setattr(JobQuerySet, "give_back", give_back)
    assert len(guard.dead) == 1
    assert guard.board.head.again == 1
    guard.bury()
    assert guard.board.head.again == 2, "the workers ask for them first"
    assert as_it_is(first) == (JobState.QUEUED, 1)
    assert second.pk in Job.objects.filter(state=JobState.QUEUED).values_list("pk", flat=True)


def test_a_connection_that_has_failed_is_not_used_again(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(guard_module, "close_old_connections", lambda: closed.append(True))
    guard.check()
    assert closed == [True]


def test_a_round_goes_on_and_shows_that_the_guard_is_at_work(
    transactional_db: None, guard: Guard, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    running(guard)
    guard.workers[0].slot.progress = 0.5
    clock.now += 1000
    beats = guard.board.head.heartbeat
    with without_database():
        guard.check()
    assert guard.board.head.heartbeat == beats + 8
    for trouble in (
        "nothing can be cancelled",
        "the leases can't be renewed",
        "nobody is charged",
        "progress can't be noted",
        "no sign of life could be given",
    ):
        assert f"{trouble}: OperationalError" in caplog.text


# --- what it writes down ------------------------------------------------------------------


def test_leases_of_what_is_at_work_are_renewed_in_time(
    guard: Guard, clock: Clock, settings: Settings
) -> None:
    ran, ahead = running(guard), claimed(guard)
    guard.workers[0].slot.have([the_id(ahead)])
    lost = claimed(guard, place=1)
    expire_leases()
    clock.now = guard.renewed + settings.Q_LEASE / 3 - 0.1
    guard.renew()
    assert max(leases()) <= 0
    clock.now += 0.2
    guard.renew()
    assert [lease > settings.Q_LEASE / 2 for lease in leases()] == [True, True, False]
    assert [job.queue_id for job in (ran, ahead, lost)] == sorted(
        OrmQ.objects.values_list("pk", flat=True)
    )
    expire_leases()
    guard.renew()
    assert max(leases()) <= 0, "it has just done so"


def test_leases_that_could_not_be_renewed_are_in_the_next_round(
    guard: Guard, clock: Clock, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(guard)
    expire_leases()
    monkeypatch.setattr(leases_module, "renew", failing(1, leases_module.renew))
    clock.now += settings.Q_LEASE
    guard.renew()
    assert max(leases()) <= 0
    guard.renew()
    assert max(leases()) > 0


def test_progress_is_noted_once_a_second_if_it_has_changed(
    guard: Guard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, writes = running(guard), []
    note = leases_module.note_progress

    def counted(*args: Any) -> None:
        writes.append(args)
        note(*args)

    monkeypatch.setattr(leases_module, "note_progress", counted)
    slot = guard.workers[0].slot

    def after(seconds: float, progress: float) -> float:
        clock.now += seconds
        slot.progress = progress
        guard.note_progress()
        job.refresh_from_db()
        return job.progress

    assert after(SIGN_S, 0) == 0
    assert after(SIGN_S, 0.25) == 0.25
    assert after(SIGN_S / 2, 0.5) == 0.25
    assert after(SIGN_S / 2, 0.5) == 0.5
    assert after(SIGN_S, 0.5) == 0.5
    assert writes == [(guard.node, job.queue_id, 0.25), (guard.node, job.queue_id, 0.5)]


def test_progress_that_could_not_be_noted_is_the_next_time(
    guard: Guard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = running(guard)
    guard.workers[0].slot.progress = 0.25
    note = failing(1, leases_module.note_progress)
    monkeypatch.setattr(leases_module, "note_progress", note)
    for noted in (0, 0.25):
        clock.now += SIGN_S
        guard.note_progress()
        job.refresh_from_db()
        assert job.progress == noted


@pytest.fixture
def row(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Node]:
    """Its sign of life, given now."""

    def row() -> Node:
        guard.sign.written = 0.0, ""
        guard.live()
        return Node.objects.get(pk=guard.node)

    return row


def test_its_sign_of_life_tells_who_is_there_and_what_they_do(
    guard: Guard, row: Callable[[], Node]
) -> None:
    stat = SignedPackage.loads(row().stat)
    assert stat.status == Conf.IDLE
    assert stat.sentinel == os.getpid()
    assert [stat.monitor, stat.pusher] == [child.pid for child in guard.helpers[:2]]
    assert stat.workers == [worker.pid for worker in guard.workers]
    guard.workers[0].process = None
    guard.restarts = 3
    running(guard, place=1)
    for ended, slot in enumerate(guard.board.slots, start=1):
        slot.ended = ended
    now = row()
    assert SignedPackage.loads(now.stat).status == Conf.WORKING
    assert (now.workers, now.restarts, now.ended, now.stopped_at) == (1, 3, 3, None)
    assert (now.pid, now.place) == (os.getppid(), kernel.place())


def test_it_begins_with_nothing_before_it_knows_what_an_operator_wants(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses.pause()
    monkeypatch.setattr(Steering, "look", failing(1, Steering.look))
    assert not guard.begin()
    assert guard.begin()
    assert guard.board.head.paused


def test_its_first_sign_of_life_makes_its_row(guard: Guard, row: Callable[[], Node]) -> None:
    before = Node.objects.get(pk=guard.node)
    Node.objects.all().delete()
    guard.restarts = 1
    assert row().restarts == 1
    guard.restarts = 2
    guard.live()
    assert Node.objects.get().restarts == 1, "the next is due in a second"
    guard.live(Conf.STOPPING)
    assert Node.objects.get().restarts == 2, "but what is new is told at once"
    assert Node.objects.get().pk == before.pk


# --- its life ------------------------------------------------------------------------------


def test_what_a_node_consists_of(guard: Guard) -> None:
    roles = [child.role for child in guard.children]
    assert roles == ["reporter", "listener", "scheduler", "worker", "worker"]
    assert [worker.args[2] for worker in guard.workers] == [0, 1]
    assert [worker.slot for worker in guard.workers] == guard.board.slots


def test_without_a_scheduler_if_that_is_asked_for(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conf, "SCHEDULER", False)
    guard = Guard("a" * 32, Board(workers=0))
    assert [child.role for child in guard.children][:1] == ["reporter"]
    assert "scheduler" not in [child.role for child in guard.children]
    guard.reports.close()
    guard.bell.close()


def test_a_guard_that_takes_over_finds_a_clear_board(db: None) -> None:
    board = Board(workers=1)
    board.slots[0].held, board.slots[0].begun, board.head.stopping = 7, 5, 1
    guard = Guard("a" * 32, board)
    assert (board.held(), board.head.stopping) == ([], 0)
    assert guard.workers[0].begun == 5
    guard.reports.close()
    guard.bell.close()


def test_it_starts_all_looks_again_and_again_and_stops_when_told(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    rounds: list[Any] = []

    def wait(sentinels: list[int], timeout: float) -> None:
        started[:] = sentinels
        rounds.append(timeout)
        if len(rounds) == 3:
            guard.on_signal(signal.SIGTERM, None)

    monkeypatch.setattr(shares_module, "wait", wait)
    beats = guard.board.head.heartbeat
    monkeypatch.setattr(guard, "stop", lambda: rounds.append("stopped"))
    guard.run()
    assert started == [child.pid for child in guard.children]
    assert rounds == [Conf.GUARD_CYCLE] * 3 + ["stopped"]
    assert guard.board.head.heartbeat == beats + 1 + 3 * 8


@pytest.mark.parametrize("ends", [True, False])
def test_it_does_not_spin_where_a_living_worker_looks_ended(
    guard: Guard, monkeypatch: pytest.MonkeyPatch, clock: Clock, ends: bool
) -> None:
    """A task has closed all files, as daemons do; what tells of its worker's end is one."""
    seen: list[float] = []

    def wait(sentinels: list[int], timeout: float) -> list[int]:
        seen.append(clock.now)
        if ends and len(seen) == 1:
            process_of(guard.workers[0]).kill()
        if len(seen) == 2:
            guard.on_signal(signal.SIGTERM, None)
        return sentinels[-1:]

    monkeypatch.setattr(shares_module, "wait", wait)
    monkeypatch.setattr(guard, "stop", lambda: None)
    guard.run()
    assert seen[1] - seen[0] == pytest.approx(0 if ends else SHORT_CYCLE_S)


def test_its_workers_claim_nothing_before_others_know_of_its_node(
    guard: Guard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's claims name the node's row: the first of them failed without it. The processes
    are there before, for they share what the guard has not yet written to."""
    steps: list[Any] = []
    answers = iter([False, True])

    def begin() -> bool:
        assert not guard.board.head.claims
        assert guard.bell.receive(0) is None
        return next(answers)

    monkeypatch.setattr(guard, "begin", begin)
    monkeypatch.setattr(clock, "sleep", steps.append)
    monkeypatch.setattr(Child, "start", lambda child: steps.append(child.role))
    monkeypatch.setattr(shares_module, "wait", lambda *args: guard.on_signal())
    monkeypatch.setattr(guard, "stop", lambda: steps.append("stop"))
    guard.run()
    roles = [child.role for child in guard.children]
    assert steps == [*roles, Conf.GUARD_CYCLE, "stop"]
    assert guard.board.head.claims
    assert guard.bell.receive(0), "a worker is woken"


def test_its_process_leads_a_group_and_obeys_sigterm(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Any] = []
    monkeypatch.setattr(os, "setpgid", lambda *group: steps.append(group))
    monkeypatch.setattr(kernel, "adopt", lambda: steps.append("adopt"))
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)

    def run(guard: Guard) -> None:
        handlers[signal.SIGTERM](signal.SIGTERM, None)
        steps.append((guard.node, guard.stopping))
        guard.reports.close()
        guard.bell.close()

    monkeypatch.setattr(Guard, "run", run)
    guard_module.guard("a" * 32, Board(workers=1), Suspects())
    assert steps == [(0, 0), "adopt", ("a" * 32, True)]
