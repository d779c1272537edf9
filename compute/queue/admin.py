"""django-q2's admin pages, where failures are retried as what they were, and our own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import django_q.admin
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Model, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils.html import format_html
from django_q.models import Failure, OrmQ

from .call import shorten, shown_arguments
from .models import Job, JobQuerySet, JobState, Node

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Model]
else:
    ModelAdmin = admin.ModelAdmin


#: How many kinds of failures are listed, those with the most first.
KINDS_SHOWN = 20
#: Seconds for retrying failures of a kind: less than a request may take.
PATIENCE = 15


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
    def retry(self, request: HttpRequest, queryset: JobQuerySet) -> None:
        say_retried(self, request, queryset.retry())


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


class ErrorClassFilter(admin.SimpleListFilter):
    """By the class of the exception, which the task's job has."""

    title = "error"
    parameter_name = "error_class"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        failed = Job.objects.filter(state=JobState.FAILED).order_by("error_class")
        return [(name, name) for name in failed.values_list("error_class", flat=True).distinct()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(error_class=self.value()) if self.value() else queryset


class FailureAdmin(django_q.admin.FailAdmin):
    """django-q2's "Failed tasks", whose own "resubmit" makes a new task that no run knows."""

    actions = ["resubmit"]
    list_display = ("name", "func", "error_class", "started", "time_taken", "short_result")
    list_filter = ("func", ErrorClassFilter, "cluster")
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
        failures = super().get_queryset(request).annotate(error_class=job.values("error_class")[:1])
        return cast("QuerySet[Any]", failures)

    @admin.display(description="error", ordering="error_class")
    def error_class(self, failure: Any) -> str:
        return failure.error_class or "–"

    @admin.display(description="called with")
    def called_with(self, failure: Failure) -> str:
        arguments = ", ".join(shown_arguments(failure.args or (), failure.kwargs or {}))
        return format_html("<pre>{}</pre>", shorten(f"({arguments})", 10_000))

    @admin.display
    def traceback(self, failure: Failure) -> str:
        return format_html("<pre>{}</pre>", failure.result)

    @admin.display(description="seconds it ran")
    def time_taken(self, failure: Failure) -> str:
        return f"{failure.time_taken():.1f}"

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
        """Retry or delete all failures of a kind, as long as a request may take."""
        if not self.has_resubmit_permission(request) or request.method != "POST":
            raise PermissionDenied
        error_class = request.POST.get("error_class", "")
        of_kind = self.get_queryset(request).filter(func=request.POST.get("func", ""))
        of_kind = of_kind.filter(Q(error_class=error_class) | Q(error_class=error_class or None))
        if request.POST.get("do") == "retry":
            count = self.retry_some(request, of_kind)
            left = of_kind.count()
            more = f" {left} are left: press again." if left else ""
            self.message_user(request, f"{count} task(s) queued again.{more}")
        elif request.POST.get("do") == "delete":
            pks = list(of_kind.values_list("pk", flat=True))
            count, _ = Failure.objects.filter(pk__in=pks).delete()
            self.message_user(request, f"{count} failure(s) deleted.")
        return redirect("admin:django_q_failure_changelist")

    def retry_some(self, request: HttpRequest, failures: QuerySet[Any]) -> int:
        count, until = 0, time.monotonic() + PATIENCE
        for pk in list(failures.values_list("pk", flat=True)):
            if time.monotonic() > until:
                break
            count += self.retry(request, Failure.objects.filter(pk=pk))
        return count

    def has_resubmit_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_q.delete_failure")

    @admin.action(description="Resubmit selected tasks to queue", permissions=["resubmit"])
    def resubmit(self, request: HttpRequest, queryset: QuerySet[Failure]) -> None:
        say_retried(self, request, self.retry(request, queryset))

    def retry(self, request: HttpRequest, queryset: QuerySet[Failure]) -> int:
        """Retry the job that failed, so that its run goes on; a task without one anew."""
        jobs = Job.objects.in_bulk([failure.pk for failure in queryset])
        others = queryset.exclude(pk__in=jobs)
        count = sum(job.retry() for job in jobs.values()) + others.count()
        django_q.admin.resubmit_task(self, request, others)
        return count


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
