"""The open flows at a glance: what waits of each, what is at work, what it has had.

A page asks every two seconds and a scraper for ever, so of what waits no row is read but by the
index that has nothing else, however much it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from django.db import models
from django.db.models import BooleanField, Case, Count, Exists, OuterRef, Q, Value, When
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from .models import Job, JobQuerySet, Node
from .nodes import NodeQuerySet
from .sharing import Flow, FlowQuerySet, Slot

#: As text, and not as values: by that alone every database knows the index of such rows.
WAITING = RawSQL("state = 'queued' AND due_at IS NULL", [], output_field=BooleanField())
DEFERRED = RawSQL("state = 'queued' AND due_at IS NOT NULL", [], output_field=BooleanField())
AT_WORK = RawSQL(
    "state = 'running' AND state IN ('queued', 'running')", [], output_field=BooleanField()
)


class Line(NamedTuple):
    """An open flow as it stands."""

    flow: Flow
    waiting: int
    at_work: int
    #: How many slots of its pool are taken, whoever has them.
    taken: int


class Lines(NamedTuple):
    """The first open flows, those that are at work before those that only wait."""

    shown: list[Line]
    more: int
    #: How long workers have worked for all of them, in seconds.
    seconds: float


def at_work(nodes: Collection[Node] | NodeQuerySet) -> JobQuerySet:
    """What the workers of these nodes run."""
    return Job.objects.filter(AT_WORK, node__in=nodes)


def waiting(**of: Any) -> JobQuerySet:
    """What may be claimed, of some flows or of all."""
    return Job.objects.filter(WAITING, **of)


def deferred() -> JobQuerySet:
    """What waits for a time that has not come, in any queue."""
    return Job.objects.filter(DEFERRED, due_at__gt=Now())


def counted(jobs: JobQuerySet) -> dict[int, int]:
    """How many there are of each flow, by its id; 0 for what older code has queued."""
    return dict(jobs.order_by().values_list("flow").annotate(count=Count("*")))


def kind_of(flow: Flow) -> str:
    """What it is counted by beside others: a computation, or a function; "" for what has no name
    but its own."""
    return flow.kind or (flow.key if flow.key == flow.client else "")


def taken(flows: Collection[Flow]) -> dict[str, int]:
    """How many slots of each pool are taken; a pool of which none is, is left out."""
    pools = {flow.pool for flow in flows if flow.at_once}
    if not pools:
        return {}
    held = Slot.objects.filter(pool__among=pools, until__gt=Now())
    return dict(held.order_by().values_list("pool").annotate(count=Count("*")))


def slots(flows: Collection[Flow]) -> tuple[Counter[str], Counter[str]]:
    """How many slots are taken, and how many free, by pool: "" for those of one flow alone."""
    most: Counter[str] = Counter()
    for flow in flows:
        most[flow.pool] = max(most[flow.pool], flow.at_once or 0)
    alone = {flow.pool for flow in flows if flow.pool == flow.key}
    held, used, free = taken(flows), Counter[str](), Counter[str]()
    for pool in filter(most.get, most):
        name = "" if pool in alone else pool
        used[name] += held.get(pool, 0)
        free[name] += max(0, most[pool] - held.get(pool, 0))
    return used, free


def open_flows() -> FlowQuerySet:
    """Those of all queues in which something waits or runs, or might."""
    return Flow.objects.filter(closed_at=None)


def lines(running: dict[int, int], most: int) -> Lines:
    """The flows in which something waits, or is at work: `running` says how much, by flow."""
    busy = Q(pk__in=running)
    flows = open_flows().filter(busy | Exists(waiting(flow=OuterRef("pk"))))
    all_ = flows.aggregate(count=Count("*"), seconds=models.Sum("seconds"))
    later = Case(When(busy, then=Value(0)), default=Value(1)) if running else Value(1)
    shown = list(flows.order_by(later, "pk")[:most])
    counts, held = counted(waiting(flow__in=shown)), taken(shown)
    return Lines(
        [
            Line(flow, counts.get(flow.pk, 0), running.get(flow.pk, 0), held.get(flow.pool, 0))
            for flow in shown
        ],
        max(0, all_["count"] - len(shown)),
        all_["seconds"] or 0.0,
    )
