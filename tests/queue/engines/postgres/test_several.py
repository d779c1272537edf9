"""How the outcomes of several tasks are written on Postgres."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import Task
from django_q.tasks import async_task

from compute.queue import packages, transitions
from compute.queue.engines.values import Outcome
from compute.queue.records import columns_of


def claimed(count: int) -> list[Outcome]:
    """Outcomes of tasks that have just been claimed, without records."""
    for number in range(count):
        async_task("math.sqrt", number)
    found = transitions.claim("sumsite", count, None)
    return [
        Outcome(packages.read(package)["id"], lease, None, None, 0.0, 0.0)
        for lease, package in found
    ]


@pytest.mark.postgres
def test_what_others_have_locked_is_left(other: Any) -> None:
    """Who waits for a row while he holds another may be waited for himself."""
    theirs, ours = outcomes = claimed(2)
    other.execute("SELECT FROM queue_job WHERE task_id = %s FOR UPDATE", [theirs.task_id])
    assert transitions.settle_done(outcomes) == {ours.task_id}
    other.execute("ROLLBACK")
    assert transitions.settle_done(outcomes) == {theirs.task_id}


@pytest.mark.postgres
def test_it_is_one_statement_also_with_records_of_all_sorts(transactional_db: None) -> None:
    odd = 'quote " and \\ and \' and ü and {"a": 1} and %s and \n'
    moment = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    outcomes = claimed(3)
    for place, each in enumerate(outcomes[:2]):
        row = Task(
            id=each.task_id,
            name=odd,
            func="f",
            args=(odd, place),
            group=None if place else odd,
            started=moment,
            stopped=moment,
            success=True,
            result=[odd],
            attempt_count=1,
        )
        outcomes[place] = each._replace(record=columns_of(row))
    with CaptureQueriesContext(connection) as queries:
        assert len(transitions.settle_done(outcomes)) == 3
    assert len(queries) == 1
    first, second = Task.objects.order_by("group")
    for row in (first, second):
        assert (row.name, row.started, row.stopped, row.result) == (odd, moment, moment, [odd])
        assert (row.func, row.hook, row.success, row.attempt_count) == ("f", None, True, 1)
    assert (first.group, first.args, second.group, second.args) == (odd, (odd, 0), None, (odd, 1))
