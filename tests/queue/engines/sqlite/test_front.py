"""The first few flows by indexes are those that sorting all would have first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from django.db import connection

from compute.queue.engines import sql
from compute.queue.engines.sqlite.claims import WAYS, WAYS_BY_NOW
from compute.queue.engines.sqlite.front import FEW
from compute.queue.engines.values import Way
from compute.queue.models import Flow, JobState
from compute.queue.sharing import Client
from tests.queue.engines.test_flows import QUEUE, charge, flow

pytestmark = [pytest.mark.sqlite, pytest.mark.django_db]


def found(statement: str, uncharged: dict[int, float], limit: int) -> list[tuple[Any, ...]]:
    values = {"queue": QUEUE, "limit": limit, "uncharged": json.dumps(uncharged)}
    return sql.fetch(statement, values)


def changes(chance: Random, flows: list[Flow]) -> Iterator[str]:
    """What happens to one flow or another, one after another."""
    for _ in range(25):
        each = Flow.objects.filter(pk=chance.choice(flows).pk)
        what = chance.choice(["charge", "charge", "charge", "pause", "empty", "limit", "weigh"])
        if what == "charge":
            charge(each.get(), chance.uniform(0.1, 8))
        elif what == "pause":
            each.update(paused=chance.random() < 0.5)
        elif what == "empty":
            each.get().jobs.update(state=chance.choice([JobState.DONE, JobState.QUEUED]))
        elif what == "limit":
            each.update(at_once=chance.choice([None, None, 3]))
        else:
            each.update(weight=chance.choice([0.25, 1, 4]))
        yield what


@pytest.mark.parametrize("seed", range(6))
def test_they_are_the_first_of_all(seed: int) -> None:
    chance = Random(seed)  # noqa: S311
    flows = [flow(f"client {chance.randrange(1 + seed)}", chance.randint(1, 3)) for _ in range(12)]
    seen = 0
    for what in changes(chance, flows):
        some = chance.sample(flows, chance.randrange(5))
        uncharged = {each.pk: chance.uniform(0.1, 4) for each in some}
        for ways in (WAYS, WAYS_BY_NOW):
            few, all_ = ways[Way.FAIR]
            assert found(few, uncharged, 1) == found(all_, uncharged, 1), (what, uncharged)
            first = [row[0] for row in found(few, uncharged, 50)]
            assert set(first) <= {row[0] for row in found(all_, uncharged, 50)}
            seen += bool(first)
    assert seen > 25


@pytest.mark.parametrize("known", [False, True])
def test_there_are_no_more_than_a_few_of_each_kind(known: bool) -> None:
    flows = [flow("ann", 1) for _ in range(3 * FEW)]
    if known:
        charge(flows[0], 1)
    (few, _), (few_by_now, _) = WAYS[Way.FAIR], WAYS_BY_NOW[Way.FAIR]
    assert len(found(few, {}, 50)) == FEW
    assert len(found(few_by_now, {}, 50)) == FEW
    found_by_now = found(few_by_now, {each.pk: 1.0 for each in flows}, 50)
    assert len(found_by_now) == FEW


def test_a_flow_that_is_not_seen_here_is_seen_by_who_looks_at_all() -> None:
    stranger = flow("ann", 1)
    charge(stranger, 1)
    Client.objects.all().delete()
    few, all_ = WAYS[Way.FAIR]
    assert found(few, {}, 1) == []
    assert len(found(all_, {}, 1)) == 1


@pytest.mark.parametrize("ways", [WAYS, WAYS_BY_NOW])
def test_no_index_but_those_in_the_order_of_turns_is_read(ways: dict[Way, list[str]]) -> None:
    """Only the few that are found, and what is not charged, are sorted."""
    values: Any = {"queue": QUEUE, "limit": 1, "uncharged": "{}"}
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {ways[Way.FAIR][0]}", values)
        plan = [row[3] for row in cursor.fetchall()]
    indexes = set(re.findall(r"USING (?:COVERING )?INDEX (\w+)", "\n".join(plan)))
    assert indexes <= {
        *("flow_new", "flow_turn", "client_turn", "job_waiting"),
        "sqlite_autoindex_queue_client_1",
    }
    sorts = [line for line in plan if "TEMP B-TREE FOR ORDER BY" in line]
    assert len(sorts) == 1, plan
