from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection
from django.test import Client
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import Failure, OrmQ, Schedule
from django_q.tasks import schedule

from compute.queue import kernel
from compute.queue.models import Job
from compute.queue.node import scheduler
from compute.queue.node.scheduler import LOOK_S, queue_due
from tests.conftest import without_database
from tests.queue.conftest import LocalNode, failing

ECHO = "tests.queue.functions.echo"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def node(node: LocalNode) -> LocalNode:
    """There are no schedules but those of the test."""
    Schedule.objects.all().delete()
    return node


def due(func: str = ECHO, *args: Any, **options: Any) -> Schedule:
    return schedule(func, *args, **{"next_run": timezone.now() - timedelta(seconds=1), **options})


def queued() -> list[Any]:
    """The arguments of what is queued, in order."""
    return [(row.task["args"], row.task["kwargs"]) for row in OrmQ.objects.order_by("pk")]


def test_what_is_due_is_queued_once_and_runs(node: LocalNode) -> None:
    due(ECHO, 1, "a", name="echoes", k=2)
    queue_due()
    queue_due()
    assert queued() == [((1, "a"), {"k": 2})]
    job = Job.objects.get()
    node.run()
    job.refresh_from_db()
    assert job.result == ((1, "a"), {"k": 2})
    assert not Schedule.objects.exists(), "it was to run once"


def test_what_is_not_due_or_of_another_queue_waits(node: LocalNode) -> None:
    due(next_run=timezone.now() + timedelta(hours=1))
    due(cluster="another")
    due(repeats=0, schedule_type=Schedule.DAILY)
    queue_due()
    assert queued() == []


def test_a_schedule_repeats_as_often_as_it_says(node: LocalNode) -> None:
    made = due(schedule_type=Schedule.MINUTES, minutes=5, repeats=2)
    for _ in range(4):
        queue_due()
        Schedule.objects.update(next_run=timezone.now() - timedelta(seconds=1))
    assert len(queued()) == 2
    made.refresh_from_db()
    assert (made.repeats, made.task) == (0, Job.objects.latest("queued_at").pk)


def test_one_that_runs_once_and_is_to_be_kept_is(node: LocalNode) -> None:
    made = due(repeats=1)
    queue_due()
    queue_due()
    made.refresh_from_db()
    assert (len(queued()), made.repeats) == (1, 0)


def test_its_options_hook_and_date_arrive(node: LocalNode) -> None:
    made = due(
        q_options={"task_name": "by name", "save": False},
        hook="tests.queue.functions.note",
        intended_date_kwarg="when",
        name="nightly",
    )
    queue_due()
    task = OrmQ.objects.get().task
    assert (task["name"], task["save"], task["group"]) == ("by name", False, "nightly")
    assert task["hook"] == "tests.queue.functions.note"
    assert task["kwargs"] == {"when": made.next_run.isoformat()}


def test_another_queue_gets_what_it_is_for(node: LocalNode) -> None:
    due(q_options={"cluster": "slow"})
    queue_due()
    assert OrmQ.objects.get().key == "slow"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"args": "report@example.com"}, "args can't be read: 'report@example.com'"),
        ({"args": "(1, 2"}, "args can't be read"),
        ({"args": "(" * 5000}, "args can't be read"),
        ({"kwargs": "{1: 2}"}, "kwargs can't be read"),
        ({"kwargs": "a=b"}, "kwargs can't be read"),
        ({"kwargs": "1, 2"}, "kwargs can't be read"),
        ({"kwargs": "{'q_options': 1}"}, "q_options is 1"),
        ({"kwargs": "q_options={'timeout': None}"}, "timeout is None"),
        ({"schedule_type": Schedule.CRON, "cron": "never"}, "Croniter"),
        ({"schedule_type": Schedule.YEARLY, "next_run": datetime.max.replace(tzinfo=UTC)}, ""),
        ({"hook": "h" * 256, "name": "n" * 101}, "group has over 100 characters"),
    ],
)
def test_one_that_cannot_be_run_is_disabled_with_the_reason_and_stops_no_other(
    node: LocalNode,
    monkeypatch: pytest.MonkeyPatch,
    broken: dict[str, Any],
    why: str,
    admin: Client,
) -> None:
    bad = due(name="broken")
    broken = {**broken}
    now = broken.pop("next_run", None)
    name = broken.get("name", "broken")
    if len(name) > 100:  # as the database allows it on SQLite
        broken["q_options"] = None
        del broken["q_options"], broken["name"]
        broken["kwargs"] = f"q_options={{'group': {'g' * 101!r}}}"
    Schedule.objects.filter(pk=bad.pk).update(**broken)
    if now:
        monkeypatch.setattr(Schedule, "calculate_next_run", overflowing)
    due(ECHO, "the other", schedule_type=Schedule.ONCE)
    queue_due()
    queue_due()
    bad.refresh_from_db()
    assert bad.repeats == 0
    failure = Failure.objects.get(pk=bad.task)
    assert failure.result.startswith("This schedule can't be run, so it was disabled: ")
    assert why in failure.result
    assert queued() == [(("the other",), {})]
    page = admin.get("/admin/django_q/schedule/").content.decode()
    assert f"/admin/django_q/failure/{failure.pk}/change/" in page


def overflowing(self: Schedule, moment: datetime) -> datetime:
    raise OverflowError("date value out of range")


@pytest.mark.parametrize("minutes", [None, 0, 1, 7])
def test_minutes_of_fifty_years_ago_take_no_time(node: LocalNode, minutes: int | None) -> None:
    made = due(schedule_type=Schedule.MINUTES, minutes=minutes, next_run=LONG_AGO)
    began = time.process_time()
    queue_due()
    assert time.process_time() - began < 1, "a loop of 28 million steps takes minutes"
    assert len(queued()) == 1
    made.refresh_from_db()
    step = timedelta(minutes=minutes or 1)
    assert timezone.now() < made.next_run <= timezone.now() + step
    assert (made.next_run - LONG_AGO) % step == timedelta()


def test_what_is_missed_is_caught_up_where_that_is_asked_for(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conf, "CATCH_UP", True)
    due(schedule_type=Schedule.HOURLY, next_run=timezone.now() - timedelta(hours=3, minutes=1))
    for _ in range(6):
        queue_due()
    assert len(queued()) == 4


def test_a_database_that_is_away_disables_nothing(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = due()

    def away(*args: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(scheduler, "queue", away)
    with pytest.raises(OperationalError):
        queue_due()
    made.refresh_from_db()
    assert made.repeats == -1


def test_one_that_is_removed_meanwhile_is_no_error(node: LocalNode) -> None:
    scheduler.disable(4711, ValueError("late"))
    assert not Failure.objects.exists()


def test_one_that_another_node_has_just_queued_is_left(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    due()
    monkeypatch.setattr(scheduler, "locked", lambda schedules: schedules.none())
    queue_due()
    assert queued() == []


def test_the_server_of_another_queue_runs_what_names_that_alone(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    due(ECHO, "for all")
    due(ECHO, "for the slow", cluster="slow")
    monkeypatch.setattr(Conf, "CLUSTER_NAME", "slow")
    queue_due()
    assert queued() == [(("for the slow",), {})]


# --- its process -----------------------------------------------------------------------


class Orphaned(Exception):
    """The scheduler would go on for ever."""


def test_it_looks_and_waits_and_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Any] = []

    def end_if_orphaned() -> None:
        if len(steps) > 2 * LOOK_S + 2:
            raise Orphaned

    monkeypatch.setattr(scheduler, "look", lambda: steps.append("look"))
    monkeypatch.setattr(time, "sleep", steps.append)
    monkeypatch.setattr(kernel, "end_if_orphaned", end_if_orphaned)
    with pytest.raises(Orphaned):
        scheduler.run()
    assert steps == [*["look", *[1] * LOOK_S] * 2, "look", 1]


def test_between_two_looks_it_has_no_connection(
    transactional_db: None, node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    due()
    scheduler.look()
    assert connection.connection is None
    assert queued() == [((), {})]


def test_a_database_that_is_away_is_tried_again(
    transactional_db: None, node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    due()
    with without_database():
        scheduler.look()
    assert "nothing scheduled can be queued: OperationalError: " in caplog.text
    assert connection.connection is None
    scheduler.look()
    assert queued() == [((), {})]


def test_an_error_for_which_no_waiting_helps_ends_it(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "queue_due", failing(1, queue_due, IntegrityError("odd")))
    with pytest.raises(IntegrityError):
        scheduler.look()
