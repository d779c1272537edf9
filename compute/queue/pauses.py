"""Pausing: of a queue nothing is begun, or nothing of a kind, until it is resumed.

What runs ends, what waits waits, and so does what is queued meanwhile: nothing is lost. Nodes hear
of it within a second. A kind is what flows have in common, such as their computation's name.
"""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet
from django_q.conf import Conf

from .engines import engine
from .sharing import Flow, FlowQuerySet, Pause


def pause(kind: str = "", by: str = "") -> bool:
    """Pause a kind, or without one the whole queue; False if it is paused already."""
    who = {"by": by[:150]}
    _, made = Pause.objects.get_or_create(queue=Conf.CLUSTER_NAME, kind=kind, defaults=who)
    set_right()
    return made


def resume(kind: str = "") -> bool:
    """Go on; False if it is not paused."""
    count, _ = pauses().filter(kind=kind).delete()
    set_right()
    return count > 0


def pauses() -> QuerySet[Pause]:
    """Those of this queue: its own, whose kind is "", and those of kinds."""
    return Pause.objects.filter(queue=Conf.CLUSTER_NAME).order_by("kind")


def of_its_kind() -> Exists:
    """Whether the kind of a flow is paused."""
    return Exists(Pause.objects.filter(queue=OuterRef("queue"), kind=OuterRef("kind")))


def out_of_step() -> FlowQuerySet:
    """Open flows that are paused though their kind is not, or the other way round: a transaction
    that queued them lasted while that was changed."""
    paused = of_its_kind()
    mine = Flow.objects.filter(queue=Conf.CLUSTER_NAME, closed_at=None).exclude(kind="")
    return mine.filter(Q(paused, kind_paused=False) | Q(~paused, kind_paused=True))


def set_right() -> None:
    """Have each open flow paused if its kind is, and only then."""
    ids = list(out_of_step().values_list("pk", flat=True))
    if ids:
        Flow.objects.filter(pk__among=ids).update(kind_paused=of_its_kind())
        engine().wake()
