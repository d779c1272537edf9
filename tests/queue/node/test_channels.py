from __future__ import annotations

import pickle
import select
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compute.queue.node import channels
from compute.queue.node.channels import Bell, Mailbox, Reports
from tests.queue.functions import WriteOnly

pytestmark = pytest.mark.once

Make = Callable[[type[Mailbox]], Any]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes mailboxes, and closes them."""
    made: list[Mailbox] = []

    def make(kind: type[Mailbox]) -> Any:
        made.append(kind())
        return made[-1]

    yield make
    for mailbox in made:
        mailbox.close()


@pytest.fixture
def box(make: Make) -> Mailbox:
    box: Mailbox = make(Mailbox)
    return box


@pytest.fixture
def reports(make: Make) -> Reports:
    reports: Reports = make(Reports)
    return reports


# --- mailboxes -----------------------------------------------------------------------


def test_messages_arrive_whole_and_in_order(box: Mailbox) -> None:
    assert box.send(b"one")
    assert box.send(b"two" * 10_000)
    assert box.receive(1) == b"one"
    assert box.receive(1) == b"two" * 10_000


def test_an_empty_mailbox_is_none_after_the_timeout(box: Mailbox) -> None:
    assert box.receive(0.01) is None


def test_a_full_mailbox_refuses_and_does_not_block(box: Mailbox) -> None:
    while box.send(b"x" * 1000):
        pass
    assert box.receive(0) == b"x" * 1000
    assert box.send(b"x" * 1000)


def test_a_message_that_is_too_long_is_refused(box: Mailbox) -> None:
    assert not box.send(b"x" * 10_000_000)
    assert box.receive(0) is None


def test_a_message_that_another_process_was_quicker_to_read_is_none(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "select", lambda *_: ([box.outlet], [], []))
    assert box.receive(0) is None


# --- the bell ------------------------------------------------------------------------


def test_a_bell_wakes_who_waits(make: Make) -> None:
    bell = make(Bell)
    threading.Timer(0.05, bell.ring).start()
    began = time.monotonic()
    bell.wait(30)
    assert time.monotonic() - began < 15


def test_whoever_wakes_takes_all_rings(make: Make) -> None:
    bell = make(Bell)
    for _ in range(100):
        bell.ring()
    bell.wait(30)
    assert bell.receive(0) is None


# --- what the reporter is told -------------------------------------------------------


def collected(reports: Reports) -> list[dict[str, object]]:
    """What is there by now."""
    return reports.collect(until=0, patience_s=0)


def test_the_reporter_gets_what_a_worker_posted(reports: Reports) -> None:
    task = {"name": "a", "args": (1,), "kwargs": {}, "result": 2}
    reports.post(task)
    reports.post({**task, "name": "b"})
    assert collected(reports) == [task, {**task, "name": "b"}]


def test_the_reporter_gets_so_many_reports_at_once(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "BATCH", 2)
    for name in "abc":
        reports.post({"name": name})
    assert collected(reports) == [{"name": "a"}, {"name": "b"}]
    assert collected(reports) == [{"name": "c"}]


@pytest.mark.parametrize(
    "args",
    [("x" * 10_000_000,), (lambda: "no pickle",)],
    ids=["too large to send", "changed to what can't be pickled"],
)
def test_a_task_that_cannot_be_sent_goes_without_its_values(
    reports: Reports, args: tuple[Any, ...]
) -> None:
    reports.post({"name": "a", "args": args, "kwargs": {}, "result": "y"})
    assert collected(reports) == [{"name": "a", "args": (), "kwargs": {}, "result": None}]


def test_what_cannot_be_read_costs_no_other_report(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    """An argument to which the function has put what pickles, and does not unpickle."""
    reports.post({"name": "a"})
    reports.post({"name": "b", "args": ([WriteOnly()],)})
    reports.post({"name": "c"})
    assert collected(reports) == [{"name": "a"}, {"name": "c"}]
    assert "what was told of a task can't be read: ValueError: invalid literal" in caplog.text


def test_of_several_tasks_the_reporter_hears_at_once(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = [channels.packed({"name": name, "args": ("x" * 50,)}, 60) for name in "ab"]
    reports.post_all(packed)
    told: dict[str, object] = {"args": (), "kwargs": {}, "result": None}
    message = reports.receive(0)
    assert message is not None
    assert [pickle.loads(each) for each in channels.frames(message)] == [
        {"name": "a", **told},
        {"name": "b", **told},
    ]
    reports.post_all(packed)
    assert [each["name"] for each in collected(reports)] == ["a", "b"]


def test_several_that_are_too_long_together_come_one_by_one(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    reports.post_all([pickle.dumps({"name": name * 150_000}) for name in "ab"])
    assert [str(each["name"])[0] for each in collected(reports)] == ["a", "b"]
    assert caplog.text == ""


def test_of_several_it_is_said_how_many_nobody_hears_of(
    reports: Reports, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "SLOW_POLL_S", 0.01)
    while reports.send(b"x"):
        pass
    reports.post_all([channels.packed({"name": name}, 99) for name in "ab"])
    assert "the reporter does not listen; nobody is told of 2 task(s)" in caplog.text


def test_a_reporter_that_does_not_listen_holds_up_nobody_for_long(
    reports: Reports, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "SLOW_POLL_S", 0.01)
    while reports.send(b"x"):
        pass
    reports.post({"name": "a", "args": (), "kwargs": {}, "result": 1})
    assert "the reporter does not listen; nobody is told of a" in caplog.text


def test_a_worker_waits_until_there_is_room_for_what_it_tells(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "SLOW_POLL_S", 30)
    while reports.send(pickle.dumps("x")):
        pass
    read: list[bytes] = []

    def read_all() -> None:
        read.extend(iter(lambda: reports.receive(0), None))

    reader = threading.Timer(0.05, read_all)
    reader.start()
    began = time.monotonic()
    reports.post({"name": "late"})
    assert time.monotonic() - began < 15
    reader.join()
    read_all()
    (report,) = channels.frames(read[-1])
    assert pickle.loads(report) == {"name": "late"}


def test_the_reporter_waits_for_the_next_report(reports: Reports) -> None:
    assert reports.collect(until=0, patience_s=0.01) == []
    threading.Timer(0.05, reports.post, [{"name": "late"}]).start()
    assert reports.collect(until=0, patience_s=30) == [{"name": "late"}]


@pytest.mark.thorough
def test_reports_until_a_moment_are_taken_together(reports: Reports) -> None:
    reports.post({"name": "first"})
    threading.Timer(0.05, reports.post, [{"name": "second"}]).start()
    began = time.monotonic()
    taken = reports.collect(until=began + 0.3, patience_s=30)
    assert taken == [{"name": "first"}, {"name": "second"}]
    assert time.monotonic() >= began + 0.3


def test_a_reporter_can_be_woken_although_there_is_nothing_to_tell(reports: Reports) -> None:
    reports.post({"name": "a"})
    reports.wake()
    assert reports.collect(until=time.monotonic() + 30, patience_s=30) == [{"name": "a"}]
    reports.wake()
    assert reports.collect(until=time.monotonic() + 30, patience_s=30) == []
