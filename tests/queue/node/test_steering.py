"""What a node's guard looks up, and what its workers make of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.conf import Conf
from django_q.tasks import async_task

from compute.queue import pauses
from compute.queue.broker import sharing
from compute.queue.models import Flow, Job, JobState, Node
from compute.queue.node import steering as steering_module
from compute.queue.node.sign import SIGN_S
from compute.queue.node.steering import Steering
from compute.queue.node.worker import Worker
from tests.queue import functions
from tests.queue.conftest import LocalNode, failing

ADD = "tests.queue.functions.add"
INTERRUPTED = "tests.queue.functions.interrupted"


def steered(node: LocalNode) -> tuple[bool, bool]:
    """Whether it drains, and is paused, as its board says after a look."""
    Steering(node.row.pk, node.board, node.bell).look()
    return bool(node.board.head.draining), bool(node.board.head.paused)


def rings(node: LocalNode) -> bool:
    return node.bell.receive(0) is not None


def test_a_node_drains_until_it_is_to_work_again(node: LocalNode, other_node: LocalNode) -> None:
    assert steered(node) == (False, False)
    Node.objects.named([node.row.pk]).drain()
    assert steered(node) == (True, False)
    assert steered(other_node) == (False, False)
    Node.objects.all().work_again()
    assert not rings(node)
    assert steered(node) == (False, False)
    assert rings(node), "its workers need not wait until they look by themselves"


def test_every_node_of_a_queue_is_paused_with_it(
    node: LocalNode, other_node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses.pause("a computation")
    assert steered(node) == (False, False)
    pauses.pause()
    assert steered(node) == steered(other_node) == (False, True)
    with monkeypatch.context() as patched:
        patched.setattr(Conf, "CLUSTER_NAME", "slow")
        assert steered(node) == (False, False)
    assert rings(node)
    node.row.draining = True
    node.row.save()
    assert steered(node) == (True, True)
    pauses.resume()
    assert steered(node) == (True, False)
    assert not rings(node), "it drains still"


def test_a_look_is_one_statement_and_sets_flows_right(node: LocalNode) -> None:
    async_task(ADD, 1, broker=sharing(kind="red", key="red"))
    pauses.pause("red")
    Flow.objects.update(kind_paused=False)
    with CaptureQueriesContext(connection) as queries:
        steered(node)
    assert len(queries) > 1
    assert Flow.objects.get().kind_paused
    with CaptureQueriesContext(connection) as queries:
        steered(node)
    assert len(queries) == 1


def test_a_node_without_a_row_goes_on_as_it_was(node: LocalNode) -> None:
    node.board.head.draining = 1
    Node.objects.all().delete()
    assert steered(node) == (True, False)


def test_a_guard_looks_once_a_second_and_at_once_when_the_database_is_back(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(steering_module, "time", clock)
    steering, head = Steering(node.row.pk, node.board, node.bell), node.board.head
    steering.turn()
    Node.objects.update(draining=True)
    clock.now += SIGN_S / 2
    steering.turn()
    assert not head.draining
    monkeypatch.setattr(Steering, "look", failing(1, Steering.look))
    clock.now += SIGN_S / 2
    steering.turn()
    assert "nobody steers this node: OperationalError: the server is gone" in caplog.text
    assert not head.draining
    steering.turn()
    assert head.draining


# --- what workers make of it ----------------------------------------------------------


@pytest.mark.parametrize("why", ["draining", "paused"])
def test_a_worker_of_a_node_that_claims_nothing_waits_for_the_bell(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(worker.bell, "wait", waits.append)
    async_task(ADD, 1)
    setattr(worker.board.head, why, 1)
    with CaptureQueriesContext(connection) as queries:
        assert worker.turn()
    assert (len(waits), len(queries)) == (1, 0), "the database is not even asked"
    assert functions.ran == []
    setattr(worker.board.head, why, 0)
    assert worker.turn()
    assert functions.ran == [(1, 0)]


@pytest.mark.parametrize("why", ["draining", "paused"])
def test_a_worker_that_is_to_claim_nothing_ends_what_it_has(worker: Worker, why: str) -> None:
    """Also what it has claimed ahead: it begins with that as soon as it has claimed it."""
    async_task(ADD, 1)
    async_task(ADD, 2)
    oldest = worker.claim_next()
    assert oldest
    worker.batch.add(oldest)
    setattr(worker.board.head, why, 1)
    assert worker.turn()
    assert functions.ran == [(1, 0)]
    assert not worker.batch.ahead
    assert list(Job.objects.order_by("queue_id").values_list("state", flat=True)) == [
        JobState.DONE,
        JobState.QUEUED,
    ]


def test_nothing_is_claimed_ahead_from_then_on(transactional_db: None, worker: Worker) -> None:
    async_task(INTERRUPTED)
    second = async_task(ADD, 2)
    functions.interruption.append(lambda: setattr(worker.board.head, "draining", 1))
    assert worker.turn()
    assert not worker.batch.ahead
    assert Job.objects.get(pk=second).state == JobState.QUEUED
