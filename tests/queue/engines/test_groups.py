"""What is asked of a whole group, on whichever database the tests have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from compute.queue.engines import engine
from tests import recipes

pytestmark = pytest.mark.django_db


def test_groups_are_through_when_nothing_of_them_waits_or_runs() -> None:
    for position, state in enumerate(("done", "running")):
        recipes.job.make(task_id=f"a{position}", group="a", position=position, state=state)
    for position, state in enumerate(("done", "failed", "cancelled")):
        recipes.job.make(task_id=f"b{position}", group="b", position=position, state=state)
    for position, state in enumerate(("done", "queued")):
        recipes.job.make(task_id=f"c{position}", group="c", position=position, state=state)
    assert engine().through(["a0", "b0", "b1", "c0", "unknown"]) == {"b"}


def test_times_of_a_group_are_seconds() -> None:
    now = timezone.now()
    node = recipes.node.make()
    for position, seconds in enumerate((1.5, 2.5)):
        recipes.job.make(
            group="a",
            position=position,
            state="done",
            node=node,
            worker=7,
            started_at=now - timedelta(seconds=10),
            finished_at=now - timedelta(seconds=10 - seconds),
        )
    recipes.job.make(group="a", position=2, state="running", progress=0.25, started_at=now)
    assert engine().states("a") == "ddr"
    paces = {state: rest for state, *rest in engine().pace("a")}
    count, first, last, taken, current = paces["done"]
    assert (count, taken) == (2, pytest.approx(4, abs=0.01))
    assert last - first == pytest.approx(2.5, abs=0.01)
    assert current == pytest.approx(timezone.now().timestamp(), abs=60)
    ((progress, running_s),) = engine().running("a")
    assert (progress, running_s) == (0.25, pytest.approx(0, abs=60))
    ((group, jobs, ended, under_way, _, ended_s),) = engine().uses(["a", "unknown"])
    assert (group, jobs, ended, under_way) == ("a", 3, 2, 0.25)
    assert ended_s == pytest.approx(4, abs=0.01)
    spans = sorted(span[4:7] for span in engine().spans("a", 0))  # they started at the same time
    assert spans == [("done", 1, 0), ("done", 1, 1)]
    assert [span[4:7] for span in engine().spans("a", 60)] == [("done", 2, 0)]


def test_of_several_jobs_the_first_start_and_the_last_end_count() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)  # a multiple of a hundred seconds
    node = recipes.node.make()
    for position, (start_s, end_s) in enumerate(((20, 35), (10, 15), (12, 13))):
        recipes.job.make(
            group="a",
            position=position + 3,
            state="done",
            attempt=3 - position,
            node=node,
            worker=7,
            started_at=began + timedelta(seconds=start_s),
            finished_at=began + timedelta(seconds=end_s),
        )
    ((_, count, first, last, taken, _),) = engine().pace("a")
    times_s = [time - began.timestamp() for time in (first, last)]
    assert times_s == pytest.approx([10, 35], abs=0.01)
    assert (count, taken) == (3, pytest.approx(21, abs=0.01))
    ((_, _, begin, end, *rest),) = engine().spans("a", 100)
    times_s = [time - began.timestamp() for time in (begin, end)]
    assert times_s == pytest.approx([10, 35], abs=0.01)
    assert rest == ["done", 3, 3, 3], "state, how many, first position, highest attempt"


def test_each_worker_has_its_own_spans() -> None:
    """Nodes in containers have workers of the same process ids."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    first, second = recipes.node.make(), recipes.node.make()
    workers = [
        *((first.pk, 7, "done"), (first.pk, 8, "done"), (second.pk, 7, "done")),
        (second.pk, 7, "failed"),
    ]
    for position, (node, worker, state) in enumerate(workers):
        recipes.job.make(
            group="a",
            position=position,
            state=state,
            node_id=node,
            worker=worker,
            started_at=began + timedelta(seconds=position),
            finished_at=began + timedelta(seconds=9 - position),
        )
    spans = [(node, worker, state) for node, worker, _, _, state, *_ in engine().spans("a", 100)]
    assert spans == workers, "in the order of their starts"


def test_of_a_group_without_jobs_nothing_is_known() -> None:
    groups = engine()
    assert groups.states("unknown") == ""
    assert groups.pace("unknown") == groups.running("unknown") == []
    assert groups.spans("unknown", 0) == groups.spans("unknown", 60) == []
    assert groups.uses(["unknown"]) == []
    assert groups.through(["unknown"]) == set()


def test_states_come_in_the_order_of_the_group() -> None:
    for position, state in ((2, "failed"), (0, "queued"), (3, "cancelled"), (1, "done")):
        recipes.job.make(group="a", position=position, state=state)
    recipes.job.make(group="b", state="running")
    assert engine().states("a") == "qdfc"


def test_what_was_given_back_is_no_span_of_a_worker() -> None:
    now = timezone.now()
    node = recipes.node.make()
    for position, state in enumerate(("queued", "running")):
        recipes.job.make(
            group="a", position=position, state=state, node=node, worker=7, started_at=now
        )
    ((of_node, worker, begin, end, state, *_),) = engine().spans("a", 0)
    assert (of_node, worker, state) == (node.pk, 7, "running")
    assert end >= begin, "up to now"
