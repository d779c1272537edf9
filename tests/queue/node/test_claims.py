"""What a worker asks the database for."""

from __future__ import annotations

from typing import Any

import pytest
from django_q.tasks import async_task

from compute.queue import transitions
from compute.queue.broker import sharing
from compute.queue.engines import Lease, engine
from compute.queue.fanout import async_iter
from compute.queue.models import Flow, Job
from compute.queue.node.board import Board
from compute.queue.node.claims import AGAIN_EACH, Claims
from tests.queue.conftest import LocalNode

ADD = "tests.queue.functions.add"


@pytest.fixture
def claims(node: LocalNode) -> Claims:
    return Claims(node.row.pk, Board(workers=1))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool]]:
    """Of each claim, whether it asks first for what has no turn, and what was interrupted."""
    asked: list[tuple[bool, bool]] = []
    claim = transitions.claim

    def noted(*args: Any, again_first: bool, interrupted: bool, **options: Any) -> Any:
        asked.append((again_first, interrupted))
        return claim(*args, again_first=again_first, interrupted=interrupted, **options)

    monkeypatch.setattr(transitions, "claim", noted)
    return asked


def test_the_first_and_then_one_of_several_asks_first_for_what_has_no_turn(
    claims: Claims, asked: list[tuple[bool, bool]]
) -> None:
    for _ in range(AGAIN_EACH + 1):
        claims.next()
    assert asked == [(True, True), *[(False, False)] * (AGAIN_EACH - 1), (True, False)]


def test_what_nobody_is_charged_for_yet_counts_where_several_share(claims: Claims) -> None:
    """Two flows, of which the one that had less has had the worker since."""
    ann, bob = (async_iter(ADD, range(3), broker=sharing(client)) for client in ("ann", "bob"))
    flows = {name: Flow.objects.get(key=name) for name in (ann, bob)}
    for flow, seconds in zip(flows.values(), (1, 0.1), strict=True):
        engine().charge("sumsite", flow.pk, seconds)
    claims.count = 1
    claims.board.slots[0].begin_for(flows[ann].pk)
    claims.board.slots[0].since -= 1

    def next_of() -> str:
        ((lease, _),) = claims.next()
        return Job.objects.get(queue_id=lease.queue_id).group

    claims.board.head.shared = False
    assert next_of() == ann
    claims.board.head.shared = True
    assert next_of() == bob


@pytest.mark.parametrize("at_once", [None, 2])
def test_what_the_guard_has_put_up_again_is_asked_for_until_there_is_no_more_of_it(
    claims: Claims, asked: list[tuple[bool, bool]], at_once: int | None
) -> None:
    claims.board.head.limited = at_once is not None
    for i in range(2):
        async_task(ADD, i, broker=sharing(at_once=at_once))
    interrupted = [claims.next()[0][0] for _ in range(2)]
    for i in range(4):
        async_task(ADD, i)
    Job.objects.filter(queue_id__in=[lease.queue_id for lease in interrupted]).give_back()
    asked.clear()
    found: list[Lease] = []
    claims.board.head.again += 1
    for _ in range(4):
        claims.count = 1  # none that asks in any case
        found += [lease for lease, _ in claims.next()]
    assert asked == [(True, True)] * 3 + [(False, False)]
    assert [lease.attempt for lease in found] == [2, 2, 1, 1]
