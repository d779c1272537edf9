"""How the outcomes of several tasks are written on SQLite."""

from __future__ import annotations

import pytest
from django.db import IntegrityError
from django.utils import timezone
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

from compute.queue import packages, transitions
from compute.queue.engines.values import Outcome
from compute.queue.models import Job, JobState
from compute.queue.records import columns_of


def claimed(count: int) -> list[Outcome]:
    """Outcomes of tasks that have just been claimed."""
    for number in range(count):
        async_task("math.sqrt", number)
    now, outcomes = timezone.now(), []
    for lease, package in transitions.claim("sumsite", count, None):
        task = packages.read(package)
        row = Task(id=task["id"], name="a", func="f", started=now, stopped=now, success=True)
        outcomes.append(Outcome(task["id"], lease, "1", columns_of(row), 0.0, 0.0))
    return outcomes


@pytest.mark.sqlite
def test_all_are_written_or_none(transactional_db: None) -> None:
    outcomes = claimed(3)
    broken = outcomes[2].record
    assert broken
    broken["started"] = None
    with pytest.raises(IntegrityError):
        transitions.settle_done(outcomes)
    assert not Task.objects.exists()
    assert OrmQ.objects.count() == 3
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.RUNNING}
    assert len(transitions.settle_done(outcomes[:2])) == 2
    assert Task.objects.count() == 2


@pytest.mark.sqlite
def test_what_is_done_within_the_write_stands_or_falls_with_it(transactional_db: None) -> None:
    outcomes = claimed(2)

    def fail() -> None:
        assert Task.objects.count() == 2
        raise IntegrityError("the next could not be claimed")

    with pytest.raises(IntegrityError):
        transitions.settle_done(outcomes, fail)
    assert not Task.objects.exists()


@pytest.mark.sqlite
def test_without_records_none_are_written(transactional_db: None) -> None:
    outcomes = [each._replace(record=None) for each in claimed(2)]
    assert len(transitions.settle_done(outcomes)) == 2
    assert not Task.objects.exists()
