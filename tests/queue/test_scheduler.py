from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Failure, OrmQ, Schedule
from django_q.tasks import schedule

from compute.queue import scheduler
from compute.queue.models import Job
from compute.queue.scheduler import arguments, next_run, queue_due

ECHO = "tests.queue.functions.echo"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def so_does_the_schedulers(monkeypatch):
    monkeypatch.setattr(scheduler, "close_old_django_connections", lambda: None)


@pytest.fixture
def node(node, monkeypatch):
    """Its scheduler looks when a test says so, and finds what the test has scheduled."""
    Schedule.objects.all().delete()
    node.look = lambda: queue_due(node.broker)
    return node


def due(func: str = ECHO, *args: Any, **options: Any) -> Schedule:
    return schedule(func, *args, **{"next_run": timezone.now() - timedelta(seconds=1), **options})


def queued() -> list[Any]:
    """The arguments of what is queued, in order."""
    return [(row.task["args"], row.task["kwargs"]) for row in OrmQ.objects.order_by("pk")]


def test_what_is_due_is_queued_once_and_runs(node):
    due(ECHO, 1, "a", name="echoes", k=2)
    node.look()
    node.look()
    assert queued() == [((1, "a"), {"k": 2})]
    job = Job.objects.get()
    node.run()
    job.refresh_from_db()
    assert job.result == ((1, "a"), {"k": 2})
    assert not Schedule.objects.exists(), "it was to run once"


def test_what_is_not_due_or_of_another_queue_waits(node):
    due(next_run=timezone.now() + timedelta(hours=1))
    due(cluster="another")
    due(repeats=0, schedule_type=Schedule.DAILY)
    node.look()
    assert queued() == []


def test_a_schedule_repeats_as_often_as_it_says(node):
    made = due(schedule_type=Schedule.MINUTES, minutes=5, repeats=2)
    for _ in range(4):
        node.look()
        Schedule.objects.update(next_run=timezone.now() - timedelta(seconds=1))
    assert len(queued()) == 2
    made.refresh_from_db()
    assert (made.repeats, made.task) == (0, Job.objects.latest("queued_at").pk)


def test_one_that_runs_once_and_is_to_be_kept_is(node):
    made = due(repeats=1)
    node.look()
    node.look()
    made.refresh_from_db()
    assert (len(queued()), made.repeats) == (1, 0)


def test_its_options_hook_and_date_arrive(node):
    made = due(
        q_options={"task_name": "by name", "save": False},
        hook="tests.queue.functions.note",
        intended_date_kwarg="when",
        name="nightly",
    )
    node.look()
    task = OrmQ.objects.get().task
    assert (task["name"], task["save"], task["group"]) == ("by name", False, "nightly")
    assert task["hook"] == "tests.queue.functions.note"
    assert task["kwargs"] == {"when": made.next_run.isoformat()}


def test_another_queue_gets_what_it_is_for(node):
    due(q_options={"cluster": "slow"})
    node.look()
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
    node, monkeypatch, broken, why, admin
):
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
    node.look()
    node.look()
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
def test_minutes_of_fifty_years_ago_take_no_time(node, minutes):
    made = due(schedule_type=Schedule.MINUTES, minutes=minutes, next_run=LONG_AGO)
    began = time.process_time()
    node.look()
    assert time.process_time() - began < 1, "a loop of 28 million steps takes minutes"
    assert len(queued()) == 1
    made.refresh_from_db()
    step = timedelta(minutes=minutes or 1)
    assert timezone.now() < made.next_run <= timezone.now() + step
    assert (made.next_run - LONG_AGO) % step == timedelta()


@pytest.mark.parametrize("kind", [kind for kind, _ in Schedule.TYPE if kind not in "OC"])
def test_each_kind_goes_on_as_django_q2_reckons_from_long_ago(node, kind, monkeypatch):
    """What its own loop comes to, step by step."""
    moment = datetime(2024, 1, 31, 2, 30, tzinfo=UTC)
    made = Schedule(schedule_type=kind, minutes=777, next_run=moment)
    now = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
    expected = moment
    while expected <= now:
        expected = made.calculate_next_run(expected)
    assert next_run(made, now) == expected


@pytest.mark.parametrize("kind", [Schedule.DAILY, Schedule.WEEKLY, Schedule.BIWEEKLY])
def test_it_keeps_the_time_of_day_where_clocks_change(kind, settings, monkeypatch):
    monkeypatch.setattr(Conf, "TIME_ZONE", "Europe/Berlin")
    made = Schedule(schedule_type=kind, next_run=datetime(2025, 12, 1, 7, 0, tzinfo=UTC))
    summer = next_run(made, datetime(2026, 7, 1, 12, 0, tzinfo=UTC))
    assert (summer.hour, summer.minute) == (6, 0), "eight o'clock, as in winter"


def test_what_is_missed_is_caught_up_where_that_is_asked_for(node, monkeypatch):
    monkeypatch.setattr(Conf, "CATCH_UP", True)
    due(schedule_type=Schedule.HOURLY, next_run=timezone.now() - timedelta(hours=3, minutes=1))
    for _ in range(6):
        node.look()
    assert len(queued()) == 4


def test_a_database_that_is_away_disables_nothing(node, monkeypatch):
    made = due()

    def away(*args: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(scheduler, "queue", away)
    with pytest.raises(OperationalError):
        node.look()
    made.refresh_from_db()
    assert made.repeats == -1


def test_one_that_is_removed_meanwhile_is_no_error(node):
    scheduler.disable(4711, ValueError("late"))
    assert not Failure.objects.exists()


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        (None, None, ((), {})),
        ("1", "", ((1,), {})),
        ("1, 'a'", "{'b': 2}", ((1, "a"), {"b": 2, "q_options": {}})),
        ("[1, 2]", "b=2, c='x'", (([1, 2],), {"b": 2, "c": "x", "q_options": {}})),
        ("'report@example.com'", None, (("report@example.com",), {})),
    ],
)
def test_arguments_are_values_of_pythons(args, kwargs, expected):
    assert arguments(args, kwargs) == expected


@pytest.mark.parametrize("field", ["args", "kwargs"])
def test_the_form_refuses_what_cannot_be_read(admin, field):
    given = {
        "func": ECHO,
        "schedule_type": "D",
        "repeats": "-1",
        "next_run_0": "2030-01-01",
        "next_run_1": "00:00",
        field: "report@example.com",
    }
    reply = admin.post("/admin/django_q/schedule/add/", given, follow=True)
    assert f"{field} can&#x27;t be read" in reply.content.decode()
    assert not Schedule.objects.filter(func=ECHO).exists()


def test_a_broker_is_all_it_needs(db):
    queue_due(get_broker())


def test_one_that_another_node_has_just_queued_is_left(node, monkeypatch):
    due()
    monkeypatch.setattr(scheduler, "locked", lambda schedules: schedules.none())
    node.look()
    assert queued() == []


def test_the_server_of_another_queue_runs_what_names_that_alone(node, monkeypatch):
    due(ECHO, "for all")
    due(ECHO, "for the slow", cluster="slow")
    monkeypatch.setattr(Conf, "CLUSTER_NAME", "slow")
    node.look()
    assert queued() == [(("for the slow",), {})]
