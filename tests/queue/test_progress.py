from __future__ import annotations

from multiprocessing.sharedctypes import RawValue

import pytest
from django_q.tasks import async_task

from compute.queue import progress
from compute.queue.models import Job
from tests.queue.conftest import the_job

ADD = "tests.queue.functions.add"


def test_outside_of_a_worker_nobody_listens(monkeypatch):
    monkeypatch.setattr(progress, "_fraction", None)
    progress.report(0.5)


def test_in_a_worker_the_sentinel_reads_it(monkeypatch):
    monkeypatch.setattr(progress, "_fraction", None)
    fraction = RawValue("d", 0.7)
    progress.report_to(fraction)
    assert fraction.value == 0
    progress.report(0.25)
    assert fraction.value == 0.25


@pytest.mark.parametrize(
    ("said", "noted"), [(0.5, 0.5), (2, 1), (-1, 0), (float("nan"), 0), (float("inf"), 1)]
)
def test_it_is_noted_from_0_to_1(node, said, noted):
    async_task(ADD, 1)
    task = node.claim_one()
    node.broker.note_progress(task["ack_id"].queue_id, said)
    assert the_job().progress == noted
    assert Job.objects.all().under_way() == noted


def test_another_nodes_task_is_not_touched(node, other_node):
    async_task(ADD, 1)
    task = node.claim_one()
    other_node.broker.note_progress(task["ack_id"].queue_id, 0.5)
    assert the_job().progress == 0


def test_a_new_delivery_begins_at_nothing(node, other_node):
    async_task(ADD, 1)
    task = node.claim_one()
    node.broker.note_progress(task["ack_id"].queue_id, 0.5)
    Job.objects.all().give_back()
    other_node.claim_one()
    assert the_job().progress == 0
