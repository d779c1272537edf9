"""What Prometheus is told: read from the database at each scrape, so any web process will do.

Gauges come from the rows of what waits and of who is alive, which are few. Counters come from
the queue's running counts (`queue.tally` says why), never from the millions of ended jobs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from math import inf

from django.conf import settings
from django.db.models import Count, Q
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django_q.models import OrmQ
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ..queue import tally
from ..queue.models import Job, Node

COUNTERS = {
    tally.DONE: ("queue_tasks_done", "Tasks that workers have ended well."),
    tally.FAILED: ("queue_tasks_failed", "Tasks that have failed, each time they did."),
    tally.REDELIVERED: (
        "queue_tasks_redelivered",
        "Starts of a task that had been started before, for whatever reason.",
    ),
    tally.EXPIRED: (
        "queue_leases_expired",
        "Starts of a task that another node had and whose lease ended: it died or was cut off.",
    ),
}


class QueueCollector(Collector):
    """The queue as it is at this moment."""

    def collect(self) -> Iterator[Metric]:
        yield from self.gauges()
        yield from self.counters()

    def gauges(self) -> Iterator[Metric]:
        free = Q(lock__lte=Now())
        tasks = OrmQ.objects.aggregate(waiting=Count("pk", free), leased=Count("pk", ~free))
        first = OrmQ.objects.filter(free).order_by("pk").values("pk")[:1]
        since = Job.objects.filter(queue_id=first).values_list("queued_at", flat=True).first()
        age = max(0.0, (timezone.now() - since).total_seconds()) if since else 0
        alive = Node.objects.alive()
        for name, text, value in (
            ("queue_tasks_waiting", "Tasks that no worker has yet: the queue's depth.", "waiting"),
            ("queue_tasks_running", "Tasks that a worker has, under a lease.", "leased"),
        ):
            yield GaugeMetricFamily(name, text, tasks[value])
        yield GaugeMetricFamily(
            "queue_oldest_task_seconds", "How long the next task has waited; 0 if none does.", age
        )
        yield GaugeMetricFamily("queue_nodes_alive", "Queue servers alive.", alive.count())
        yield GaugeMetricFamily("queue_workers_alive", "Their workers.", alive.workers())

    def counters(self) -> Iterator[Metric]:
        totals = tally.totals()
        for kind, (name, text) in COUNTERS.items():
            family = CounterMetricFamily(name, text, labels=["function"])
            for func, counts in totals.items():
                family.add_metric([func], counts.get(kind, 0))
            yield family
        durations = HistogramMetricFamily(
            "queue_task_duration_seconds",
            "How long a task ran that a worker has ended, well or not.",
            labels=["function"],
        )
        bounds = ["+Inf" if bound == inf else str(float(bound)) for bound in tally.BOUNDS]
        for func, counts in totals.items():
            up_to = accumulate(counts.get(tally.bucket(bound), 0) for bound in tally.BOUNDS)
            buckets = list(zip(bounds, up_to, strict=True))
            durations.add_metric([func], buckets, counts.get(tally.SECONDS, 0))
        yield durations


def text() -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(QueueCollector())
    return generate_latest(registry)


def may_scrape(request: HttpRequest) -> bool:
    """With METRICS_TOKEN set, who brings it; else staff, and with DEBUG everybody."""
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}")
    return settings.DEBUG or request.user.is_staff
