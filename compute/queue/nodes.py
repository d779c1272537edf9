"""Which queue servers there are, and which are alive."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta

from django.db import models
from django.db.models.functions import Now


class NodeQuerySet(models.QuerySet["Node"]):
    def alive(self) -> NodeQuerySet:
        """Nodes that gave a sign of life lately and have not said goodbye."""
        return self.filter(stopped_at=None, seen_at__gt=Now() - Node.DEAD_AFTER)

    def workers(self) -> int:
        """How many workers the nodes that are alive have together."""
        return self.alive().aggregate(workers=models.Sum("workers"))["workers"] or 0

    def left_behind(self, host: str, is_alive: Callable[[int], bool]) -> NodeQuerySet:
        """Nodes of this host that have not said goodbye, and whose process has ended."""
        mine = self.filter(host=host, stopped_at=None).exclude(pid=os.getpid())
        dead = [pk for pk, pid in mine.values_list("pk", "pid") if not is_alive(pid)]
        return self.filter(pk__in=dead)


class Node(models.Model):
    """A queue server: one `manage.py qcluster`, on one host, with its workers."""

    #: A node gives a sign of life every second; after this long without, it counts as dead.
    DEAD_AFTER = timedelta(seconds=10)

    id = models.CharField(primary_key=True, max_length=32)
    name = models.CharField(max_length=100)
    host = models.CharField(max_length=255)
    pid = models.IntegerField("process id")
    workers = models.PositiveIntegerField(default=0)
    restarts = models.PositiveIntegerField("process restarts", default=0)
    ended = models.PositiveBigIntegerField("tasks ended", default=0)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField("last sign of life")
    stopped_at = models.DateTimeField(null=True)
    stat = models.TextField(editable=False, help_text="django-q2's own statistics, signed")

    objects = NodeQuerySet.as_manager()

    class Meta:
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return f"{self.name} on {self.host}"
