"""Our own rows in the admin: jobs, which can be retried and cancelled, and nodes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from .. import bulk
from ..models import Job, JobState, Node
from .lists import FewValues, LightAdmin, result_block
from .newest import HELP, newest, newest_by

#: The column by which jobs are in order, of those that have an index: when each was queued last.
QUEUED = "queue_id"


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
        lately = newest(Job.objects.all(), QUEUED)
        failed = lately.filter(state=JobState.FAILED).order_by("error_class")
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
    ordering = (f"-{QUEUED}",)
    list_filter = ("state", ErrorClassFilter, newest_by(QUEUED))
    search_fields = ("=task_id", "=group", "name")
    search_help_text = HELP
    list_select_related = ("node",)
    exclude = ("payload",)
    readonly_fields = ("returned",)
    heavy = ("payload", "result", "asked", "errors", "node__stat")
    actions = ["retry", "cancel"]

    @admin.display(description="result")
    def returned(self, job: Job) -> str:
        return result_block(job) if job.state == JobState.DONE else "–"

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("queue.change_job")

    @admin.action(description="Retry selected failed jobs", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        failed = queryset.filter(state=JobState.FAILED)
        self.do(request, failed, bulk.retry_all, "task", "queued again")

    @admin.action(description="Cancel selected unfinished jobs", permissions=["retry"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self.do(request, queryset, bulk.cancel_all, "task", "cancelled")


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
        "draining",
    )
    exclude = ("stat",)
    heavy = ("stat",)
