"""A node's signs of life, and what django-q2's own tools make of them."""

from __future__ import annotations

import os
import socket
import uuid
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.conf import Conf
from django_q.status import Stat

from compute.queue import kernel
from compute.queue.models import Node
from compute.queue.node import sign as sign_module
from compute.queue.node.board import Board
from compute.queue.node.sign import SIGN_S, Sign, node_name
from tests import recipes
from tests.conftest import without_database
from tests.queue.conftest import LocalNode

NODE = "0123456789abcdef" * 2
WORKERS = [11, 12, 13]

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The sign's own clock, which goes on when a test tells it to."""
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(sign_module, "time", clock)
    return clock


def a_sign(node: str = NODE, started_at: datetime | None = None) -> Sign:
    return Sign(node, os.getpid(), started_at or timezone.now())


def give(sign: Sign, status: str = Conf.IDLE, board: Board | None = None, restarts: int = 0) -> int:
    """In how many statements."""
    with CaptureQueriesContext(connection) as queries:
        sign.give(status, WORKERS, board or Board(len(WORKERS)), restarts)
    return len(queries)


def test_a_sign_of_life_writes_a_row() -> None:
    started_at = timezone.now() - timedelta(hours=1)
    board = Board(3)
    board.slots[0].ended, board.slots[2].ended = 4, 3
    give(a_sign(started_at=started_at), board=board, restarts=7)
    row = Node.objects.get()
    assert (row.pk, row.name) == (NODE, node_name(NODE))
    assert (row.host, row.pid, row.place) == (socket.gethostname(), os.getpid(), kernel.place())
    assert (row.workers, row.restarts, row.ended) == (3, 7, 7)
    assert (row.started_at, row.stopped_at) == (started_at, None)
    assert abs(row.seen_at - timezone.now()) < timedelta(seconds=60)


def test_signs_of_life_are_written_once_a_second(clock: SimpleNamespace) -> None:
    sign = a_sign()
    assert give(sign)
    seen = Node.objects.get().seen_at
    for _ in range(9):
        clock.now += SIGN_S / 10
        assert give(sign) == 0
    clock.now += SIGN_S / 5
    assert give(sign)
    assert Node.objects.get().seen_at >= seen


def test_a_new_status_is_written_at_once(clock: SimpleNamespace) -> None:
    sign = a_sign()
    statuses = []
    for status in (Conf.STARTING, Conf.IDLE, Conf.IDLE, Conf.STOPPING, Conf.STOPPED):
        give(sign, status)
        statuses += [str(stat.status) for stat in Stat.get_all()]
    assert statuses == ["Starting", "Idle", "Idle", "Stopping"]


def test_a_node_at_work_says_so(clock: SimpleNamespace) -> None:
    sign, board = a_sign(), Board(1)
    for held, status in ((7, "Working"), (0, "Idle")):
        board.slots[0].held = held
        give(sign, board=board)
        assert [str(stat.status) for stat in Stat.get_all()] == [status]
        clock.now += 2 * SIGN_S


@pytest.mark.parametrize("held", [0, 7])
def test_a_node_that_claims_nothing_says_why(clock: SimpleNamespace, held: int) -> None:
    sign, board = a_sign(), Board(1)
    board.slots[0].held = held
    for draining, paused, status in ((1, 0, "Draining"), (0, 1, "Paused"), (1, 1, "Draining")):
        board.head.draining, board.head.paused = draining, paused
        give(sign, board=board)
        assert [str(stat.status) for stat in Stat.get_all()] == [status]
        clock.now += 2 * SIGN_S


def test_a_busy_node_that_stops_is_stopping() -> None:
    board = Board(1)
    board.slots[0].held = 7
    give(a_sign(), Conf.STOPPING, board)
    assert [str(stat.status) for stat in Stat.get_all()] == ["Stopping"]


def test_a_stopped_node_is_not_alive() -> None:
    sign = a_sign()
    give(sign)
    assert [node.pk for node in Node.objects.alive()] == [NODE]
    give(sign, Conf.STOPPED)
    assert not Node.objects.alive().exists()
    assert Node.objects.get().stopped_at
    assert Stat.get_all() == []


def test_a_node_that_starts_again_is_alive_again() -> None:
    give(a_sign(), Conf.STOPPED)
    give(a_sign(), Conf.STARTING)
    assert [node.pk for node in Node.objects.alive()] == [NODE]


def test_a_silent_node_is_not_alive() -> None:
    give(a_sign())
    Node.objects.update(seen_at=Now() - Node.DEAD_AFTER)
    assert Stat.get_all() == []


def test_a_row_that_a_fixture_has_made_is_written_over(node: LocalNode) -> None:
    give(a_sign(node.row.pk))
    assert Node.objects.get().workers == 3


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_costs_a_sign_and_no_node(
    caplog: pytest.LogCaptureFixture, clock: SimpleNamespace
) -> None:
    sign = a_sign()
    with without_database():
        sign.give(Conf.IDLE, WORKERS, Board(3), 0)
    assert "no sign of life could be given: OperationalError" in caplog.text
    assert not Node.objects.exists()
    assert give(sign), "at once when it is back"


# --- django-q2's record of it -------------------------------------------------------------


def test_the_statistics_of_one_node() -> None:
    give(a_sign(), restarts=7)
    stat = Stat.get(pid=1, cluster_id=str(uuid.UUID(NODE)))
    assert (stat.reincarnations, str(stat.status), stat.workers) == (7, "Idle", WORKERS)
    assert (stat.pid, stat.cluster_id) == (os.getpid(), uuid.UUID(NODE))
    assert 0 <= stat.uptime() < 60


def test_a_node_that_is_unknown_has_stopped() -> None:
    stat = Stat.get(pid=1, cluster_id=str(uuid.uuid4()))
    assert str(stat.status) == "Stopped"


def test_the_statistics_of_all_nodes() -> None:
    nodes = {uuid.uuid4().hex for _ in range(2)}
    for node in nodes:
        give(a_sign(node))
    assert {stat.cluster_id.hex for stat in Stat.get_all()} == nodes


def test_a_statistic_signed_with_another_key_is_passed_over() -> None:
    recipes.node.make(stat="signed by somebody else")
    give(a_sign())
    assert [stat.cluster_id.hex for stat in Stat.get_all()] == [NODE]


# --- its name -----------------------------------------------------------------------------


def test_a_node_has_a_name_that_can_be_said() -> None:
    assert node_name(NODE).count("-") == 3
    assert node_name(NODE) != node_name(f"{NODE[:-1]}0")


def test_a_node_of_another_queue_has_its_name_beside_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = node_name(NODE)
    monkeypatch.setattr(Conf, "CLUSTER_NAME", "slow")
    assert node_name(NODE) == f"{usual} (slow)"
    monkeypatch.setattr(Conf, "CLUSTER_NAME", "s" * 100)
    assert len(node_name(NODE)) == 100
