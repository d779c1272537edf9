"""What one task costs the database, which docs/scaling.md counts on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.status import Stat

from compute.queue.fanout import async_iter
from compute.queue.models import Job
from compute.queue.monitor import report
from tests import database, recipes
from tests.queue.conftest import LocalNode, sentinel

#: The statements of each step: on Postgres every one is a commit of its own but where a
#: transaction says BEGIN; on SQLite a write of several has BEGIN and COMMIT around it.
STATEMENTS = {
    "postgres": {"claim": 1, "outcome": 1, "telling": 1, "nothing to claim": 1, "sign of life": 4},
    "sqlite": {"claim": 6, "outcome": 5, "telling": 1, "nothing to claim": 1, "sign of life": 4},
}


def statements(step: Callable[[], Any]) -> tuple[int, Any]:
    with CaptureQueriesContext(connection) as captured:
        result = step()
    return len(captured), result


def test_statements_of_a_task(transactional_db: None) -> None:
    node = LocalNode(recipes.node.make())
    async_iter("tests.queue.functions.give", [1, 2, 3])
    counted = {}
    for _ in range(2):
        counted["claim"], task = statements(node.claim_one)
        counted["outcome"], ended = statements(lambda task=task: node.work(task))
        counted["telling"], _ = statements(lambda ended=ended: report([ended], node.broker))
    node.run()
    counted["nothing to claim"], _ = statements(node.claim)
    broker = node.broker
    statements(Stat(sentinel(node)).save)
    broker._written = (0.0, "")
    counted["sign of life"], _ = statements(Stat(sentinel(node)).save)
    assert counted == STATEMENTS[database.ENGINE]
    assert set(Job.objects.values_list("state", flat=True)) == {Job.State.DONE}


@pytest.mark.parametrize("count", [1, 1_000])
def test_statements_of_a_fan_out_do_not_grow_with_it_on_postgres(
    transactional_db: None, count: int
) -> None:
    queued, _ = statements(lambda: async_iter("tests.queue.functions.give", list(range(count))))
    if database.ENGINE == "postgres":
        assert queued == 5  # BEGIN, two INSERTs, NOTIFY, COMMIT
    else:
        assert queued <= 4 + count / 10
