"""Which queue servers there are, and which are alive."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from datetime import timedelta

from django.db import models
from django.db.models.functions import Now
from django_q.conf import Conf


class NodeQuerySet(models.QuerySet["Node"]):
    def alive(self) -> NodeQuerySet:
        """Nodes that gave a sign of life lately and have not said goodbye."""
        return self.filter(stopped_at=None, seen_at__gt=Now() - Node.DEAD_AFTER)

    def named(self, names: Collection[str]) -> NodeQuerySet:
        """Nodes by their names or ids."""
        return self.filter(models.Q(pk__in=names) | models.Q(name__in=names))

    def drain(self) -> int:
        """Have them end what they have, and claim no more; how many."""
        return self.update(draining=True)

    def work_again(self) -> int:
        return self.update(draining=False)

    def workers(self) -> int:
        """How many workers the nodes that are alive have together."""
        return self.alive().aggregate(workers=models.Sum("workers"))["workers"] or 0

    def left_behind(self, place: str, is_alive: Callable[[int], bool]) -> NodeQuerySet:
        """Nodes that have not said goodbye, and whose process has ended. Those whose process
        ids are of another place nobody can judge from here: their leases run out."""
        mine = self.filter(place=place, stopped_at=None).exclude(pid=os.getpid())
        dead = [pk for pk, pid in mine.values_list("pk", "pid") if not is_alive(pid)]
        return self.filter(pk__in=dead)


class Node(models.Model):
    """A queue server: one `manage.py qcluster`, on one host, with its workers."""

    #: A node gives a sign of life every second; after this long without, it counts as dead.
    DEAD_AFTER = timedelta(seconds=10)

    id = models.CharField(primary_key=True, max_length=32)
    name = models.CharField(max_length=100)
    host = models.CharField(max_length=255)
    place = models.CharField(
        max_length=200,
        default="",
        db_default="",
        editable=False,
        help_text="Where its process id counts: a machine since it was started, and a namespace.",
    )
    pid = models.IntegerField("process id")
    workers = models.PositiveIntegerField(default=0)
    restarts = models.PositiveIntegerField("process restarts", default=0)
    ended = models.PositiveBigIntegerField("tasks ended", default=0)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField("last sign of life")
    stopped_at = models.DateTimeField(null=True)
    draining = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether it ends what it has, and claims no more.",
    )
    stat = models.TextField(editable=False, help_text="django-q2's own statistics, signed")

    objects = NodeQuerySet.as_manager()

    class Meta:
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return f"{self.name} on {self.host}"

    @property
    def queue(self) -> str:
        """The queue that it takes from, which its name tells if that is not the default one."""
        other = re.search(r"\((.*)\)$", self.name)
        return other[1] if other else Conf.PREFIX
