"""Runs in the admin: to look at, and to do something to many at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest

from .. import several
from ..computations import all_computations
from ..models import Run
from ..queue.admin.jobs import ReadOnlyAdmin
from ..queue.admin.lists import FewValues, block
from ..queue.admin.newest import HELP, Newest
from ..templatetags.amounts import duration

#: Columns of any size and content: shown as the text that the row holds, in part.
LARGE = ("parameters", "given", "result", "shown")


def as_text(name: str) -> Any:
    """Shows a column as the database has it, which works whatever Python could read."""

    @admin.display(description=name)
    def show(run: Run) -> str:
        rows = Run.objects.filter(pk=run.pk)
        return block(rows.values_list(Cast(name, TextField()), flat=True)[0] or "–")

    return show


class ComputationFilter(FewValues):
    """By the computations that are declared; the rows of 500,000 runs need not tell."""

    title = parameter_name = "computation"

    def values(self, model_admin: Any, request: HttpRequest) -> Any:
        return list(all_computations())


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = (
        *("__str__", "computation", "chunks", "state", "created_at", "finished_at"),
        *("took", "computed_for"),
    )
    list_filter = ("state", ComputationFilter, Newest)
    search_fields = ("=task_id", "title", "name", "note")
    search_help_text = HELP
    heavy = LARGE
    exclude = LARGE
    readonly_fields = tuple(as_text(name) for name in LARGE)
    actions = [
        *("retry", "combine", "cancel", "pause", "resume"),
        *("make_urgent", "make_normal", "make_background"),
    ]

    def took(self, run: Run) -> str:
        return duration(run.took)

    def computed_for(self, run: Run) -> str:
        return duration(run.work_seconds)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("compute.change_run")

    @admin.action(description="Retry the failed chunks of selected runs", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.do(request, queryset, several.retry_all, "task", "queued again")

    @admin.action(description="Combine the chunks of selected runs again", permissions=["retry"])
    def combine(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.do(request, queryset, several.combine_all, "task", "queued again")

    @admin.action(description="Cancel selected runs", permissions=["retry"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.do(request, queryset, several.cancel_all, "task", "cancelled")

    @admin.action(description="Pause selected runs", permissions=["retry"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.do(request, queryset, several.pause_all, "run", "paused")

    @admin.action(description="Resume selected runs that are paused", permissions=["retry"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.do(request, queryset, several.resume_all, "run", "resumed")

    @admin.action(description="Make selected runs urgent", permissions=["retry"])
    def make_urgent(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.prioritize(request, queryset, "urgent")

    @admin.action(description="Give selected runs normal priority", permissions=["retry"])
    def make_normal(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.prioritize(request, queryset, "normal")

    @admin.action(description="Put selected runs in the background", permissions=["retry"])
    def make_background(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self.prioritize(request, queryset, "background")

    def prioritize(self, request: HttpRequest, queryset: QuerySet[Run], priority: str) -> None:
        step = partial(several.prioritize_all, priority)
        self.do(request, queryset, step, "run", f"set to priority {priority}")
