"""django-q2's "Queued tasks" in the admin: packages, each with its job."""

from __future__ import annotations

from typing import Any, cast

import django_q.admin
from django.contrib import admin
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from django_q.models import OrmQ

from .. import bulk
from ..bulk import Done
from ..models import Job
from ..text import shorten
from .lists import LightAdmin, call_block, few_values, value_block

#: Columns of a queued task's job, by the names they have in the list.
JOB_COLUMNS = {"name": "name", "group": "group", "id": "task_id"}


class QueueAdmin(LightAdmin, django_q.admin.QueueAdmin):
    """django-q2's "Queued tasks", where deleting one cancels its job."""

    heavy = ("payload",)
    actions = ["delete_selected"]
    list_display = ("id", "key", "job_name", "job_group", "lock", "job_id")
    list_filter = (few_values("key", "queue"),)
    fields = (
        "key",
        "lock",
        "job_id",
        "job_name",
        "job_group",
        "function",
        "called_with",
        "options",
    )
    readonly_fields = fields[2:]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        job = Job.objects.filter(queue_id=OuterRef("pk")).order_by()
        columns = {f"job_{name}": job.values(column)[:1] for name, column in JOB_COLUMNS.items()}
        return cast("QuerySet[Any]", super().get_queryset(request).annotate(**columns))

    @admin.display(description="name")
    def job_name(self, package: Any) -> str:
        return package.job_name or "–"

    @admin.display(description="group")
    def job_group(self, package: Any) -> str:
        return package.job_group or "–"

    @admin.display(description="task id")
    def job_id(self, package: Any) -> str:
        return package.job_id or "–"

    @admin.display
    def function(self, package: OrmQ) -> str:
        # In the place of what is not signed stands the reason.
        return shorten(str(package.func() or package.task_id()), 1000)

    @admin.display(description="called with")
    def called_with(self, package: OrmQ) -> str:
        return call_block(package.args(), package.kwargs())

    @admin.display
    def options(self, package: OrmQ) -> str:
        return value_block(package.q_options())

    def delete_all(self, keys: list[int], by: str) -> Done:
        return bulk.withdraw_all(keys, by)

    def delete_model(self, request: HttpRequest, obj: OrmQ) -> None:
        bulk.withdraw_all([obj.pk], request.user.get_username())
