"""The leases of the tasks that a node's workers have: renewed, told of, looked after."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db.models import Exists, OuterRef, Subquery
from django.db.models.functions import Coalesce, Now
from django_q.models import OrmQ

from ..defaults import settings
from ..engines import engine
from ..models import Flow, Job, JobQuerySet, JobState
from ..progress import LEAST
from ..sharing import Slot


def held_by(node: str, queue_ids: Collection[int]) -> JobQuerySet:
    return Job.objects.filter(node=node, queue_id__in=queue_ids)


def renew(node: str, queue_ids: Collection[int]) -> None:
    """Renew the leases of what this node's workers have, where it still is theirs.

    Not of a task that needs a slot and has lost it to another while its lease had ended.
    """
    if not queue_ids:
        return
    limited = Flow.objects.filter(pk=OuterRef("flow_id"), at_once__isnull=False)
    slot = Slot.objects.filter(queue_id=OuterRef("queue_id"))
    held = held_by(node, queue_ids).unsettled().filter(~Exists(limited) | Exists(slot))
    # No slot ends before its lease: to the moment, for between two statements others may claim it.
    of_slot = Slot.objects.filter(queue_id=OuterRef("pk")).values("until")[:1]
    until = Coalesce(Subquery(of_slot), Now() + timedelta(seconds=settings.Q_LEASE))
    with engine().turn():
        engine().hold(queue_ids, settings.Q_LEASE)
        OrmQ.objects.filter(pk__in=held.values("queue_id")).update(lock=until)


def note_progress(node: str, queue_id: int, progress: float) -> None:
    """Write down how much of what a worker of this node runs is done, from 0 to 1."""
    known = min(1, max(0, progress))
    with engine().turn():
        held_by(node, [queue_id]).unsettled().update(progress=known if known >= LEAST else 0)


def cancelled(node: str, queue_ids: Collection[int]) -> list[int]:
    """Which of what this node's workers run has been cancelled."""
    found = held_by(node, queue_ids).filter(state=JobState.CANCELLED)
    cancelled = set(found.values_list("queue_id", flat=True))
    return [queue_id for queue_id in queue_ids if queue_id in cancelled]
