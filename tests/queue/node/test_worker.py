from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signals import post_spawn
from django_q.tasks import async_task
from pytest_django import Settings

from compute.queue import kernel, progress, transitions
from compute.queue.engines import Lease
from compute.queue.models import Job, JobState
from compute.queue.node import worker as worker_module
from compute.queue.node.board import Board, Slot
from compute.queue.node.worker import Worker, obey, work
from tests.queue import functions
from tests.queue.conftest import LocalNode, expire_leases, failing, received, the_id, the_job
from tests.queue.node.test_attempt import start_another

ADD = "tests.queue.functions.add"
INTERRUPTED = "tests.queue.functions.interrupted"


def claimed(worker: Worker) -> tuple[Lease, str]:
    """What it claims, for there is something to do."""
    claim = worker.claim()
    assert claim
    return claim


def told(worker: Worker) -> list[dict[str, object]]:
    """What the worker has told the reporter of."""
    return worker.reports.collect(until=0, patience_s=0)


# --- a task ---------------------------------------------------------------------------


def test_a_worker_claims_the_oldest_task(worker: Worker) -> None:
    first = async_task(ADD, 1)
    async_task(ADD, 2)
    lease, _ = claimed(worker)
    job = Job.objects.get(pk=first)
    assert lease == Lease(the_id(job), 1, 1, 1, flow=job.flow_id or 0)
    assert (job.state, job.node_id, job.worker) == (JobState.RUNNING, worker.node, os.getpid())


def test_it_runs_it_as_django_q_would_and_tells_of_it(worker: Worker) -> None:
    task_id = async_task(ADD, 1, b=2)
    queue_id = the_id(the_job())
    assert worker.turn()
    assert the_job().result == 3
    (task,) = told(worker)
    assert (task["id"], task["args"], task["kwargs"]) == (task_id, (1,), {"b": 2})
    assert (task["result"], task["success"], task["cluster"]) == (3, True, "sumsite")
    assert task["ack_id"] == Lease(queue_id, 1, 1, 1, flow=the_job().flow_id or 0)


def test_it_answers_for_the_task_until_that_has_ended(worker: Worker) -> None:
    async_task(INTERRUPTED)
    queue_id, slot = the_job().queue_id, worker.slot
    functions.interruption.append(
        lambda: functions.ran.append((slot.held, slot.begun, slot.ended, slot.progress))
    )
    slot.progress = 0.9  # of the one before
    worker.turn()
    assert functions.ran == [None, (queue_id, 1, 0, 0)]
    assert (slot.ids(), slot.begun, slot.ended) == ([], 1, 1)


def test_what_the_function_says_of_its_progress_the_guard_can_read(worker: Worker) -> None:
    async_task(INTERRUPTED)
    functions.interruption.append(lambda: progress.report(0.25))
    worker.turn()
    assert worker.slot.progress == 0.25


def test_who_gets_a_task_rings_for_the_next_worker(worker: Worker) -> None:
    async_task(ADD, 1)
    worker.turn()
    assert worker.bell.receive(0) is None, "it is the only one"
    sibling = Slot()
    sibling.held = 7
    worker.board.slots.append(sibling)
    async_task(ADD, 1)
    worker.turn()
    assert worker.bell.receive(0) is None, "the next looks by itself when it has ended that"
    sibling.held = 0
    async_task(ADD, 1)
    worker.turn()
    assert worker.bell.receive(0) == b"!"


def test_an_idle_worker_waits_for_the_bell_and_looks_again(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "SLOW_POLL_S", 7)
    waits: list[float] = []
    monkeypatch.setattr(worker.bell, "wait", waits.append)
    assert worker.turn()
    assert waits == [7]
    async_task(ADD, 1)
    assert worker.turn()
    assert waits == [7]
    assert functions.ran == [(1, 0)]


def test_what_a_sibling_has_is_not_taken_over_when_a_clock_jumps(node: LocalNode) -> None:
    """The guard renews the lease of what runs, so one that has ended is a clock's doing."""
    board = Board(workers=2)
    two = [Worker(node.row.pk, board, place, node.bell, node.reports) for place in (0, 1)]
    async_task(ADD, 1)
    assert two[0].claim()
    expire_leases()
    assert two[1].claim() is None
    board.slots[0].clear()
    assert two[1].claim()


def test_a_package_that_cannot_be_read_fails_and_the_next_is_taken(worker: Worker) -> None:
    unreadable = async_task(ADD, 1)
    OrmQ.objects.update(payload="nonsense")
    async_task(ADD, 2)
    assert worker.turn()
    assert (worker.slot.held, worker.slot.begun, told(worker)) == (0, 0, [])
    assert worker.turn()
    assert functions.ran == [(2, 0)]
    job = Job.objects.get(pk=unreadable)
    assert job.state == JobState.FAILED
    assert job.error.startswith("the queued task can't be read: BadSignature")


def test_an_outcome_that_does_not_count_is_not_told_of(
    worker: Worker, other_node: LocalNode
) -> None:
    async_task(INTERRUPTED)
    functions.interruption.append(lambda: (Job.objects.all().give_back(), other_node.claim_one()))
    worker.turn()
    assert told(worker) == []
    assert worker.slot.ended == 1


# --- a database that is away ------------------------------------------------------------


def test_a_worker_waits_for_a_database_that_is_away(
    transactional_db: None,
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async_task(ADD, 1)
    pauses: list[float] = []
    monkeypatch.setattr(transitions, "claim", failing(2, transitions.claim))
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert [worker.turn() for _ in range(3)] == [True] * 3
    assert functions.ran == [(1, 0)]
    assert pauses == [worker_module.AWAY_S] * 2
    assert "the database is away: OperationalError: the server is gone" in caplog.text


@pytest.mark.parametrize("begun", [0, 1])
def test_a_worker_for_which_it_is_away_for_long_may_be_the_cause(
    transactional_db: None, worker: Worker, monkeypatch: pytest.MonkeyPatch, begun: int
) -> None:
    """A task that leaves files open until there may be no more: no connection can be made."""
    monkeypatch.setattr(worker_module, "AWAY_S", 0)
    monkeypatch.setattr(worker_module, "AWAY_TRIES", 2)
    monkeypatch.setattr(worker, "claim_next", failing(2, worker.claim_next))
    worker.begun = begun
    assert worker.turn()
    assert not worker.spent
    assert worker.turn()
    assert worker.spent is bool(begun)


def test_an_error_for_which_no_waiting_helps_ends_it(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = ProgrammingError("no such column")
    monkeypatch.setattr(transitions, "claim", failing(1, transitions.claim, odd))
    with pytest.raises(ProgrammingError):
        worker.turn()


@pytest.mark.thorough
def test_a_node_whose_row_is_gone_waits_for_its_next_sign_of_life(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    odd = IntegrityError("FOREIGN KEY constraint failed")
    monkeypatch.setattr(transitions, "claim", failing(1, transitions.claim, odd))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(worker.bell, "wait", lambda seconds: None)
    assert worker.turn()
    assert "FOREIGN KEY" in caplog.text


def test_a_task_whose_outcome_cannot_be_written_is_up_again_when_its_lease_ends(
    transactional_db: None,
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    pauses: list[float],
) -> None:
    async_task(ADD, 1)
    with monkeypatch.context() as patched:
        patched.setattr(transitions, "settle", failing(100, transitions.settle))
        assert worker.turn()
    assert len(pauses) == 9
    assert "a task is left as it is: OperationalError: the server is gone" in caplog.text
    assert (worker.slot.held, told(worker), the_job().state) == (0, [], JobState.RUNNING)
    assert worker.turn()
    assert functions.ran == [(1, 0)], "it is leased"
    expire_leases()
    assert worker.turn()
    assert functions.ran == [(1, 0)] * 2
    assert (the_job().state, the_job().attempt) == (JobState.DONE, 2)


# --- its end ------------------------------------------------------------------------------


def test_a_worker_that_is_to_stop_claims_nothing(worker: Worker) -> None:
    async_task(ADD, 1)
    worker.board.head.stopping = 1
    assert not worker.turn()
    assert the_job().delivery == 0


def test_after_its_share_of_tasks_it_ends(
    transactional_db: None, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conf, "RECYCLE", 2)
    for number in range(3):
        async_task(ADD, number)
    assert [worker.turn() for _ in range(3)] == [True, True, False]
    assert functions.ran == [(0, 0), (1, 0)]


def test_after_its_share_of_memory_it_ends(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    async_task(ADD, 1)
    async_task(ADD, 2)
    monkeypatch.setattr(Conf, "MAX_RSS", 2 * kernel.memory_kb())
    assert worker.turn()
    monkeypatch.setattr(Conf, "MAX_RSS", kernel.memory_kb())
    assert not worker.turn()
    assert functions.ran == [(1, 0)]


@pytest.mark.parametrize("none", [0, None])
def test_without_a_limit_it_goes_on(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, none: int | None
) -> None:
    monkeypatch.setattr(Conf, "RECYCLE", 0)
    monkeypatch.setattr(Conf, "MAX_RSS", none)
    async_task(ADD, 1)
    assert worker.turn()
    assert worker.turn()


def test_after_a_task_that_was_interrupted_it_ends(worker: Worker) -> None:
    async_task("tests.queue.functions.exceed_its_time", timeout=60)
    before = signal.getsignal(signal.SIGALRM)
    try:
        assert worker.turn()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert the_job().error_class == "TimeoutException"
    assert not worker.turn()


def test_a_worker_stands_back_when_it_starts_and_says_so(
    worker: Worker,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    steps: list[int] = []
    monkeypatch.setattr(os, "nice", steps.append)
    settings.Q_NICE = 7
    monkeypatch.setattr(Conf, "RECYCLE", 1)
    async_task(ADD, 1)
    with received(post_spawn) as spawned:
        worker.run()
    assert steps == [7]
    assert [each["proc_name"] for each in spawned] == [f"worker {os.getpid()}"]
    assert f"worker {os.getpid()} is ready" in caplog.text
    assert functions.ran == [(1, 0)]


def test_a_process_that_was_started_with_the_worker_is_none_of_its_tasks(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def start_a_helper(**kwargs: Any) -> None:
        started.append(start_another("sleep"))

    monkeypatch.setattr(os, "nice", lambda by: None)
    monkeypatch.setattr(worker, "turn", lambda: False)
    post_spawn.connect(start_a_helper)
    try:
        worker.run()
        assert set(started) <= worker.known
    finally:
        post_spawn.disconnect(start_a_helper)
        for pid in started:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_its_process_does_not_obey_signals_and_what_a_task_forks_does(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers: dict[int, Any] = {}
    forked: list[Any] = []
    adopted: list[bool] = []
    ran: list[Any] = []
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(
        os, "register_at_fork", lambda after_in_child: forked.append(after_in_child)
    )
    monkeypatch.setattr(kernel, "adopt", lambda: adopted.append(True))
    led: list[Any] = []
    monkeypatch.setattr(os, "setpgid", lambda *group: led.append(group))
    monkeypatch.setattr(Worker, "run", lambda self: ran.append((self.node, self.slot.group)))
    work("a node", node.board, 0, node.bell, node.reports)
    assert (led, ran) == ([(0, 0)], [("a node", os.getpid())]), "a group of its own"
    assert node.board.groups() == [0], "until it ends"
    assert adopted == [True]
    assert set(handlers) == {signal.SIGTERM, signal.SIGINT}
    assert [handler(15, None) for handler in handlers.values()] == [None, None]
    assert forked == [obey]
    obey()
    assert handlers == dict.fromkeys((signal.SIGTERM, signal.SIGINT), signal.SIG_DFL)
