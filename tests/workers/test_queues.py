"""Queues beside the default one, each with nodes of its own."""

from __future__ import annotations

import signal

import pytest
from django_q.tasks import async_task

from compute.queue.fanout import async_iter
from compute.queue.models import Job, Node
from tests.processes import Processes, wait_until
from tests.workers.test_node import wait_for_state


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_node_of_a_name_takes_what_was_queued_under_it(processes: Processes, by: str) -> None:
    if by == "argument":
        slow = processes.manage("qcluster", "--name", "slow")
    else:
        slow = processes.manage("qcluster", Q_CLUSTER_NAME="slow")
    slow.wait_for_output("Q Cluster .* running")
    usual = processes.node()
    wait_until(lambda: Node.objects.count() > 1)
    names = {node.pid: node.name for node in Node.objects.all()}
    assert names[slow.pid].endswith(" (slow)")
    assert "(" not in names[usual.pid]
    task_id = async_task("math.factorial", 5, cluster="slow")
    group = async_iter("math.factorial", [3, 4], cluster="slow")
    other = async_task("math.factorial", 6)
    for pk in (task_id, *Job.objects.in_group(group).values_list("pk", flat=True), other):
        wait_for_state(pk, Job.State.DONE)
    nodes = dict(Job.objects.values_list("pk", "node__pid"))
    assert nodes.pop(other) == usual.pid
    assert set(nodes.values()) == {slow.pid}
    assert slow.stop(signal.SIGTERM) == 0
    late = async_task("math.factorial", 7, cluster="slow")
    wait_for_state(async_task("math.factorial", 8), Job.State.DONE)
    assert Job.objects.get(pk=late).state == Job.State.QUEUED
