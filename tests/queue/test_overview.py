"""A group at a glance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from compute.queue import overview
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState, Node
from tests.conftest import About
from tests.queue import functions

pytestmark = pytest.mark.django_db


def group_of(*rows: dict[str, Any], now: datetime | None = None) -> str:
    """A group with a job for each of the rows, which say what to set; times in seconds ago."""
    now = now or timezone.now()
    group = async_iter(functions.give, range(len(rows)))
    for job, row in zip(Job.objects.in_group(group), rows, strict=True):
        fields = {
            name: now - timedelta(seconds=value) if name.endswith("_at") else value
            for name, value in row.items()
        }
        Job.objects.filter(pk=job.pk).update(**fields)
    return group


@pytest.fixture
def node() -> Node:
    now = timezone.now()
    return Node.objects.create(id="1" * 32, name="n", pid=1, started_at=now, seen_at=now)


def test_a_letter_stands_for_each_state(node: Node) -> None:
    group = group_of(*({"state": state} for state in JobState.values))
    assert overview.states(group) == "qrdfc"
    assert [overview.LETTERS[letter] for letter in "qrdfc"] == JobState.values
    assert overview.states("nothing") == ""


def test_a_group_of_nothing_is_done() -> None:
    pace = overview.pace("nothing")
    assert (pace.counts, pace.elapsed, pace.fraction) == ({}, None, 1.0)


def test_nothing_is_known_before_the_first_start() -> None:
    pace = overview.pace(group_of({}, {}))
    assert (pace.counts, pace.elapsed, pace.fraction) == ({"queued": 2}, None, 0)
    assert not pace.begun


def test_how_much_is_done_counts_what_is_under_way(about: About) -> None:
    done = {"state": "done", "started_at": 30, "finished_at": 20}
    group = group_of(done, done, {"state": "running", "started_at": 5}, {})
    pace = overview.pace(group)
    assert pace.work == pytest.approx(20, abs=0.01)
    assert 10 * pace.under_way == about(5)  # of the ten seconds that one takes
    assert pace.begun
    assert pace.fraction == (2 + pace.under_way) / 4
    assert pace.elapsed == about(30)


def test_what_a_job_reports_counts_more_than_a_guess() -> None:
    group = group_of(
        {"state": "done", "started_at": 30, "finished_at": 20},
        {"state": "running", "started_at": 5, "progress": 0.9},
    )
    assert overview.pace(group).under_way == 0.9


def test_no_guess_reaches_the_end() -> None:
    group = group_of(
        {"state": "done", "started_at": 30, "finished_at": 29},
        {"state": "running", "started_at": 29},
    )
    assert overview.pace(group).under_way == 0.99


def test_without_one_that_is_done_there_is_no_guess() -> None:
    pace = overview.pace(group_of({"state": "running", "started_at": 5}, {}))
    assert pace.under_way == 0


def test_a_settled_group_took_until_its_last_end() -> None:
    group = group_of(
        {"state": "done", "started_at": 50, "finished_at": 40},
        {"state": "failed", "started_at": 45, "finished_at": 30},
    )
    pace = overview.pace(group)
    assert pace.elapsed == pytest.approx(20, abs=0.01)
    assert pace.done == 1


def test_spans_tell_who_ran_what_and_when(node: Node) -> None:
    at = {"node": node, "worker": 7}
    group = group_of(
        {"state": "done", "started_at": 50, "finished_at": 40, **at},
        {"state": "failed", "started_at": 60, "finished_at": 55, "attempt": 2, **at},
        {"state": "queued", "started_at": 30, **at},
        {},
    )
    first, second = overview.spans(group)
    assert first[:2] == second[:2] == (node.pk, 7)
    assert (first.state, first.jobs, first.first, first.attempt) == ("failed", 1, 1, 2)
    assert second.start - first.start == pytest.approx(10, abs=0.01)
    assert second.end - second.start == pytest.approx(10, abs=0.01)


def test_what_runs_ends_now(node: Node, about: About) -> None:
    group = group_of({"state": "running", "node": node, "worker": 7, "started_at": 5})
    (span,) = overview.spans(group)
    assert span.end - span.start == about(5)


def test_with_a_grain_neighbours_are_one_span(node: Node) -> None:
    at = {"state": "done", "node": node, "worker": 7}
    rows = [{"started_at": ago, "finished_at": ago, **at} for ago in (1, 2, 3, 120)]
    now = datetime(2026, 1, 1, tzinfo=UTC)  # a multiple of a hundred seconds
    spans = overview.spans(group_of(*rows, now=now), 100)
    assert sorted(span.jobs for span in spans) == [1, 3]
    assert max(spans, key=lambda span: span.jobs).first == 0


def test_what_groups_have_used_takes_one_statement(
    node: Node, django_assert_num_queries: DjangoAssertNumQueries, about: About
) -> None:
    took = {"started_at": 30, "finished_at": 20}
    busy = group_of(
        {"state": "done", **took},
        {"state": "failed", **took},
        {"state": "cancelled", "finished_at": 20},
        {"state": "running", "started_at": 5, "progress": 0.25},
        {"state": "queued", "started_at": 50},  # given back: it has to begin anew
    )
    idle = group_of({}, {})
    group_of({"state": "done", **took})
    with django_assert_num_queries(1):
        found = overview.uses([busy, idle, "nothing"])
    assert set(found) == {busy, idle}
    use = found[busy]
    assert (use.jobs, use.ended, use.under_way) == (5, 3, 0.25)
    assert use.seconds == about(25)
    assert use.ended_seconds == pytest.approx(20, abs=0.01)
    assert use.fraction == 3.25 / 5
    assert found[idle] == overview.Use(2, 0, 0.0, 0.0)
    with django_assert_num_queries(0):
        assert overview.uses([]) == {}


def test_pauses_of_a_group_are_no_time_at_work(node: Node) -> None:
    def at(worker: int, start: float, end: float) -> dict[str, Any]:
        return {"state": "done", "node": node, "worker": worker} | {
            "started_at": start, "finished_at": end
        }  # fmt: skip

    group = group_of(at(1, 100, 90), at(2, 95, 85), at(1, 99, 98), at(1, 20, 10), {})
    assert overview.busy(overview.spans(group)) == pytest.approx(25, abs=0.01)
    assert overview.busy([]) == 0
