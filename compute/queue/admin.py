"""django-q2's admin pages, where failures are retried as what they were, and our own."""

from __future__ import annotations

from typing import Any, cast

import django_q.admin
from django import forms
from django.contrib import admin
from django.contrib.admin.models import DELETION
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django_q.models import Failure, OrmQ, Schedule, Success

from . import bulk
from .bulk import Done
from .lists import (
    FewValues,
    LightAdmin,
    block,
    call_block,
    few_values,
    value_block,
)
from .models import Job, JobState, Node
from .scheduler import arguments
from .text import shorten, shown

#: How many kinds of failures are listed, those with the most first.
KINDS_SHOWN = 20


#: Columns of a queued task's job, by the names they have in the list.
JOB_COLUMNS = {"name": "name", "group": "group", "id": "task_id"}


class ReadOnlyAdmin(LightAdmin):
    """Shows rows that only the queue, or a run, may write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ErrorClassFilter(FewValues):
    """By the class of the exception, which the job has."""

    title = "error"
    parameter_name = "error_class"

    def values(self, model_admin: Any, request: HttpRequest) -> Any:
        failed = Job.objects.filter(state=JobState.FAILED).order_by("error_class")
        return failed.values_list("error_class", flat=True).distinct()


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "state",
        "attempt",
        "node",
        "worker",
        "started_at",
        "finished_at",
        "error",
    )
    list_filter = ("state", ErrorClassFilter)
    search_fields = ("=task_id", "=group", "name")
    list_select_related = ("node",)
    exclude = ("payload",)
    heavy = ("payload", "result", "node__stat")
    actions = ["retry", "cancel"]

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("queue.change_job")

    @admin.action(description="Retry selected failed jobs", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        failed = queryset.filter(state=JobState.FAILED)
        self.do(request, failed, bulk.retry_all, "task(s) queued again")

    @admin.action(description="Cancel selected unfinished jobs", permissions=["retry"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self.do(request, queryset, bulk.cancel_all, "task(s) cancelled")


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "host",
        "pid",
        "workers",
        "ended",
        "restarts",
        "started_at",
        "seen_at",
        "stopped_at",
    )
    exclude = ("stat",)
    heavy = ("stat",)


class RecordAdmin(LightAdmin):
    """django-q2's records of tasks that have ended."""

    heavy = ("args", "kwargs", "result")
    grows_by = "stopped"

    def delete_all(self, keys: list[str], by: str) -> Done:
        return bulk.delete_all(keys, by)

    @admin.display(description="seconds it ran")
    def time_taken(self, task: Any) -> str:
        return f"{task.time_taken():.1f}"

    @admin.display(description="called with")
    def called_with(self, task: Any) -> str:
        return call_block(task.args, task.kwargs)


class SuccessAdmin(RecordAdmin, django_q.admin.TaskAdmin):
    """django-q2's "Successful tasks", by the group of which one can search."""

    actions = ["resubmit", "delete_selected"]
    list_display = ("name", "group", "func", "cluster", "started", "stopped", "time_taken")
    list_filter = (few_values("func", "function"), few_values("cluster"))
    search_fields = ("=id", "=group", "name", "func")
    fields = (
        "name",
        "func",
        "called_with",
        "returned",
        "started",
        "stopped",
        "time_taken",
        "attempt_count",
        "group",
        "cluster",
        "hook",
        "id",
    )
    readonly_fields = ("called_with", "returned", "time_taken")

    @admin.display(description="result")
    def returned(self, task: Success) -> str:
        return value_block(task.result)

    def has_resubmit_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_q.change_success")

    @admin.action(description="Resubmit selected tasks to queue", permissions=["resubmit"])
    def resubmit(self, request: HttpRequest, queryset: QuerySet[Success]) -> None:
        self.do(request, queryset, bulk.run_again_all, "task(s) queued once more")


class FailureAdmin(RecordAdmin, django_q.admin.FailAdmin):
    """django-q2's "Failed tasks", whose own "resubmit" makes a new task that no run knows."""

    actions = ["resubmit", "delete_selected"]
    list_display = ("name", "func", "error_class", "started", "time_taken", "error")
    list_filter = (few_values("func", "function"), ErrorClassFilter, few_values("cluster"))
    search_fields = ("=id", "=group", "name", "func")
    fields = (
        "name",
        "func",
        "called_with",
        "traceback",
        "started",
        "stopped",
        "time_taken",
        "attempt_count",
        "group",
        "cluster",
        "hook",
        "id",
    )
    readonly_fields = ("called_with", "traceback", "time_taken")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        job = Job.objects.filter(pk=OuterRef("pk"))
        failures = super().get_queryset(request)
        columns = {name: job.values(name)[:1] for name in ("error_class", "error")}
        return cast("QuerySet[Any]", failures.annotate(**columns))

    @admin.display(description="error", ordering="error_class")
    def error_class(self, failure: Any) -> str:
        return failure.error_class or "–"

    @admin.display(description="what it said")
    def error(self, failure: Any) -> str:
        return shorten(failure.error or "–", 100)

    @admin.display
    def traceback(self, failure: Failure) -> str:
        result = failure.result
        return block(result if isinstance(result, str) else shown(result))

    # --- failures of a kind: of the same function, with the same class of error -----------

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.deal_with_kind)
        return [path("kind/", view, name="django_q_failure_kind"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        kinds = self.get_queryset(request).order_by().values("func", "error_class")
        counted = kinds.annotate(count=Count("pk"), last=Max("stopped")).order_by("-count")
        page: HttpResponse = super().changelist_view(request, {"kinds": counted[:KINDS_SHOWN]})
        return page

    def deal_with_kind(self, request: HttpRequest) -> HttpResponse:
        """Retry or delete all failures of a kind."""
        if not self.has_resubmit_permission(request) or request.method != "POST":
            raise PermissionDenied
        error_class = request.POST.get("error_class", "")
        of_kind = self.get_queryset(request).filter(func=request.POST.get("func", ""))
        of_kind = of_kind.filter(Q(error_class=error_class) | Q(error_class=error_class or None))
        if request.POST.get("do") == "retry":
            self.resubmit(request, of_kind)
        elif request.POST.get("do") == "delete":
            self.do(request, of_kind, self.delete_all, "failure(s) deleted", DELETION)
        return redirect("admin:django_q_failure_changelist")

    def has_resubmit_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_q.delete_failure")

    @admin.action(description="Resubmit selected tasks to queue", permissions=["resubmit"])
    def resubmit(self, request: HttpRequest, queryset: QuerySet[Failure]) -> None:
        self.do(request, queryset, bulk.resubmit_all, "task(s) queued again")


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


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Refuses arguments that can't be read, and a cron expression that names no time."""

    def clean(self) -> dict[str, Any]:
        given = cast("dict[str, Any]", super().clean())
        for field in ("args", "kwargs"):
            try:
                arguments(**{"args": None, "kwargs": None, field: given.get(field)})
            except ValueError as error:
                self.add_error(field, str(error))
        if given.get("schedule_type") == Schedule.CRON and "cron" in given:
            try:
                Schedule(schedule_type=Schedule.CRON, cron=given["cron"] or "").calculate_next_run()
            except Exception as error:  # whatever its parser may raise
                self.add_error("cron", f"This names no time: {error}")
        return given


class ScheduleAdmin(django_q.admin.ScheduleAdmin):
    form = ScheduleForm


for model, model_admin in (
    (Success, SuccessAdmin),
    (Failure, FailureAdmin),
    (OrmQ, QueueAdmin),
    (Schedule, ScheduleAdmin),
):
    admin.site.unregister(model)
    admin.site.register(model, model_admin)
