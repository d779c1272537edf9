from __future__ import annotations

import os
import pickle
import threading
import time
from multiprocessing.sharedctypes import RawValue

import pytest
from django.db import OperationalError
from django_q.models import OrmQ
from django_q.tasks import async_task

from compute.queue import channels
from compute.queue.channels import STOP, Bell, Inbox, Mailbox, Outbox, Timer
from compute.queue.engines import Lease
from compute.queue.models import Job, JobState
from tests.queue.conftest import failing, the_job

ADD = "tests.queue.functions.add"


@pytest.fixture
def make():
    """Makes mailboxes, and closes them."""
    made = []

    def make(kind):
        made.append(kind())
        return made[-1]

    yield make
    for mailbox in made:
        mailbox.close()


@pytest.fixture
def box(make):
    return make(Mailbox)


@pytest.fixture
def outbox(make):
    return make(Outbox)


@pytest.fixture
def inbox(node, make):
    return Inbox(node.broker, make(Bell), RawValue("b", 0))


# --- mailboxes -----------------------------------------------------------------------


def test_messages_arrive_whole_and_in_order(box):
    assert box.send(b"one")
    assert box.send(b"two" * 10_000)
    assert box.receive(1) == b"one"
    assert box.receive(1) == b"two" * 10_000


def test_an_empty_mailbox_is_none_after_the_timeout(box):
    assert box.receive(0.01) is None


def test_a_full_mailbox_refuses_and_does_not_block(box):
    while box.send(b"x" * 1000):
        pass
    assert box.receive(0) == b"x" * 1000
    assert box.send(b"x" * 1000)


def test_a_message_that_another_process_was_quicker_to_read_is_none(box, monkeypatch):
    monkeypatch.setattr(channels.select, "select", lambda *_: ([box.outlet], [], []))
    assert box.receive(0) is None


def test_a_bell_wakes_who_waits(make):
    bell = make(Bell)
    threading.Timer(0.05, bell.ring).start()
    began = time.monotonic()
    bell.wait(30)
    assert time.monotonic() - began < 15


def test_whoever_wakes_takes_all_rings(make):
    bell = make(Bell)
    for _ in range(100):
        bell.ring()
    bell.wait(30)
    assert bell.receive(0) is None


# --- a worker's next task ------------------------------------------------------------


def test_a_worker_gets_the_oldest_task_as_django_q_would_give_it(inbox):
    first = async_task(ADD, 1)
    async_task(ADD, 2)
    task = inbox.get()
    assert (task["id"], task["args"], task["cluster"]) == (first, (1,), "sumsite")
    assert task["ack_id"] == Lease(Job.objects.get(pk=first).queue_id, delivery=1, attempt=1)


def test_what_a_worker_runs_is_held_until_it_asks_for_more(inbox):
    async_task(ADD, 1)
    task = inbox.get()
    assert inbox.held.value == task["ack_id"][0]
    inbox.stopping.value = 1
    assert inbox.get() == STOP
    assert inbox.held.value == 0


def test_who_gets_a_task_rings_for_the_next_worker(inbox):
    async_task(ADD, 1)
    inbox.get()
    assert inbox.bell.receive(0) == b"!"


def test_a_stopping_worker_claims_nothing(inbox):
    async_task(ADD, 1)
    inbox.stopping.value = 1
    assert inbox.get() == STOP
    assert the_job().delivery == 0


def test_an_idle_worker_waits_for_the_bell_and_looks_again(inbox, monkeypatch):
    waits = []

    def wait(timeout):
        waits.append(timeout)
        async_task(ADD, len(waits))

    monkeypatch.setattr(inbox.bell, "wait", wait)
    assert inbox.get()["args"] == (1,)
    assert waits == [channels.SLOW_POLL]


def test_a_package_that_cannot_be_read_fails_and_the_next_is_taken(inbox):
    async_task(ADD, 1)
    OrmQ.objects.update(payload="nonsense")
    readable = async_task(ADD, 2)
    assert inbox.get()["id"] == readable
    unreadable = Job.objects.exclude(pk=readable).get()
    assert unreadable.state == JobState.FAILED
    assert unreadable.error.startswith("the queued task can't be read: BadSignature")


def test_a_worker_waits_for_a_database_that_is_away(transactional_db, inbox, monkeypatch, caplog):
    task_id = async_task(ADD, 1)
    pauses = []
    monkeypatch.setattr(inbox.broker, "claim", failing(2, inbox.broker.claim, OperationalError()))
    monkeypatch.setattr(channels.time, "sleep", pauses.append)
    monkeypatch.setattr(inbox.bell, "wait", lambda _: None)
    assert inbox.get()["id"] == task_id
    assert len(pauses) == 2
    assert "the database is away" in caplog.text


# --- what a worker claims ahead --------------------------------------------------------


@pytest.fixture
def ahead(transactional_db, inbox, node):
    """Runs the worker's next task; whether it has claimed another in the same write."""

    def run(**changes):
        task = inbox.get()
        node.work({**task, **changes})
        claimed = [lease.queue_id for lease, _ in inbox.claimed]
        assert claimed == [inbox.ahead.value] * len(claimed)
        return bool(claimed)

    return run


@pytest.mark.sqlite
def test_what_settles_a_task_claims_the_next_in_the_same_write(ahead, inbox):
    first, second = async_task(ADD, 1), async_task(ADD, 2)
    assert ahead()
    assert Job.objects.get(pk=first).state == JobState.DONE
    assert (job := Job.objects.get(pk=second)).state == JobState.RUNNING
    assert (inbox.ahead.value, inbox.ended.value) == (job.queue_id, 0)
    assert not ahead()
    assert set(Job.objects.values_list("state", "attempt")) == {(JobState.DONE, 1)}
    assert (inbox.ahead.value, inbox.ended.value) == (0, 1)


@pytest.mark.postgres
def test_postgres_has_a_statement_for_each(ahead):
    async_task(ADD, 1)
    second = async_task(ADD, 2)
    assert not ahead()
    assert Job.objects.get(pk=second).state == JobState.QUEUED


@pytest.mark.parametrize(
    "options",
    [{"hook": "tests.queue.functions.hook"}, {"chain": [(ADD, (1,))]}],
    ids=["a_hook", "a_chain"],
)
def test_a_worker_that_has_more_to_do_for_a_task_claims_no_other(ahead, options):
    async_task(ADD, 1, **options)
    second = async_task(ADD, 2)
    assert not ahead()
    assert Job.objects.get(pk=second).state == JobState.QUEUED


def test_a_worker_that_may_be_ended_claims_no_other(ahead):
    async_task("math.sqrt", -1)
    second = async_task(ADD, 2)
    assert not ahead()
    assert Job.objects.get(pk=second).state == JobState.QUEUED


def test_a_worker_that_is_to_stop_claims_no_other(ahead, inbox, monkeypatch):
    async_task(ADD, 1)
    second = async_task(ADD, 2)
    monkeypatch.setattr(inbox.bell, "ring", lambda: setattr(inbox.stopping, "value", 1))
    assert not ahead()
    assert Job.objects.get(pk=second).state == JobState.QUEUED


@pytest.mark.sqlite
def test_what_was_claimed_in_a_write_that_failed_is_not_claimed(ahead, inbox, monkeypatch, pauses):
    async_task(ADD, 1)
    second = async_task(ADD, 2)
    claim, found = inbox.broker.claim, []

    def claim_and_fail(limit):
        found.append(claim(limit))
        if len(found) == 2:  # the one in the first try to settle
            raise OperationalError("database is locked")
        return found[-1]

    monkeypatch.setattr(inbox.broker, "claim", claim_and_fail)
    assert ahead()
    assert len(pauses) == 1
    assert [len(claimed) for claimed in found] == [1, 1, 1]
    assert Job.objects.get(pk=second).delivery == 1


@pytest.mark.sqlite
def test_what_was_claimed_ahead_and_cannot_be_read_is_given_up(ahead, inbox):
    async_task(ADD, 1)
    unreadable = async_task(ADD, 2)
    OrmQ.objects.filter(pk=Job.objects.get(pk=unreadable).queue_id).update(payload="nonsense")
    third = async_task(ADD, 3)
    assert ahead()
    assert inbox.get()["id"] == third
    assert Job.objects.get(pk=unreadable).state == JobState.FAILED
    assert (inbox.held.value, inbox.ahead.value) == (Job.objects.get(pk=third).queue_id, 0)


# --- what the monitor is told --------------------------------------------------------


def test_the_monitor_gets_what_a_worker_put(outbox):
    task = {"name": "a", "args": (1,), "kwargs": {}, "result": 2}
    outbox.put(task)
    outbox.put(STOP)
    assert outbox.get_all() == [task, STOP]


def test_the_monitor_gets_so_many_messages_at_once(outbox, monkeypatch):
    monkeypatch.setattr(channels, "BATCH", 2)
    for message in "abc":
        outbox.put(message)
    assert [outbox.get_all(), outbox.get_all()] == [["a", "b"], ["c"]]


def test_a_task_too_large_to_send_goes_without_its_values(outbox):
    outbox.put({"name": "a", "args": ("x" * 10_000_000,), "kwargs": {}, "result": "y"})
    assert outbox.get_all() == [{"name": "a", "args": (), "kwargs": {}, "result": None}]


def test_a_monitor_that_does_not_listen_holds_up_nobody_for_long(outbox, caplog, monkeypatch):
    monkeypatch.setattr(channels, "SLOW_POLL", 0.01)
    while outbox.send(b"x"):
        pass
    outbox.put({"name": "a", "args": (), "kwargs": {}, "result": 1})
    assert "nobody is told of a" in caplog.text


def test_a_worker_waits_until_there_is_room_for_what_it_tells(outbox):
    while outbox.send(pickle.dumps("x")):
        pass
    threading.Timer(0.05, outbox.receive, [0]).start()
    outbox.put("late")
    messages = list(iter(lambda: outbox.receive(0), None))
    assert pickle.loads(messages[-1]) == "late"


def test_the_monitor_waits_for_the_next_message(outbox, monkeypatch):
    monkeypatch.setattr(channels, "SLOW_POLL", 0.01)
    assert outbox.get_all() == []
    monkeypatch.setattr(channels, "SLOW_POLL", 10)
    threading.Timer(0.05, outbox.put, ["late"]).start()
    assert outbox.get_all() == ["late"]


def test_messages_until_a_moment_are_taken_together(outbox):
    outbox.put("first")
    threading.Timer(0.05, outbox.put, ["second"]).start()
    began = time.monotonic()
    assert outbox.get_all(until=began + 0.3) == ["first", "second"]
    assert time.monotonic() >= began + 0.3


def test_nothing_waits_in_a_node(outbox):
    assert outbox.qsize() == 0
    assert outbox.empty()


# --- time limits ---------------------------------------------------------------------


def a_workers(timer: Timer) -> Timer:
    timer.sentinel = os.getpid() + 1
    return timer


@pytest.mark.parametrize("state", [-1, -2, 0])
def test_a_timer_keeps_what_says_no_time(state):
    timer = a_workers(Timer())
    timer.value = state
    assert timer.value == state


def test_a_timer_counts_down_by_itself():
    timer = a_workers(Timer())
    timer.value = 100
    timer.value += 3  # as django-q2's worker does
    assert 102 < timer.value <= 103
    timer.value = 1e-9
    assert timer.value == 0


def test_only_the_worker_sets_its_timer():
    timer = Timer()
    with timer.get_lock():
        timer.value = 100
    assert timer.value == -1
