"""The part of a list of runs that a page shows, which costs the same however many runs there are.

Lists are read from an index, a page from where the one before it ended, and their tabs count so
far and no further. Titles, names and notes have no index: a search looks at the newest runs, and
at older ones when it is asked to.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from django.db import models

from ...models import Run, RunQuerySet

RUNS_PER_PAGE = 20
#: How far runs are counted.
COUNTED = 1_000
#: At how many runs a search looks, and at how many older ones each time that it is asked to.
LOOK, LOOK_ON = 10_000, 100_000

STATES = Run.State.values
#: Of each state how many runs there are; one more than COUNTED is "or more".
Counts = dict[str, int]


class Searched(NamedTuple):
    """How many runs a search has looked at, which were not all: since when they were started, and
    where the next begin, as `page` of an address."""

    runs: int
    since: datetime
    further: str


class Part(NamedTuple):
    runs: list[Run]
    #: None for older runs that a search was asked for.
    counts: Counts | None
    #: Where the pages beside this one begin, as `page` of an address; "" if there is none.
    newer: str = ""
    older: str = ""
    is_first: bool = True
    #: Set if the page ends with what was looked at.
    searched: Searched | None = None


def part_of(runs: RunQuerySet, state: str, search: str, page: str) -> Part:
    """The runs of a state, or of any (""), that match a search, if there is one."""
    way, place = place_of(runs, page)
    if search:
        return part_of_search(runs, state, search, place if way == "before" else None)
    counts = counted(runs)
    found = runs.filter(state=state) if state else runs
    if way == "after":
        ahead = list(found.filter(pk__gt=place).order_by("pk")[: RUNS_PER_PAGE + 1])
        if len(ahead) > RUNS_PER_PAGE:  # else it is the first page
            shown = ahead[RUNS_PER_PAGE - 1 :: -1]
            return Part(
                shown, counts, after(shown[0].task_id), before(shown[-1].task_id), is_first=False
            )
        place = None
    if place is not None:
        found = found.filter(pk__lt=place)
    shown, older = first_page(found)
    newer = after(shown[0].task_id) if shown and place is not None else ""
    return Part(shown, counts, newer, older, is_first=place is None)


def part_of_search(runs: RunQuerySet, state: str, search: str, place: int | None) -> Part:
    """The same of a search. Its tabs lead to its first page, so no other counts for them."""
    searched = None
    if re.fullmatch("[0-9a-f]{32}", search) and runs.filter(task_id=search).exists():
        found = runs.filter(task_id=search)
    else:
        if place is not None:
            runs = runs.filter(pk__lt=place)
        runs, searched = newest(runs, LOOK if place is None else LOOK_ON)
        found = runs.filter(matching(search))
    counts = None
    if place is None:
        of_each = {each: models.Count("pk", models.Q(state=each)) for each in STATES}
        counts = found.order_by().aggregate(**of_each)
    if state:
        found = found.filter(state=state)
    left = (counts[state] if state else sum(counts.values())) if counts else None
    shown, older = first_page(found, left) if left != 0 else ([], "")
    return Part(shown, counts, "", older, place is None, None if older else searched)


def first_page(found: RunQuerySet, count: int | None = None) -> tuple[list[Run], str]:
    """The first of these runs, and where the next page begins. A search whose matches have been
    counted ends with the last of them."""
    wanted = RUNS_PER_PAGE + 1
    runs = list(found.order_by("-pk")[: wanted if count is None else min(count, wanted)])
    if len(runs) < wanted:
        return runs, ""
    return runs[:-1], before(runs[-2].task_id)


def place_of(runs: RunQuerySet, page: str) -> tuple[str, int | None]:
    """Whether a page has the runs before or after one of the list, and that one's place in it."""
    asked = re.fullmatch("(before|after)-([0-9a-f]{32})", page)
    place = asked and runs.filter(task_id=asked[2]).values_list("pk", flat=True).first()
    return (asked[1], place) if asked and place else ("", None)


def before(task_id: str) -> str:
    return f"before-{task_id}"


def after(task_id: str) -> str:
    return f"after-{task_id}"


# --- searching ---------------------------------------------------------------------------


def newest(runs: RunQuerySet, count: int) -> tuple[RunQuerySet, Searched | None]:
    """The newest of these runs, and which they are, if there are more."""
    of_last = runs.order_by("-pk").values_list("pk", "task_id", "created_at")
    last = list(of_last[count - 1 : count + 1])
    if len(last) < 2:
        return runs, None
    pk, task_id, since = last[0]
    return runs.filter(pk__gte=pk), Searched(count, since, before(task_id))


def matching(search: str) -> models.Q:
    """Runs with that in their title, name or note, or of that n.

    Most have no name and no note, which is seen in less time than it takes to search in them.
    """
    found = models.Q(title__icontains=search)
    for column in ("name", "note"):
        found |= ~models.Q(**{column: ""}) & models.Q(**{f"{column}__icontains": search})
    if re.fullmatch("[0-9]{1,18}", search, re.ASCII):
        found |= models.Q(parameters__n=int(search))
    return found


# --- counting ----------------------------------------------------------------------------


class CountOf(models.Subquery):
    """How many rows a queryset has; of one that is cut off, no more than these are read."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = models.IntegerField()
    empty_result_set_value = 0  # of rows of which Django knows that there are none


def counted(runs: RunQuerySet) -> Counts:
    """How many there are of each state, up to COUNTED and one; in one statement."""
    of_each = (runs.filter(state=state).order_by().values("pk") for state in STATES)
    columns = [CountOf(each[: COUNTED + 1]) for each in of_each]
    row = Run.objects.order_by().values_list(*columns)[:1]
    return dict(zip(STATES, next(iter(row), [0] * len(STATES)), strict=True))


def in_words(counts: Collection[int]) -> str:
    """What these add up to; at least, where one of them was not counted to its end."""
    return f"{COUNTED:,}+" if max(counts) > COUNTED else f"{sum(counts):,}"
