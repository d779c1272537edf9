"""django-q2's admin pages, where failures are retried as what they were, and our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django_q.admin
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django_q.models import Failure, OrmQ

from .models import Job, Node

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Model]
else:
    ModelAdmin = admin.ModelAdmin


class ReadOnlyAdmin(ModelAdmin):
    """Shows rows that only the queue, or a run, may write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


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
    list_filter = ("state", "error_class")
    search_fields = ("task_id", "group", "name")
    list_select_related = ("node",)
    exclude = ("payload",)
    actions = ["retry"]

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("queue.change_job")

    @admin.action(description="Retry selected failed jobs", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        say_retried(self, request, sum(job.retry() for job in queryset))


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


class FailureAdmin(django_q.admin.FailAdmin):
    """django-q2's "Failed tasks", whose own "resubmit" makes a new task that no run knows."""

    actions = ["resubmit"]

    def has_resubmit_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_q.delete_failure")

    @admin.action(description="Resubmit selected tasks to queue", permissions=["resubmit"])
    def resubmit(self, request: HttpRequest, queryset: QuerySet[Failure]) -> None:
        """Retry the job that failed, so that its run goes on; a task without one anew."""
        jobs = Job.objects.in_bulk([failure.pk for failure in queryset])
        others = queryset.exclude(pk__in=jobs)
        count = sum(job.retry() for job in jobs.values()) + others.count()
        django_q.admin.resubmit_task(self, request, others)
        say_retried(self, request, count)


class QueueAdmin(django_q.admin.QueueAdmin):
    """django-q2's "Queued tasks", where deleting one cancels its job."""

    def delete_model(self, request: HttpRequest, obj: OrmQ) -> None:
        self.delete_queryset(request, OrmQ.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[OrmQ]) -> None:
        queue_ids = list(queryset.values_list("pk", flat=True))
        jobs = Job.objects.filter(queue_id__in=queue_ids)
        jobs.cancel(f"cancelled by {request.user.get_username()}")
        OrmQ.objects.filter(pk__in=queue_ids).delete()  # what has no job


def say_retried(model_admin: Any, request: HttpRequest, count: int) -> None:
    level = messages.SUCCESS if count else messages.WARNING
    model_admin.message_user(request, f"{count} task(s) queued again.", level)


for model, model_admin in ((Failure, FailureAdmin), (OrmQ, QueueAdmin)):
    admin.site.unregister(model)
    admin.site.register(model, model_admin)
