"""Many rows at once: what there is time for, and tasks for the rest."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import F
from django.utils import timezone
from django_q.models import Failure, OrmQ, Task
from django_q.tasks import async_task

from compute.queue import bulk, transitions
from compute.queue.bulk import Done, carry_out
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState
from compute.queue.signals import groups_changed
from tests.queue import functions
from tests.queue.conftest import LocalNode, received
from tests.queue.test_requeue import MANY, fail_all

pytestmark = pytest.mark.django_db


def count_them(keys: list[Any], by: str) -> int:
    functions.ran.extend(keys)
    return len(keys)


def test_what_there_is_time_for_is_done_at_once() -> None:
    assert carry_out("boss", (count_them, [[1, 2], [3]])) == Done(3)
    assert functions.ran == [1, 2, 3]
    assert not Job.objects.exists()
    assert carry_out("boss", (count_them, [])) == Done(0)


def test_the_rest_is_left_to_tasks(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PATIENCE_S", -1)
    with received(groups_changed) as sent:
        done = carry_out("boss", (count_them, [[1, 2], [3], [4, 5]]), (bulk.tell, [["group"]]))
    assert done == Done(2, left=3)
    assert done.told("task", "queued again") == (
        "2 tasks queued again. 3 more are left to tasks, which are queued now."
    )
    assert Done(1, left=1).told("task", "cancelled") == (
        "1 task cancelled. 1 more is left to a task, which is queued now."
    )
    assert sent == []
    assert Job.objects.filter(name__startswith="for boss").count() == 3
    with received(groups_changed) as sent:
        node.run()
    assert functions.ran == [1, 2, 3, 4, 5]
    assert {"group"} in [one["groups"] for one in sent]


# --- failures without a job -----------------------------------------------------------------


def failure(**fields: Any) -> Failure:
    now = timezone.now()
    given = {"func": "tests.queue.functions.add", "args": (1,), "kwargs": {"b": 2}, **fields}
    made: Failure = Failure.objects.create(
        id=f"{Failure.objects.count():032}",
        name="old",
        started=now,
        stopped=now,
        success=False,
        result="boom",
        **given,
    )
    return made


def test_what_has_no_job_becomes_a_new_task(node: LocalNode) -> None:
    keys = [failure(group="mine").pk, failure().pk]
    assert bulk.resubmit_all(keys, "boss") == Done(2)
    node.run()
    assert functions.ran == [(1, 2)] * 2
    assert not Failure.objects.exists()


def test_what_cannot_be_queued_stays_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    unreadable = failure(args="gAR9lC4=")
    too_long = failure(hook="x" * 256, group="g" * 100, func="y" * 256, cluster="c" * 100)
    Failure.objects.filter(pk=too_long.pk).update(kwargs={"task_name": 5})
    keys = [unreadable.pk, too_long.pk, failure().pk]
    assert bulk.resubmit_all(keys, "boss").changed == 1
    assert "old can't be queued again: TypeError: its arguments can't be read" in caplog.text
    assert set(Failure.objects.values_list("pk", flat=True)) == set(keys[:2])


def test_what_somebody_else_has_queued_meanwhile_is_not_queued_twice() -> None:
    mine = failure()
    Failure.objects.filter(pk=mine.pk).delete()
    assert not bulk.queue_in_its_place(mine)
    assert not OrmQ.objects.exists()


def test_a_database_that_is_away_is_no_fault_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(bulk, "async_task", away)
    with pytest.raises(OperationalError):
        bulk.resubmit([failure().pk], "boss")
    assert Failure.objects.exists()


# --- what waits -----------------------------------------------------------------------------


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy with other tests half a second may not be enough."""
    monkeypatch.setattr(bulk, "PATIENCE_S", 60)


@pytest.mark.thorough
@pytest.mark.usefixtures("patience")
def test_ten_thousand_lone_tasks_are_withdrawn_at_once() -> None:
    async_iter("math.sqrt", [-1] * MANY)
    Job.objects.update(group=F("task_id"), position=0)
    keys = list(OrmQ.objects.values_list("pk", flat=True))
    assert bulk.withdraw_all(keys, "boss") == Done(MANY)
    assert not OrmQ.objects.exists()


def test_what_is_to_be_withdrawn_later_is_not_started_before(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tasks that withdraw it stand behind it in the queue."""
    group = async_iter(functions.give, ["a", "b", "c"])
    keys = list(OrmQ.objects.values_list("pk", flat=True))
    for name, value in (("PATIENCE_S", -1), ("BATCH", 1)):
        monkeypatch.setattr(bulk, name, value)
    monkeypatch.setattr(transitions.batched, "__defaults__", (1,))
    with received(groups_changed) as sent:
        assert bulk.withdraw_all(keys, "boss") == Done(1, left=2)
        node.run()
    assert functions.ran == []
    assert set(Job.objects.in_group(group).values_list("state", flat=True)) == {"cancelled"}
    assert not OrmQ.objects.exists()
    assert {group} in [one["groups"] for one in sent]


def test_jobs_are_cancelled_and_those_who_show_them_told() -> None:
    groups = {async_iter(functions.give, ["a", "b"]), async_iter(functions.give, ["c"])}
    keys = list(Job.objects.values_list("pk", flat=True))
    with received(groups_changed) as sent:
        assert bulk.cancel_all(keys, "boss") == Done(3)
        assert bulk.cancel_all(keys, "boss") == Done(0)
    assert [one["groups"] for one in sent] == [groups]


# --- records --------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.usefixtures("patience")
def test_ten_thousand_failures_are_resubmitted_or_deleted_at_once() -> None:
    async_iter("math.sqrt", [-1] * MANY)
    fail_all()
    keys = list(Failure.objects.values_list("pk", flat=True))
    assert bulk.resubmit_all(keys, "boss") == Done(MANY)
    fail_all()
    assert bulk.delete_all(keys, "boss") == Done(MANY)
    assert not Task.objects.exists()
    assert Job.objects.counts()[JobState.FAILED] == MANY


def test_what_has_ended_well_is_queued_once_more(node: LocalNode) -> None:
    task_id = async_task(functions.add, 1, b=2)
    node.run()
    assert bulk.run_again_all([task_id], "boss") == Done(1)
    node.run()
    assert functions.ran == [(1, 2)] * 2
    assert Job.objects.count() == 2
