"""django-q2's records of tasks that have ended; failures are retried as what they were."""

from __future__ import annotations

from typing import Any, cast

import django_q.admin
from django.contrib import admin
from django.contrib.admin.models import DELETION
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django_q.models import Failure, Success

from .. import bulk
from ..bulk import Done
from ..models import Job
from ..text import shorten, shown
from .jobs import ErrorClassFilter
from .lists import LightAdmin, block, call_block, few_values, result_block

#: How many kinds of failures are listed, those with the most first.
KINDS_SHOWN = 20


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
        return result_block(task)

    def has_resubmit_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_q.change_success")

    @admin.action(description="Resubmit selected tasks to queue", permissions=["resubmit"])
    def resubmit(self, request: HttpRequest, queryset: QuerySet[Success]) -> None:
        self.do(request, queryset, bulk.run_again_all, "task", "queued once more")


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
        told = [{**kind, "told": f"{kind['count']:,}"} for kind in counted[:KINDS_SHOWN]]
        page: HttpResponse = super().changelist_view(request, {"kinds": told})
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
            self.do(request, of_kind, self.delete_all, "failure", "deleted", DELETION)
        return redirect("admin:django_q_failure_changelist")

    def has_resubmit_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("django_q.delete_failure")

    @admin.action(description="Resubmit selected tasks to queue", permissions=["resubmit"])
    def resubmit(self, request: HttpRequest, queryset: QuerySet[Failure]) -> None:
        self.do(request, queryset, bulk.resubmit_all, "task", "queued again")
