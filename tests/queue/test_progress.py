from __future__ import annotations

from typing import Any

import pytest
from django_q.tasks import async_task

from compute.queue import progress
from compute.queue.models import Job
from compute.queue.node import leases
from compute.queue.node.board import Board
from tests.queue.conftest import LocalNode, the_job

ADD = "tests.queue.functions.add"


def test_outside_of_a_worker_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_slot", None)
    progress.report(0.5)


def test_in_a_worker_its_guard_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_slot", None)
    slot = Board(workers=1).slots[0]
    slot.progress = 0.7
    progress.report_to(slot)
    assert slot.progress == 0
    progress.report(0.25)
    assert slot.progress == 0.25


@pytest.mark.parametrize(
    ("said", "noted"), [(0.5, 0.5), (2, 1), (-1, 0), (float("nan"), 0), (float("inf"), 1)]
)
def test_it_is_noted_from_0_to_1(node: LocalNode, said: Any, noted: float) -> None:
    async_task(ADD, 1)
    task = node.claim_one()
    leases.note_progress(node.row.pk, task["ack_id"].queue_id, said)
    assert the_job().progress == noted
    assert Job.objects.all().under_way() == noted


def test_another_nodes_task_is_not_touched(node: LocalNode, other_node: LocalNode) -> None:
    async_task(ADD, 1)
    task = node.claim_one()
    leases.note_progress(other_node.row.pk, task["ack_id"].queue_id, 0.5)
    assert the_job().progress == 0


def test_a_new_delivery_begins_at_nothing(node: LocalNode, other_node: LocalNode) -> None:
    async_task(ADD, 1)
    task = node.claim_one()
    leases.note_progress(node.row.pk, task["ack_id"].queue_id, 0.5)
    Job.objects.all().give_back()
    other_node.claim_one()
    assert the_job().progress == 0
