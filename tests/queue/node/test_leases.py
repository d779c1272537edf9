"""What a node writes of its own tasks, and of no others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task
from pytest_django import Settings

from compute.queue.broker import sharing
from compute.queue.models import Job, JobState
from compute.queue.node.leases import cancelled, note_progress, renew
from compute.queue.sharing import Slot
from tests.queue.conftest import LocalNode, leases, the_job

ADD = "tests.queue.functions.add"


def ids(node: LocalNode, count: int) -> list[int]:
    """Of packages which the node claims now."""
    return [task["ack_id"].queue_id for task in node.claim(count)]


# --- leases -------------------------------------------------------------------------------


def test_a_node_renews_its_own_leases_alone(
    node: LocalNode, other_node: LocalNode, settings: Settings
) -> None:
    settings.Q_LEASE = 5
    for number in range(4):
        async_task(ADD, number)
    mine = ids(node, 2)
    other_node.claim_one()
    Job.objects.filter(queue_id=mine[1]).update(state=JobState.QUEUED)  # not yet begun
    settings.Q_LEASE = 100
    renew(node.row.pk, list(OrmQ.objects.values_list("pk", flat=True)))
    mine_running, mine_queued, the_others, nobodys = leases()
    assert 90 < mine_running <= 100
    assert 90 < mine_queued <= 100
    assert 0 < the_others <= 5
    assert nobodys <= 0


def test_the_lease_of_a_settled_job_is_not_renewed(node: LocalNode, settings: Settings) -> None:
    settings.Q_LEASE = 5
    async_task(ADD, 1)
    held = ids(node, 1)
    Job.objects.update(state=JobState.CANCELLED)
    settings.Q_LEASE = 100
    renew(node.row.pk, held)
    assert leases()[0] <= 5


def test_what_no_worker_runs_any_more_is_not_renewed(node: LocalNode, settings: Settings) -> None:
    settings.Q_LEASE = 5
    async_task(ADD, 1)
    node.claim_one()
    settings.Q_LEASE = 100
    renew(node.row.pk, [])
    assert leases()[0] <= 5


def limited(at_once: int) -> str:
    return str(async_task(ADD, 1, broker=sharing("somebody", at_once=at_once, pool="pool")))


def test_a_slot_is_renewed_with_its_lease(node: LocalNode, settings: Settings) -> None:
    settings.Q_LEASE = 5
    limited(2)
    held = ids(node, 1)
    settings.Q_LEASE = 100
    renew(node.row.pk, held)
    taken, free = Slot.objects.order_by("number")
    assert taken.until > timezone.now() + timedelta(seconds=90)
    assert free.until < timezone.now()
    assert 90 < leases()[0] <= 100
    assert OrmQ.objects.get(pk=taken.queue_id).lock == taken.until, "it ends with its lease"


def test_a_slot_that_is_free_again_is_not_renewed(node: LocalNode) -> None:
    """The task has ended after its node had looked what it has."""
    limited(1)
    held = ids(node, 1)
    the_job().fail("it has ended", "")
    renew(node.row.pk, held)
    assert Slot.objects.get().until < timezone.now()


def test_a_lease_that_has_lost_its_slot_is_not_renewed(
    node: LocalNode, other_node: LocalNode, settings: Settings
) -> None:
    """There would be one more than the limit: somebody else has taken the slot."""
    first, second = limited(1), limited(1)
    held = ids(node, 1)
    long_ago = timezone.now() - timedelta(hours=1)
    Slot.objects.update(until=long_ago)
    OrmQ.objects.filter(pk__in=held).update(lock=long_ago)
    other_node.claim_one()
    assert Job.objects.get(pk=second).state == JobState.RUNNING
    settings.Q_LEASE = 100
    renew(node.row.pk, held)
    assert OrmQ.objects.get(pk=Job.objects.get(pk=first).queue_id).lock == long_ago


# --- progress -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "noted"),
    [
        *((0.25, 0.25), (1, 1), (7, 1), (-1, 0)),
        *((1e-308, 0), (float("inf"), 1), (float("-inf"), 0), (float("nan"), 0)),
    ],
)
def test_progress_is_noted_from_nothing_to_all(node: LocalNode, told: float, noted: float) -> None:
    async_task(ADD, 1)
    (queue_id,) = ids(node, 1)
    note_progress(node.row.pk, queue_id, told)
    assert the_job().progress == noted


def test_progress_of_what_is_not_its_own_is_not_noted(
    node: LocalNode, other_node: LocalNode
) -> None:
    async_task(ADD, 1)
    (queue_id,) = ids(other_node, 1)
    note_progress(node.row.pk, queue_id, 0.5)
    assert the_job().progress == 0
    Job.objects.update(state=JobState.DONE)
    note_progress(other_node.row.pk, queue_id, 0.5)
    assert the_job().progress == 0


# --- what is cancelled --------------------------------------------------------------------


def test_a_node_is_told_which_of_its_own_tasks_have_been_cancelled(
    node: LocalNode, other_node: LocalNode
) -> None:
    tasks = [async_task("tests.queue.functions.give", number) for number in range(3)]
    mine, others = ids(node, 2), ids(other_node, 1)
    assert cancelled(node.row.pk, mine) == []
    Job.objects.filter(pk__in=[tasks[0], tasks[2]]).cancel("cancelled by boss")
    assert cancelled(node.row.pk, [*mine, *others]) == [mine[0]]
