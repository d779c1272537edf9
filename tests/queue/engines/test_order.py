"""Whose turn it is with what a node has not written down, on whichever database the tests have."""

from __future__ import annotations

import pytest
from django.db import transaction

from compute.queue import transitions
from compute.queue.models import Flow
from tests.queue.engines.test_flows import QUEUE, charge, flow

pytestmark = pytest.mark.django_db


def by_now(uncharged: dict[Flow, float]) -> Flow:
    """Whose turn it is for a node with so much that it has not written down."""
    seconds = {0: 9.0, 1_000_000: 9.0}  # of what had no flow, and of one that is gone
    seconds |= {flow.pk: spent for flow, spent in uncharged.items()}
    found = []
    for limited in (False, True):
        with transaction.atomic():
            ((lease, _),) = transitions.claim(
                QUEUE, 1, None, again_first=False, limited=limited, uncharged=seconds
            )
            found.append(Flow.objects.get(jobs__queue_id=lease.queue_id))
            transaction.set_rollback(True)
    assert found[0] == found[1]
    return found[0]


def test_what_is_not_charged_yet_counts_for_the_flow_and_its_client() -> None:
    anns, bob = [flow("ann"), flow("ann")], flow("bob")
    for each, seconds in ((anns[0], 1), (bob, 0.4), (anns[1], 0.2)):
        charge(each, seconds)  # ann 1.2; bob, who begins with as much as she had then, 1.4
    assert by_now({}) == anns[0]
    assert by_now({anns[0]: 0.1}) == anns[0]
    assert by_now({anns[0]: 0.19, anns[1]: 0.005}) == anns[0]
    assert by_now({anns[0]: 0.3}) == bob
    assert by_now({anns[0]: 0.3, bob: 0.2}) == anns[1]


def test_what_is_not_charged_yet_counts_by_priority() -> None:
    urgent, normal = flow("ann", priority="urgent"), flow("bob")
    charge(urgent, 4)
    charge(normal, 0.5)
    assert by_now({urgent: 1.9}) == urgent
    assert by_now({urgent: 2.1}) == normal


@pytest.mark.parametrize("client", ["ann", "bob"])
def test_a_newcomer_that_is_not_charged_yet_is_as_the_least_of_the_others(client: str) -> None:
    old = flow("ann")
    charge(old, 1000)
    new = flow(client)
    assert by_now({}) == new
    assert by_now({old: 0.1}) == new
    assert by_now({new: 0.1}) == old
    assert by_now({old: 0.2, new: 0.1}) == new


def test_a_first_run_of_all_is_claimed_although_nothing_is_known() -> None:
    one, two = flow("ann"), flow("bob")
    assert by_now({one: 0.1}) == two
    assert by_now({one: 0.1, two: 0.2}) == one
