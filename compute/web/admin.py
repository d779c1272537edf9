"""Runs in the admin: to look at, to retry and to cancel."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest

from .. import several
from ..models import Run
from ..queue.admin import ReadOnlyAdmin
from ..queue.lists import block, few_values

#: Columns of any size and content: shown as the text that the row holds, in part.
LARGE = ("parameters", "given", "result", "shown")


def as_text(name: str) -> Any:
    """Shows a column as the database has it, which works whatever Python could read."""

    @admin.display(description=name)
    def show(run: Run) -> str:
        rows = Run.objects.filter(pk=run.pk)
        return block(rows.values_list(Cast(name, TextField()), flat=True)[0] or "–")

    return show


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "computation", "chunks", "state", "created_at", "finished_at")
    list_filter = ("state", few_values("computation"))
    search_fields = ("=task_id", "title")
    heavy = LARGE
    exclude = LARGE
    readonly_fields = tuple(as_text(name) for name in LARGE)
    actions = ["retry", "combine", "cancel"]

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("compute.change_run")

    @admin.action(description="Retry the failed chunks of selected runs", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.do(request, queryset, several.retry_all, "task(s) queued again")

    @admin.action(description="Combine the chunks of selected runs again", permissions=["retry"])
    def combine(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.do(request, queryset, several.combine_all, "task(s) queued again")

    @admin.action(description="Cancel selected runs", permissions=["retry"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.do(request, queryset, several.cancel_all, "task(s) cancelled")
