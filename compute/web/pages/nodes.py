"""The page of nodes: the queue servers, what their workers run, and what waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django_q.models import OrmQ

from ...queue.models import Job, Node
from ..masking import shown_to
from ..owners import listed, sees_all

#: How long a queue server that is gone stays on the page.
LATELY = timedelta(hours=1)


def nodes_context(request: HttpRequest) -> dict[str, Any]:
    """The queue servers that are alive or were lately, what their workers run, what waits.

    With RUNS_PRIVATE names of nodes and hosts are for staff, and the others are told only of
    their own tasks what they are.
    """
    now = timezone.now()
    alive = set(Node.objects.alive().values_list("pk", flat=True))
    nodes = list(Node.objects.filter(seen_at__gt=now - LATELY))
    running: dict[str, list[Job]] = {}
    for job in Job.objects.filter(node__in=nodes, state=Job.State.RUNNING).order_by("worker"):
        running.setdefault(job.node_id or "", []).append(job)
    everything = sees_all(request)
    groups = {job.group for jobs in running.values() for job in jobs}
    theirs = listed(request).filter(task_id__in=groups).values_list("task_id", flat=True)
    known = groups if everything else set(theirs)
    waiting = OrmQ.objects.filter(lock__lte=now)
    oldest = Job.objects.filter(queue_id=waiting.order_by("pk").values("pk")[:1]).first()
    return {
        "now": now,
        "nodes": [
            {
                "node": node,
                "name": node.name if everything else f"Queue server {number}",
                "host": node.host if everything else None,
                "alive": node.pk in alive,
                "state": node_state(node, node.pk in alive),
                "seen": (now - node.seen_at).total_seconds(),
                "up": (now - node.started_at).total_seconds(),
                "running": [
                    {
                        "worker": job.worker if everything else None,
                        "task": shown_to(request, job.name) if job.group in known else None,
                        "seconds": (now - job.started_at).total_seconds(),
                    }
                    for job in running.get(node.pk, [])
                    if job.started_at
                ],
            }
            for number, node in enumerate(nodes, 1)
        ],
        "waiting": waiting.count(),
        "oldest": (now - oldest.queued_at).total_seconds() if oldest else None,
        "queue_server": bool(alive),
    }


def node_state(node: Node, alive: bool) -> str:
    if alive:
        return "alive"
    return "stopped" if node.stopped_at else "silent"
