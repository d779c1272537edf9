"""django-q2's admin pages, where failures are retried as what they were, and our own."""

from __future__ import annotations

from contextlib import suppress

from django.contrib import admin
from django.contrib.admin.exceptions import NotRegistered
from django_q.models import Failure, OrmQ, Schedule, Success

from . import jobs  # noqa: F401 - its pages register themselves
from .packages import QueueAdmin
from .records import FailureAdmin, SuccessAdmin
from .schedules import ScheduleAdmin

for model, model_admin in (
    (Success, SuccessAdmin),
    (Failure, FailureAdmin),
    (OrmQ, QueueAdmin),
    (Schedule, ScheduleAdmin),
):
    with suppress(NotRegistered):  # another app of a project may have been here before
        admin.site.unregister(model)
    admin.site.register(model, model_admin)
