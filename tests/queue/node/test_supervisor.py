from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django_q.conf import Conf
from django_q.tasks import async_task
from pytest_django import Settings

from compute.queue import kernel, schema, transitions
from compute.queue.models import Job, JobQuerySet, JobState
from compute.queue.node import supervisor as supervisor_module
from compute.queue.node.guard import guard
from compute.queue.node.processes import MARGIN_S, NO_ROOM_S
from compute.queue.node.supervisor import SILENCE_S, Supervisor, take_back
from compute.queue.node.sweeper import GROUP
from tests import recipes
from tests.queue.conftest import failing, the_job
from tests.queue.node.conftest import PIDS, Clock, Sent, StandIn, process_of

ADD = "tests.queue.functions.add"

pytestmark = pytest.mark.usefixtures("stand_ins")


@pytest.fixture
def supervisor(sent: Sent, clock: Clock) -> Iterator[Supervisor]:
    """None of its children are processes, and its time is the test's."""
    supervisor = Supervisor()
    yield supervisor
    supervisor.sweeper.let_go()
    os.close(supervisor.sweeper.outlet)


@pytest.fixture
def started(supervisor: Supervisor) -> StandIn:
    """The process of its guard."""
    supervisor.start()
    return process_of(supervisor.guard)


def minded(supervisor: Supervisor) -> list[int]:
    """The groups that the sweeper has been told to mind, so far."""
    os.set_blocking(supervisor.sweeper.outlet, False)
    groups: list[int] = []
    while True:
        try:
            groups += GROUP.unpack(os.read(supervisor.sweeper.outlet, GROUP.size))
        except BlockingIOError:
            return groups


# --- signals --------------------------------------------------------------------------


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
def test_only_a_second_ctrl_c_hurries(
    supervisor: Supervisor, signals: list[int], hurry: bool
) -> None:
    for number in signals:
        supervisor.on_signal(number, None)
    assert (supervisor.signals, supervisor.hurry) == (len(signals), hurry)


# --- its guard is watched ---------------------------------------------------------------


def test_it_starts_a_guard_and_a_sweeper_that_minds_its_group(
    supervisor: Supervisor, started: StandIn
) -> None:
    assert started.args[1:] == (guard, supervisor.node, supervisor.board, supervisor.suspects)
    assert supervisor.sweeper.is_alive()
    assert minded(supervisor) == [started.pid]


def test_it_watches_until_a_signal(supervisor: Supervisor, started: StandIn) -> None:
    started.meanwhile = lambda: supervisor.on_signal(signal.SIGTERM, None)
    assert supervisor.watch() == "stopped"


def test_a_guard_that_ends_is_noticed(supervisor: Supervisor, started: StandIn) -> None:
    started.meanwhile = started.kill
    assert supervisor.watch() == "ended"


def test_a_guard_that_stays_stopped_is_noticed(
    supervisor: Supervisor, started: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([{started.pid}, set(), {started.pid}, {started.pid}])
    monkeypatch.setattr(kernel, "stopped", lambda pids: next(looks))
    assert supervisor.watch() == "was frozen"
    assert next(looks, None) is None


def test_a_guard_that_gives_no_sign_of_life_is_noticed(
    supervisor: Supervisor, started: StandIn, clock: Clock
) -> None:
    beats, beaten = iter(range(50)), 0.0

    def meanwhile() -> None:
        nonlocal beaten
        if next(beats, None) is not None:
            supervisor.board.head.heartbeat += 1
            beaten = clock.now

    started.meanwhile = meanwhile
    assert supervisor.watch() == f"gave no sign of life for {SILENCE_S} s"
    assert SILENCE_S < clock.now - beaten < SILENCE_S + 1


def test_while_it_is_stopped_itself_it_can_hear_nothing(
    supervisor: Supervisor, started: StandIn, clock: Clock
) -> None:
    """A laptop that sleeps is no reason to end what runs."""
    steps = iter([1, 1000, 1, 1000, 1])

    def meanwhile() -> None:
        if (step := next(steps, None)) is None:
            supervisor.signals += 1
        clock.now += step or 0

    started.meanwhile = meanwhile
    assert supervisor.watch() == "stopped"


def test_changed_code_is_noticed(
    supervisor: Supervisor, started: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True])
    code = SimpleNamespace(has_changed=lambda: next(answers))
    monkeypatch.setattr(supervisor, "code", code)
    assert supervisor.watch() == "reload"


def test_code_is_watched_in_development_alone(
    clock: Clock, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(supervisor_module, "Code", lambda: made.append(True))
    for development in (False, True):
        settings.DEBUG = development
        sweeper = Supervisor().sweeper
        sweeper.let_go()
        os.close(sweeper.outlet)
    assert made == [True]


def test_a_sweeper_that_has_ended_is_replaced(
    supervisor: Supervisor, started: StandIn, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.look_at_sweeper()
    assert caplog.text == ""
    process_of(supervisor.sweeper).kill()
    pid = supervisor.sweeper.pid
    supervisor.look_at_sweeper()
    assert f"sweeper {pid} was killed by SIGKILL, starting another in 0.1 s" in caplog.text
    assert supervisor.sweeper.pid == 0
    clock.now += 1
    supervisor.look_at_sweeper()
    assert supervisor.sweeper.is_alive()
    assert minded(supervisor) == [started.pid] * 2
    assert len(caplog.records) == 1


# --- its guard is ended ------------------------------------------------------------------


@pytest.fixture
def held(supervisor: Supervisor, db: None) -> Job:
    """A job that the node has claimed."""
    recipes.node.make(pk=supervisor.node)
    async_task(ADD, 1)
    transitions.claim(Conf.CLUSTER_NAME, 1, supervisor.node)
    return the_job()


def test_a_dead_guards_processes_are_swept_and_its_tasks_taken_back(
    supervisor: Supervisor,
    started: StandIn,
    held: Job,
    sent: Sent,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    known: list[Any] = []
    monkeypatch.setattr(supervisor_module, "end_strangers", known.append)
    minded(supervisor)
    started.exitcode = -11
    supervisor.board.slots[0].group = 5
    supervisor.end("ended")
    assert sent == [(-started.pid, signal.SIGKILL), (-5, signal.SIGKILL)]
    assert known == [[supervisor.sweeper.pid]]
    assert minded(supervisor) == [0], "its group may be another's by and by"
    assert the_job().state == JobState.QUEUED
    assert "took back 1 task(s) of dead processes" in caplog.text
    assert f"guard {started.pid} was killed by SIGSEGV, starting another in 0.1 s" in caplog.text
    assert clock.now >= supervisor.guard.due > 0


def test_a_guard_whose_workers_have_begun_something_is_replaced_at_once(
    supervisor: Supervisor, started: StandIn, held: Job, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.board.slots[0].begun += 1
    started.kill()
    supervisor.end("ended")
    assert not supervisor.guard.pause_s
    assert supervisor.start()
    process_of(supervisor.guard).kill()
    supervisor.end("ended")
    assert supervisor.guard.pause_s, "this one's had begun nothing"


@pytest.mark.parametrize(
    ("why", "signals", "expected"), [("ended", 0, 1), ("ended", 1, 0), ("was frozen", 0, 0)]
)
def test_a_task_is_suspected_of_a_sudden_end_alone(
    supervisor: Supervisor,
    started: StandIn,
    held: Job,
    monkeypatch: pytest.MonkeyPatch,
    why: str,
    signals: int,
    expected: int,
) -> None:
    queue_id = held.queue_id or 0
    slot = supervisor.board.slots[0]
    slot.held, supervisor.signals = queue_id, signals
    slot.begin_for(1)
    supervisor.suspects.counts[queue_id] = 1
    started.kill()
    supervisor.end(why)
    assert supervisor.suspects.counts == {queue_id: 1 + expected}
    assert the_job().state == JobState.QUEUED
    assert bool(the_job().due_at) is bool(expected)


@pytest.mark.parametrize("why", ["was frozen", "gave no sign of life for 30 s"])
def test_a_guard_that_does_not_answer_is_killed(
    supervisor: Supervisor,
    started: StandIn,
    db: None,
    sent: Sent,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    why: str,
) -> None:
    clock.now += 60
    supervisor.end(why)
    assert not started.is_alive()
    assert (started.pid, signal.SIGTERM) not in sent
    assert f"guard {started.pid} {why}, starting another" in caplog.text


def test_a_group_that_is_gone_is_no_error(
    supervisor: Supervisor, started: StandIn, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "killpg", gone)
    started.kill()
    supervisor.end("ended")


@pytest.mark.parametrize("why", ["stopped", "reload"])
def test_a_guard_is_stopped_quietly(
    supervisor: Supervisor,
    started: StandIn,
    db: None,
    sent: Sent,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    why: str,
) -> None:
    supervisor.signals = int(why == "stopped")
    waits = iter(range(3))

    def meanwhile() -> None:
        if next(waits, None) is None:
            started.exitcode = 0

    started.meanwhile = meanwhile
    supervisor.end(why)
    assert sent == [(started.pid, signal.SIGTERM), (-started.pid, signal.SIGKILL)]
    assert started.exitcode == 0
    assert caplog.text == ""
    assert why == "stopped" or not supervisor.guard.pause_s, "it has not died"


def test_a_guard_that_takes_too_long_to_stop_is_killed(
    supervisor: Supervisor, started: StandIn, db: None, clock: Clock, settings: Settings
) -> None:
    settings.Q_GRACE = 10

    supervisor.signals = 1
    began = clock.now
    supervisor.end("stopped")
    assert started.exitcode == -signal.SIGKILL
    assert 10 + 3 * MARGIN_S <= clock.now - began < 10 + 3 * MARGIN_S + 1


@pytest.mark.parametrize("why", ["somebody hurries", "it is frozen", "it has ended"])
def test_what_is_not_waited_for_to_stop(
    supervisor: Supervisor, started: StandIn, sent: Sent, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "somebody hurries":
        started.meanwhile = lambda: setattr(supervisor, "hurry", True)
    elif why == "it is frozen":
        monkeypatch.setattr(kernel, "stopped", set)
    else:
        started.kill()
    supervisor.stop()
    assert sent == ([] if why == "it has ended" else [(started.pid, signal.SIGTERM)])


def test_while_the_database_is_away_nothing_is_taken_back(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(JobQuerySet, "give_back", failing(1, JobQuerySet.give_back))
    take_back(lambda: ["a node"])
    assert "nothing could be taken back, leases run out: OperationalError" in caplog.text


def test_who_is_dead_may_be_asked_of_a_database_that_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It has answered a moment ago, or there is no connection left for this node."""
    take_back(failing(1, list))
    assert "nothing could be taken back, leases run out: OperationalError" in caplog.text


# --- its life ------------------------------------------------------------------------------


class Elsewhere(Exception):
    """This process is now another program."""


class Life:
    """Runs a supervisor, with what comes of each guard; what it does besides."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.steps: list[Any] = []
        self.ends: list[Callable[[], str]] = []

    def __call__(self, *whys: Callable[[], str], once: bool = False) -> list[Any]:
        self.ends.extend(whys)
        self.supervisor.run(once=once)
        assert not self.ends
        return self.steps

    def step(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: self.steps.append(name)


@pytest.fixture
def life(
    supervisor: Supervisor,
    db: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Any:
    caplog.set_level("INFO")
    life = Life(supervisor)
    steps, step = life.steps, life.step

    def execv(path: str, command: list[str]) -> None:
        steps.append(command[1:])
        raise Elsewhere

    monkeypatch.setattr(signal, "signal", lambda number, handler: steps.append(number))
    monkeypatch.setattr(kernel, "adopt", step("adopt"))
    monkeypatch.setattr(kernel, "place", lambda: "here")
    monkeypatch.setattr(schema, "wait", step("the schema"))
    monkeypatch.setattr(supervisor_module, "in_node", step("in_node"))
    # The tests' own process goes on, so its garbage and connections are not touched.
    collector = SimpleNamespace(freeze=step("freeze"))
    monkeypatch.setattr(supervisor_module, "gc", collector)
    connections = SimpleNamespace(close_all=step("close"))
    monkeypatch.setattr(supervisor_module, "connections", connections)
    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(supervisor, "watch", lambda: life.ends.pop(0)())
    return life


BEFORE = [signal.SIGINT, signal.SIGTERM, "adopt", "in_node", "the schema", "freeze"]


def test_it_runs_until_a_signal(
    supervisor: Supervisor, life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    def a_signal() -> str:
        assert supervisor.guard.is_alive()
        supervisor.on_signal(signal.SIGTERM, None)
        process_of(supervisor.guard).exitcode = 0
        return "stopped"

    assert life(a_signal) == BEFORE
    assert (supervisor.guard.pid, supervisor.sweeper.is_alive()) == (0, False)
    assert supervisor.sweeper.inlet is None
    assert f"node {supervisor.node} with {Conf.WORKERS} worker(s)" in caplog.text
    assert caplog.messages[-1] == "stopped"


def test_a_guard_that_ends_is_followed_by_another(supervisor: Supervisor, life: Life) -> None:
    pids: list[int] = []

    def an_end() -> str:
        pids.append(supervisor.guard.pid)
        process_of(supervisor.guard).kill()
        supervisor.signals += len(pids) == 3
        return "ended"

    life(an_end, an_end, an_end)
    assert len(set(pids)) == 3


def test_where_there_is_no_room_for_a_guard_it_waits(
    supervisor: Supervisor, life: Life, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    tries: list[float] = []

    def start(process: StandIn) -> None:
        tries.append(clock.now)
        if len(tries) in (2, 3):
            raise BlockingIOError("Resource temporarily unavailable")
        process.pid = next(PIDS)

    def an_end() -> str:
        process_of(supervisor.guard).kill()
        supervisor.on_signal(signal.SIGTERM, None)
        return "ended"

    monkeypatch.setattr(StandIn, "start", start)  # of a sweeper, and then of a guard
    life(an_end)
    assert len(tries) == 4
    assert tries[3] - tries[1] >= 2 * NO_ROOM_S


def test_once_it_stops_the_first_guard_when_that_has_started(
    supervisor: Supervisor, life: Life, sent: Sent
) -> None:
    def watch() -> str:
        assert supervisor.signals, "watching ends at once"
        process = process_of(supervisor.guard)
        process.meanwhile = process.kill
        return "stopped"

    life(watch, once=True)
    assert sent[0][1] == signal.SIGTERM


def test_with_changed_code_it_becomes_another_program(
    supervisor: Supervisor, life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    def reload() -> str:
        process = process_of(supervisor.guard)
        process.meanwhile = process.kill
        return "reload"

    with pytest.raises(Elsewhere):
        life(reload)
    assert life.steps == [*BEFORE, "close", sys.orig_argv[1:]]
    assert not supervisor.sweeper.is_alive()
    assert "the code has changed, starting again with it" in caplog.text


def test_a_signal_while_it_reloads_ends_it(
    supervisor: Supervisor, life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    def reload() -> str:
        process_of(supervisor.guard).kill()
        supervisor.on_signal(signal.SIGTERM, None)
        return "reload"

    assert life(reload) == BEFORE
    assert caplog.messages[-1] == "stopped"


def test_what_nodes_have_left_behind_on_this_machine_is_taken_back(
    supervisor: Supervisor,
    life: Life,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nodes = {name: recipes.node.make(place=name, pid=5_000_000) for name in ("here", "elsewhere")}
    for node in nodes.values():
        async_task(ADD, 1)
        transitions.claim(Conf.CLUSTER_NAME, 1, node.pk)
    monkeypatch.setattr(supervisor_module, "is_alive", lambda pid: False)
    life(lambda: "stopped", once=True)
    assert "took back 1 task(s) of dead processes" in caplog.text
    states = dict(Job.objects.values_list("node__place", "state"))
    assert states == {None: JobState.QUEUED, "elsewhere": JobState.RUNNING}


def test_a_signal_while_it_waits_for_the_database_ends_it(
    supervisor: Supervisor,
    life: Life,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without a look at a database that may be away still."""

    def wait(stopped: Callable[[], bool]) -> None:
        assert not stopped()
        supervisor.on_signal(signal.SIGTERM, None)
        assert stopped()

    monkeypatch.setattr(schema, "wait", wait)
    monkeypatch.setattr(supervisor_module, "take_back", pytest.fail)
    life()
    assert supervisor.guard.pid == 0
    assert caplog.messages[-1] == "stopped"
