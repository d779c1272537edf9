from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_q.models import Schedule

from compute.queue.admin.schedules import ScheduleAdmin

ECHO = "tests.queue.functions.echo"
SCHEDULES = reverse("admin:django_q_schedule_changelist")


# --- arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["args", "kwargs"])
def test_the_form_refuses_what_cannot_be_read(admin: Client, field: str) -> None:
    given = {
        "func": ECHO,
        "schedule_type": "D",
        "repeats": "-1",
        "next_run_0": "2030-01-01",
        "next_run_1": "00:00",
        field: "report@example.com",
    }
    reply = admin.post(f"{SCHEDULES}add/", given, follow=True)
    assert f"{field} can&#x27;t be read" in reply.content.decode()
    assert not Schedule.objects.filter(func=ECHO).exists()


# --- cron --------------------------------------------------------------------------------


def schedule(admin: Client, **fields: str) -> Any:
    given = {
        "name": "nightly",
        "func": "math.sqrt",
        "args": "4",
        "schedule_type": "C",
        "repeats": "-1",
        "next_run_0": "2026-11-26",
        "next_run_1": "00:00:00",
        **fields,
    }
    return admin.post(f"{SCHEDULES}add/", given, follow=True)


def test_a_cron_expression_is_a_schedule(admin: Client) -> None:
    assert "cron" in admin.get(f"{SCHEDULES}add/").content.decode()
    schedule(admin, cron="30 4 * * 1")
    made = Schedule.objects.get(name="nightly")
    assert (made.next_run.weekday(), made.next_run.hour, made.next_run.minute) == (0, 4, 30)


@pytest.mark.parametrize(
    "cron",
    [
        *("", "x", "* * * *", "60 * * * *", "0 0 30 2 *", "0 0 1 1 * 0 1980", "H H * * *"),
        "0 " * 100,  # more than the column takes
    ],
)
def test_one_that_names_no_time_is_refused_by_the_form(admin: Client, cron: str) -> None:
    reply = schedule(admin, cron=cron)
    assert reply.status_code == 200
    assert reply.context["adminform"].form.errors["cron"]
    assert not Schedule.objects.filter(name="nightly").exists()


def test_without_croniter_the_form_refuses_the_type(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a project that has not installed it: django-q2 decides by it when it is imported."""
    monkeypatch.setattr(ScheduleAdmin, "readonly_fields", ("cron",), raising=False)
    monkeypatch.setattr("django_q.models.croniter", None)
    reply = schedule(admin, cron="30 4 * * 1")
    assert reply.status_code == 200
    assert "Install croniter" in reply.context["adminform"].form.errors["schedule_type"][0]
    assert not Schedule.objects.filter(name="nightly").exists()
    schedule(admin, schedule_type="D")
    assert Schedule.objects.get(name="nightly").schedule_type == "D"


def test_other_schedules_need_none(admin: Client) -> None:
    schedule(admin, schedule_type="D")
    assert Schedule.objects.get(name="nightly").schedule_type == "D"
