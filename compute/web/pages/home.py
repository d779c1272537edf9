"""The first page: of one computation, or with cards of all."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from ...checks import problems_of_settings
from ...computation import Computation, ComputationError
from ...computations import all_computations, problems
from ...forms import filled_in
from ...models.fluid import along
from ...models.outlook import before
from ...models.speed import speed_of
from ...queue.models import Node
from ...queue.sharing import Priority
from ..clients import client_of
from .base import form_context
from .cards import NOWHERE_ELSE, cards_context
from .estimate import estimate
from .runs import runs_context

log = logging.getLogger(__name__)

#: A template and its context.
Page = tuple[str, dict[str, Any]]


def page_of(
    request: HttpRequest,
    first: Computation | None,
    computations: Sequence[Computation],
    addresses: Mapping[str, str] = NOWHERE_ELSE,
) -> Page:
    """The form of one, and cards of the others; or, without one or where its form fails, cards of
    all of these. And all runs."""
    others = [each for each in computations if first is None or each.name != first.name]
    context = {**runs_context(request), **problems_context(request)}
    if first is not None:
        try:
            form = filled_in(first)
            return "compute/computation.html", {
                **form_context(first, form),
                "computation": first,
                "expected": estimate(request, first, form),
                **context,
                **cards_context(request, others, addresses),
            }
        except ComputationError as error:  # its own page tells; this one is there for all others
            log.error("%s", error, exc_info=error)
    return "compute/cards.html", {**context, **cards_context(request, computations, addresses)}


def can_mend(request: HttpRequest) -> bool:
    return settings.DEBUG or request.user.is_staff


def problems_context(request: HttpRequest) -> dict[str, Any]:
    """The computations that were left out, and what is set wrongly, for people who can mend it."""
    told = can_mend(request)
    return {
        "problems": problems() if told else [],
        "misset": problems_of_settings() if told else [],
    }


def no_such_computation(request: HttpRequest, name: str) -> str:
    """That there is none of this name; for people who can mend it also why, if it was left out. A
    file that can't be loaded may have had it, whatever the file's name."""
    said = f"There is no such computation; there are: {', '.join(all_computations())}."
    if not can_mend(request):
        return said
    its_own = [each for each in problems() if f"computation {name!r}" in each.sentence]
    at_fault = its_own or [each for each in problems() if each.id == "compute.W001"]
    for problem in at_fault:
        said += f" Left out: {problem.sentence} {problem.hint}"
    return said


def estimate_context(request: HttpRequest, computation: Computation, given: object) -> Any:
    """How many seconds a length, as it was typed, takes at the speed that was measured, beside
    what is unfinished; and the numbers from which a browser tells it for another length."""
    speed = speed_of(computation) or 0.0
    workers = Node.objects.workers() or settings.Q_WORKERS
    typed = str(given)
    length = int(typed) if re.fullmatch("[0-9]{1,18}", typed, re.ASCII) else 0
    alone = length / speed if speed else 0.0
    weight = Priority(computation.priority).weight
    ahead = before(client_of(request).sharer, weight) if speed else None
    curve = ahead.curve if ahead else [(0.0, float(workers))]
    return {
        "speed": round(speed),
        "workers": workers,
        "ahead": ahead,
        "curve": " ".join(f"{since:.1f}:{gets:.3f}" for since, gets in curve),
        "alone": alone + (ahead.starts_in if ahead else 0.0),
        "split": (along(curve, alone) or 0.0) + (ahead.starts_in if ahead else 0.0),
    }
