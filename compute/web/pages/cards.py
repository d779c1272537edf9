"""Cards: what each computation does, and what became of its newest run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from django.db.models import Subquery
from django.http import HttpRequest
from django.urls import reverse

from ...computation import Computation
from ...models import Run
from ..owners import listed

#: Where cards lead that do not lead to a computation's own page, by its name.
NOWHERE_ELSE: Mapping[str, str] = MappingProxyType({})


class Card(NamedTuple):
    computation: Computation
    address: str
    #: Its newest run, of those that this client may see.
    run: Run | None


def cards_context(
    request: HttpRequest,
    computations: Sequence[Computation],
    addresses: Mapping[str, str] = NOWHERE_ELSE,
) -> dict[str, Any]:
    """A card for each computation, in their order; two queries."""
    names = [each.name for each in computations]
    runs = newest(request, names)
    cards = [
        Card(
            each,
            addresses.get(each.name) or reverse("computation", args=[each.name]),
            runs.get(each.name),
        )
        for each in computations
    ]
    return {"cards": cards}


def newest(request: HttpRequest, names: list[str]) -> dict[str, Run]:
    """The newest run of each of these computations, of those that the client may see."""
    if not names:
        return {}
    theirs = listed(request).order_by("-pk").values("pk")
    columns = [Subquery(theirs.filter(computation=name)[:1]) for name in names]
    keys = next(iter(Run.objects.order_by().values_list(*columns)[:1]), ())
    found = Run.objects.filter(pk__in=[key for key in keys if key]).only(
        *("task_id", "computation", "name", "title", "state", "created_at", "finished_at")
    )
    return {run.computation: run for run in found}
