"""The page of nodes: the queue servers, what their workers run, and what waits."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

from ...computations import all_computations
from ...queue import flows
from ...queue.models import Job, Node
from ...queue.sharing import Pause
from ..masking import shown_to
from ..owners import listed, sees_all
from .base import seconds_between
from .flows import flows_context

#: How long a queue server that is gone stays on the page, and how many of them do.
LATELY, EARLIER = timedelta(hours=1), 20


def nodes_context(request: HttpRequest) -> dict[str, Any]:
    """The queue servers that are alive or were lately, what their workers run, what waits.

    With RUNS_PRIVATE only staff is told the names of nodes and hosts; others are told only the
    names of their own tasks.
    """
    now = timezone.now()
    there, gone, earlier = nodes_of(now)
    nodes, alive = [*there, *gone], {node.pk for node in there}
    running: dict[str, list[Job]] = {}
    for job in flows.at_work(nodes).order_by("worker"):
        running.setdefault(job.node_id or "", []).append(job)
    pauses = list(Pause.objects.order_by("kind"))
    paused = {pause.queue for pause in pauses if not pause.kind}
    everything = sees_all(request)
    groups = {job.group for jobs in running.values() for job in jobs}
    theirs = listed(request).filter(task_id__in=groups).values_list("task_id", flat=True)
    known = groups if everything else set(theirs)
    waiting = OrmQ.objects.filter(lock__lte=now)
    oldest = Job.objects.filter(queue_id=waiting.order_by("pk").values("pk")[:1]).first()
    described = [
        node_context(
            request,
            now,
            node,
            name=node.name if everything else f"Queue server {number}",
            alive=node.pk in alive,
            paused=node.queue in paused,
            running=[
                task_context(request, now, job, job.started_at, job.group in known)
                for job in running.get(node.pk, [])
                if job.started_at
            ],
        )
        for number, node in enumerate(nodes, 1)
    ]
    return {
        "now": now,
        "nodes": described,
        "there": [each for each in described if each["alive"]],
        "earlier": [each for each in described if not each["alive"]],
        "earlier_count": earlier,
        "silent": sum(each["state"] == "silent" for each in described),
        "waiting": waiting.count(),
        "oldest": seconds_between(oldest.queued_at, now) if oldest else None,
        "queue_server": bool(alive),
        "pauses": [pause for pause in pauses if pause.queue == Conf.CLUSTER_NAME],
        "whole": Conf.CLUSTER_NAME in paused,
        "names": list(all_computations()) if request.user.is_staff else [],
        **flows_context(request, [job for jobs in running.values() for job in jobs]),
    }


def node_context(
    request: HttpRequest,
    now: datetime,
    node: Node,
    *,
    name: str,
    alive: bool,
    paused: bool,
    running: list[dict[str, Any]],
) -> dict[str, Any]:
    """A queue server as its row shows it."""
    return {
        "node": node,
        "name": name,
        "host": node.host if sees_all(request) else None,
        "alive": alive,
        "state": node_state(node, alive),
        "draining": alive and node.draining,
        "paused": alive and paused,
        "seen": seconds_between(node.seen_at, now),
        "up": seconds_between(node.started_at, now),
        "running": running,
    }


def task_context(
    request: HttpRequest, now: datetime, job: Job, began: datetime, known: bool
) -> dict[str, Any]:
    """A task at work: its worker for who sees everything, its name for who may know it."""
    return {
        "worker": job.worker if sees_all(request) else None,
        "task": shown_to(request, job.name) if known else None,
        "seconds": seconds_between(began, now),
    }


def nodes_of(now: datetime) -> tuple[list[Node], list[Node], int]:
    """The queue servers that are alive, and those that are gone: the last EARLIER of them, the
    newest first, and how many there are. Each change of code makes one more."""
    alive = list(Node.objects.alive())
    gone = Node.objects.filter(seen_at__gt=now - LATELY).exclude(pk__in=[each.pk for each in alive])
    return alive, list(gone[:EARLIER]), gone.count()


def node_state(node: Node, alive: bool) -> str:
    if alive:
        return "alive"
    return "stopped" if node.stopped_at else "silent"
