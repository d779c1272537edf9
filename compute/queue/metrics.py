"""Metrics for Prometheus: read from the database at each scrape, so any web process will do.

`QueueCollector` is to be registered where a project has its own. Loaded by nothing else, for it
alone needs prometheus-client.

Gauges come from the rows of unfinished tasks and of live nodes, which are few. Counters come from
the queue's running counts (`queue.tally` says why), never from the millions of ended jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from math import inf

from django.db import models
from django.db.models import Count, Q
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from . import flows, pauses, room, tally
from .models import Content, Job, Node

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
        yield from self.kept()
        yield from self.shares()
        yield from self.counters()

    def gauges(self) -> Iterator[Metric]:
        free = Q(lock__lte=Now())
        tasks = OrmQ.objects.aggregate(waiting=Count("pk", free), leased=Count("pk", ~free))
        # A task that waits for its time has a package that nobody may claim, and nobody has.
        deferred = flows.deferred().count()
        first = OrmQ.objects.filter(free).order_by("pk").values("pk")[:1]
        since = Job.objects.filter(queue_id=first).values_list("queued_at", flat=True).first()
        age = max(0.0, (timezone.now() - since).total_seconds()) if since else 0
        running = max(0, tasks["leased"] - deferred)
        for name, text, value in (
            ("queue_tasks_waiting", "Tasks that no worker has yet: the depth.", tasks["waiting"]),
            ("queue_tasks_running", "Tasks that a worker has, under a lease.", running),
            ("queue_tasks_deferred", "Tasks whose time has not come yet.", deferred),
        ):
            yield GaugeMetricFamily(name, text, value)
        yield GaugeMetricFamily(
            "queue_oldest_task_seconds", "How long the next task has waited; 0 if none does.", age
        )
        alive = Node.objects.alive().aggregate(
            nodes=Count("pk"), workers=models.Sum("workers"), draining=Count("pk", Q(draining=True))
        )
        whole = pauses.pauses().filter(kind="").exists()
        for name, text, number in (
            ("queue_nodes_alive", "Queue servers alive.", alive["nodes"]),
            ("queue_workers_alive", "Their workers.", alive["workers"] or 0),
            ("queue_nodes_draining", "Of them, those that claim no more.", alive["draining"]),
            ("queue_paused", "Whether the queue is paused as a whole: 1 or 0.", int(whole)),
        ):
            yield GaugeMetricFamily(name, text, number)

    def kept(self) -> Iterator[Metric]:
        contents = Content.objects.aggregate(count=Count("pk"), size=models.Sum("size"))
        for name, text, number in (
            ("queue_contents", "Large results and outputs, each kept in parts.", contents["count"]),
            ("queue_contents_bytes", "Bytes that these have.", contents["size"] or 0),
            (
                "queue_database_full_ratio",
                "What the database holds of what it may: from 1 on nothing is started, and nothing "
                "large is kept; 0 without a limit.",
                room.used(),
            ),
        ):
            yield GaugeMetricFamily(name, text, number)

    def shares(self) -> Iterator[Metric]:
        """By kind, and by pool: flows come and go, and each would be a series of its own."""
        open_ = list(flows.open_flows())
        paused = sum(flow.paused or flow.kind_paused for flow in open_)
        yield GaugeMetricFamily(
            "queue_flows_paused", "Flows that are paused, alone or with their kind.", paused
        )
        kinds = {flow.pk: flows.kind_of(flow) for flow in open_}
        for name, text, jobs in (
            ("queue_kind_tasks_waiting", "Tasks that may be claimed.", flows.waiting()),
            ("queue_kind_tasks_running", "Workers at work.", flows.at_work(Node.objects.alive())),
        ):
            counts = Counter(dict.fromkeys(kinds.values(), 0))
            for pk, count in flows.counted(jobs).items():
                counts[kinds.get(pk, "")] += count
            yield labelled(name, text, "kind", counts)
        taken, free = flows.slots(open_)
        yield labelled("queue_slots_taken", "Slots that tasks have.", "pool", taken)
        yield labelled("queue_slots_free", "Slots that nobody has.", "pool", free)

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


def labelled(name: str, text: str, label: str, counts: Counter[str]) -> Metric:
    """A gauge by names, the largest of which are told apart; "" is a name of the others."""
    family = GaugeMetricFamily(name, text, labels=[label])
    few: Counter[str] = Counter()
    for place, (key, count) in enumerate(counts.most_common()):
        few[key if key and place < tally.MOST else tally.OTHER] += count
    for key, count in few.items():
        family.add_metric([key], count)
    return family
