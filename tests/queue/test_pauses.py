"""What pauses a queue, or flows of a kind in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django_q.conf import Conf
from django_q.tasks import async_task

from compute.queue import pauses
from compute.queue.broker import sharing
from compute.queue.engines import engine
from compute.queue.models import Flow, Job, JobState
from compute.queue.sharing import Pause
from tests.queue.conftest import LocalNode

ADD = "tests.queue.functions.add"


def queue(kind: str, number: int = 1) -> Flow:
    """A flow of a kind, with something to do."""
    task = async_task(ADD, number, broker=sharing(kind=kind, key=f"{kind} {number}"))
    return Flow.objects.get(jobs__pk=task)


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether workers were woken since it was asked last."""
    calls: list[None] = []
    monkeypatch.setattr(type(engine()), "wake", lambda *_: calls.append(None))

    def woken() -> bool:
        found = bool(calls)
        calls.clear()
        return found

    return woken


def test_a_kind_that_is_paused_is_not_claimed_and_others_are(db: None, node: LocalNode) -> None:
    queue("red"), queue("blue")
    assert pauses.pause("red", by="ann")
    later = queue("red", 2)
    assert later.kind_paused
    assert [task["args"] for task in node.claim(5)] == [(1,)]
    assert Job.objects.filter(state=JobState.QUEUED, flow__kind="red").count() == 2
    (pause,) = pauses.pauses()
    assert (pause.queue, pause.kind, pause.by) == (Conf.CLUSTER_NAME, "red", "ann")
    assert pauses.resume("red")
    assert len(node.claim(5)) == 2
    assert not pauses.pauses().exists()


def test_pausing_and_resuming_twice_is_said(db: None) -> None:
    assert pauses.pause(by="x" * 200)
    assert not pauses.pause(by="another")
    assert Pause.objects.get().by == "x" * 150
    assert pauses.resume()
    assert not pauses.resume()


def test_the_whole_queue_is_paused_beside_its_kinds(db: None) -> None:
    red = queue("red")
    pauses.pause()
    pauses.pause("red")
    pauses.resume()
    red.refresh_from_db()
    assert red.kind_paused
    assert [pause.kind for pause in pauses.pauses()] == ["red"]


def test_another_queue_is_not_paused(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    red = queue("red")
    monkeypatch.setattr(Conf, "CLUSTER_NAME", "slow")
    pauses.pause("red")
    red.refresh_from_db()
    assert not red.kind_paused
    monkeypatch.undo()
    assert not pauses.pauses().exists()


def test_a_flow_that_a_transaction_has_kept_to_itself_is_set_right(
    db: None, woken: Callable[[], bool]
) -> None:
    red, other = queue("red"), queue("blue")
    pauses.pause("red")
    assert woken()
    Flow.objects.update(kind_paused=False)
    assert list(pauses.out_of_step()) == [red]
    pauses.set_right()
    red.refresh_from_db()
    assert red.kind_paused
    Pause.objects.all().delete()
    woken()
    assert list(pauses.out_of_step()) == [red]
    pauses.set_right()
    assert woken()
    assert not Flow.objects.filter(kind_paused=True).exists()
    with CaptureQueriesContext(connection) as queries:
        pauses.set_right()
    assert len(queries) == 1
    assert not woken(), "there was nothing to do"
    assert not other.kind_paused


def test_what_has_ended_or_is_of_no_kind_is_let_be(db: None) -> None:
    queue("")
    red = queue("red")
    pauses.pause("")
    Flow.objects.filter(pk=red.pk).update(closed_at=Now(), kind_paused=True)
    assert not pauses.out_of_step().exists()
