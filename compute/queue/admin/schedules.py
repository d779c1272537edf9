"""django-q2's schedules in the admin, with a form that refuses what could not be run."""

from __future__ import annotations

from typing import Any, cast

import django_q.admin
from django import forms
from django_q.models import Schedule

from ..schedules import arguments


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Refuses arguments that can't be read, and a cron expression that names no time."""

    def clean(self) -> dict[str, Any]:
        given = cast("dict[str, Any]", super().clean())
        for field in ("args", "kwargs"):
            try:
                arguments(**{"args": None, "kwargs": None, field: given.get(field)})
            except ValueError as error:
                self.add_error(field, str(error))
        if given.get("schedule_type") != Schedule.CRON:
            return given
        if "cron" not in self.fields:  # django-q2 shows it as text where croniter is missing
            self.add_error("schedule_type", "Install croniter for schedules of this type.")
        elif "cron" in given:
            try:
                Schedule(schedule_type=Schedule.CRON, cron=given["cron"] or "").calculate_next_run()
            except Exception as error:  # whatever its parser may raise
                self.add_error("cron", f"This names no time: {error}")
        return given


class ScheduleAdmin(django_q.admin.ScheduleAdmin):
    form = ScheduleForm
