"""The admin's lists, light whatever their rows hold and however many there are.

No list loads a result, an argument, a payload or a traceback, and no page holds thousands of
links or keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.html import format_html

from ..bulk import Done
from ..call import shown_arguments
from ..large import SHORT_CHARS, reference_in
from ..results import BEGUN
from ..text import number_of, shorten, shown
from .newest import ShortPaginator, is_id

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Model]
else:
    ModelAdmin = admin.ModelAdmin

#: How many values a filter offers.
VALUES_SHOWN = 20
#: How many characters of a value are shown.
SHOWN_CHARS = 10_000


class LightAdmin(ModelAdmin):
    """Loads no heavy column for a list, and deletes any number of rows without listing them."""

    #: Columns that a list does without, and a row's page shows in part.
    heavy: tuple[str, ...] = ()
    #: By what rows that came after a question was asked are told from those before.
    grows_by = "pk"
    show_full_result_count = False
    paginator = ShortPaginator

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return cast("QuerySet[Any]", super().get_queryset(request).defer(*self.heavy))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """An id is looked up; only another text is looked for in what rows say."""
        ids = [name[1:] for name in self.search_fields if name.startswith("=")]
        if ids and is_id(search_term):
            same: list[Any] = [(name, search_term.strip()) for name in ids]
            return queryset.filter(Q.create(same, connector=Q.OR)), False
        return super().get_search_results(request, queryset, search_term)

    def do(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        all_of_them: Callable[[list[Any], str], Done],
        noun: str,
        what: str,
        flag: int = CHANGE,
    ) -> None:
        """Do something to all rows that were selected; say how many, and note who did it."""
        keys = list(queryset.order_by("pk").values_list("pk", flat=True))
        done = all_of_them(keys, request.user.get_username())
        say_done(self, request, done, noun, what, flag)

    def delete_all(self, keys: list[Any], by: str) -> Done:
        raise NotImplementedError

    @admin.action(description="Delete selected %(verbose_name_plural)s", permissions=["delete"])
    def delete_selected(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> TemplateResponse | None:
        """Like Django's, which shows each row and sends its key back, and deletes one by one."""
        if request.POST.get("post"):
            until = request.POST.get("until")  # the last one there was when it was asked
            seen = queryset.filter(**{f"{self.grows_by}__lte": until}) if until else queryset
            self.do(request, seen, self.delete_all, self.noun, "deleted", DELETION)
            return None
        told = number_of(queryset.count(), self.noun)
        order = queryset.order_by(f"-{self.grows_by}")
        last: Any = order.values_list(self.grows_by, flat=True).first()
        context = {
            **self.admin_site.each_context(request),
            "title": f"Delete {told}?",
            "opts": self.opts,
            "media": self.media,
            "told": told,
            "until": last.isoformat() if hasattr(last, "isoformat") else str(last or ""),
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "across": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "admin/queue/delete_selected.html", context)

    @property
    def noun(self) -> str:
        return str(self.opts.verbose_name).lower()


def say_done(
    model_admin: Any, request: HttpRequest, done: Done, noun: str, what: str, flag: int = CHANGE
) -> None:
    """Tell the person, and the admin's history: one line, however many rows it were."""
    told = done.told(noun, what)
    level = messages.SUCCESS if done.changed or done.left else messages.WARNING
    model_admin.message_user(request, told, level)
    if done.changed or done.left:
        LogEntry.objects.create(
            user_id=cast(int, request.user.pk),
            content_type=ContentType.objects.get_for_model(model_admin.model),
            object_repr=told[:200],
            action_flag=flag,
        )


class FewValues(admin.SimpleListFilter):
    """By the values of a column. The sidebar offers a few; any can stand in the address."""

    def values(self, model_admin: Any, request: HttpRequest) -> Any:
        """The values that there are, in order."""
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = list(self.values(model_admin, request)[:VALUES_SHOWN])
        if self.value() and self.value() not in found:
            found.append(self.value())
        return [(value, shorten(value, 100)) for value in found if value]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        assert self.parameter_name  # noqa: S101 - a subclass has one
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


def few_values(column: str, title: str = "") -> type[FewValues]:
    """A filter by a column of the list's own rows."""

    class Filter(FewValues):
        parameter_name = column

        def values(self, model_admin: Any, request: HttpRequest) -> Any:
            rows = model_admin.model._default_manager.order_by(column)
            return rows.values_list(column, flat=True).distinct()

    Filter.title = title or column
    return Filter


def block(text: str) -> str:
    """A text of several lines as a page shows it, however long, and whatever is in it."""
    return format_html("<pre>{}</pre>", shorten(text, SHOWN_CHARS))


def value_block(value: Any) -> str:
    return block(shown(value))


def call_block(args: Any, kwargs: Any) -> str:
    """A task's arguments as one would write them; others are shown as they are."""
    args = args if isinstance(args, tuple | list) else () if args is None else (args,)
    kwargs = kwargs if isinstance(kwargs, dict) else {}
    return block(f"({', '.join(shown_arguments(tuple(args), kwargs))})")


def result_block(row: Any) -> str:
    """The result of a job or a record. Of a large one this says what it is, and how one gets it: it
    is never loaded into a web process."""
    (begun,) = type(row)._default_manager.filter(pk=row.pk).values_list(BEGUN).get()
    reference = reference_in(begun)
    if reference or len(begun or "") > SHORT_CHARS:
        what = f"a {reference}" if reference else f"over {SHORT_CHARS:,} characters"
        return block(
            f"{what}, too large for a page. In `./manage.py shell` this gives it:\n"
            f"from compute.queue.models import Job; Job.objects.get(pk={row.pk!r}).result"
        )
    return value_block(row.result)
