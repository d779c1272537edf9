"""How far the admin's lists look and count, so that none reads all rows there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

#: How far rows are counted and can be paged; so many of the newest a list looks at that is
#: searched, filtered or sorted.
MOST = 10_000
#: Django's names in an address; importing them would load pages into every queue server.
PAGE_VAR, SEARCH_VAR = "p", "q"
#: The words below the field for a search.
HELP = (
    f"An id is found among all rows. What is searched, filtered or sorted is the newest {MOST:,}, "
    "unless you choose all beside the list."
)


class AtLeast(int):
    """A count that was not taken to its end, as pages show it."""

    def __str__(self) -> str:
        return f"{int(self):,}+"


class ShortPaginator(Paginator):  # type: ignore[type-arg]
    """Counts MOST rows, and has no page behind these."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        found: int = rows.order_by().values("pk")[: MOST + 1].count()
        return AtLeast(MOST) if found > MOST else found


def newest(rows: QuerySet[Any], column: str) -> QuerySet[Any]:
    """Leave out of `rows` what is not among the newest MOST of their model, by a column that has
    an index."""
    known = rows.model._default_manager.filter(**{f"{column}__isnull": False})
    in_order = known.order_by(f"-{column}").values_list(column, flat=True)
    last = list(in_order[MOST - 1 : MOST])
    return rows.filter(**{f"{column}__gte": last[0]}) if last else rows


def is_id(text: str) -> bool:
    """Whether it is the id of a task or a group, which an index finds among all rows."""
    return bool(re.fullmatch("[0-9a-f]{32}", text.strip()))


class Newest(admin.SimpleListFilter):
    """Has a list that is searched, filtered or sorted look at the newest rows; at all if asked."""

    title = "what is looked at"
    parameter_name = "of"
    column = "pk"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("all", "all")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        for value, words in ((None, f"the newest {MOST:,}"), ("all", "all, which takes longer")):
            yield {
                "selected": self.value() == value,
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": words,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        narrowed = set(request.GET) - {PAGE_VAR, self.parameter_name}
        if narrowed == {SEARCH_VAR} and is_id(request.GET[SEARCH_VAR]):
            return queryset
        is_light = self.value() == "all" or not narrowed
        return queryset if is_light else newest(queryset, self.column)


def newest_by(order: str) -> type[Newest]:
    """The filter of a list that has another order than that of its keys."""

    class Filter(Newest):
        column = order

    return Filter
