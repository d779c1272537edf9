"""Runs in the admin, to look at and to retry."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import Run
from .queue.admin import ReadOnlyAdmin, say_retried


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "computation", "chunks", "state", "created_at", "finished_at")
    list_filter = ("state", "computation")
    search_fields = ("task_id",)
    actions = ["retry", "combine"]
    exclude = ("result",)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("compute.change_run")

    @admin.action(description="Retry the failed chunks of selected runs", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        say_retried(self, request, sum(run.retry() for run in queryset))

    @admin.action(description="Combine the chunks of selected runs again", permissions=["retry"])
    def combine(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        say_retried(self, request, sum(run.combine_again() for run in queryset))
