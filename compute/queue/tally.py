"""Running counts of what the workers have ended, by function, that outlive the rows they count.

Whoever watches a site asks every few seconds, for ever, for numbers that only grow. Counting
a million rows takes too long, and pruned rows would be missing. One counter written with
each outcome would be a row that all workers wait for. So each node's reporter, which is told
of every outcome, adds what it has heard to these rows once a second; what happens without a
worker (a job that killed it, a lease that ended) is rare and added at once. A reporter that is
killed takes a second's counts with it; jobs and results, which are rows, lose nothing.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from typing import Any

from django.db import Error, models

from .call import label
from .engines import engine

log = logging.getLogger(__name__)

#: Counts by function and kind. The kinds are those named below, and one for each bound.
Counts = Counter[tuple[str, str]]

DONE, FAILED, REDELIVERED, EXPIRED = "done", "failed", "redelivered", "expired"
#: How long what ended ran, added up.
SECONDS = "seconds"
#: Seconds up to which a duration counts in the same bucket.
BOUNDS = (0.01, 0.1, 1, 5, 10, 30, 60, 300, 1800, 3600, 4 * 3600, 24 * 3600, math.inf)
#: So many functions are told apart. The names come from code, but whoever watches pays for each.
MOST = 200
OTHER, UNKNOWN = "(other)", "(unknown)"


class Tally(models.Model):
    """One of the running counts, which are read and written as SQL."""

    func = models.CharField(max_length=200)
    kind = models.CharField(max_length=20)
    value = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["func", "kind"], name="one_tally_a_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.func}, {self.kind}: {self.value:g}"


def bucket(bound: float) -> str:
    """The kind that counts durations up to this bound, and over the one before."""
    return f"to {bound:g}"


def function_of(task: dict[str, Any]) -> str:
    """The name that a task's function is counted by; one that can't be read is unknown."""
    return label(task["func"]) if task.get("func") else UNKNOWN


def ended(task: dict[str, Any]) -> Counts:
    """The share in the counts of a task that a worker has run."""
    func, seconds = function_of(task), (task["stopped"] - task["started"]).total_seconds()
    within = next(bound for bound in BOUNDS if seconds <= bound)
    counts: Counts = Counter({(func, DONE if task["success"] else FAILED): 1})
    counts[func, bucket(within)] = 1
    counts[func, SECONDS] = max(0.0, seconds)
    return counts


def add(counts: Counts) -> None:
    """Write counts down, in one statement; the same order everywhere, so none waits in a ring."""
    added: Counts = Counter()
    known = set(totals())
    for (func, kind), value in sorted(counts.items()):
        if func not in known and len(known) >= MOST:
            func = OTHER
        known.add(func)
        added[func, kind] += value
    engine().add_counts([(*key, count) for key, count in sorted(added.items())])


def add_if_possible(counts: Counts) -> None:
    """Write counts down unless the database is away: none is worth a task."""
    try:
        add(counts)
    except Error as error:
        log.warning("not counted, the database is away: %s", " ".join(str(error).split()))


def totals() -> dict[str, dict[str, float]]:
    """All counts so far, by function and then by kind."""
    found: dict[str, dict[str, float]] = {}
    for func, kind, value in engine().counts():
        found.setdefault(func, {})[kind] = value
    return found
