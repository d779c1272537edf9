"""When a run will start and end: the queue as it stands, read for a forecast.

Few statements, by indexes, however much waits. What nobody can know is None: without a worker,
while it is paused, and as long as its speed is unknown.
"""

from __future__ import annotations

import time
from statistics import median
from typing import NamedTuple

from django.conf import settings
from django.db import models
from django_q.conf import Conf

from ..queue import overview
from ..queue.models import Flow, Job, JobState, Node
from ..queue.overview import Pace
from ..queue.sharing import Client, Pause
from ..queue.tally import DONE, FAILED, SECONDS, totals
from .at_work import MOST_S, mean_of, tasks_at_work
from .fluid import Line, curve
from .forecast import Forecast, forecast, forecasts
from .run import SO_FAR, Run
from .states import RunState

#: Of so many chunks, at most, the times are read by each who asks.
FEW = 1_000
#: So many chunks of others are counted, at most, for a look; of longer runs their flows tell.
MOST = 5_000
#: Seconds between two of a node's bills, at most.
BILLED_S = 0.5
#: Seconds for which a look at the queue holds in a process: everybody asks again and again.
HOLDS_S = 0.5


class Outlook(NamedTuple):
    """Seconds from now; None where nobody can know."""

    starts_in: float | None = None
    ends_in: float | None = None
    #: How much of all workers it gets, from 0 to 1.
    portion: float = 0.0
    #: How many flows share them, its own counted.
    sharers: int = 0


OVER = Outlook(0.0, 0.0)  # of what has ended


class Standing:
    """What waits and what is at work, in lines, by the ids of their flows."""

    def __init__(self) -> None:
        queue = Conf.CLUSTER_NAME
        self.at = time.monotonic()
        nodes = Node.objects.alive().values_list("pk", "workers", "draining")
        alive = [pk for pk, _, _ in nodes]
        #: How many workers claim tasks.
        self.workers = sum(workers for _, workers, draining in nodes if not draining)
        if not self.workers or Pause.objects.filter(queue=queue, kind="").exists():
            self.workers, self.flows, self.lines = 0, {}, {}
            return
        mine = Flow.objects.filter(queue=queue, closed_at=None)
        self.flows = mine.exclude(key__startswith=SO_FAR).in_bulk()  # those take next to nothing
        self.clients = dict(Client.objects.filter(queue=queue).values_list("name", "served"))
        ready = Job.objects.filter(queue=queue, state=JobState.QUEUED, due_at=None)
        counts = ready.order_by().values_list("flow").annotate(models.Count("queue_id"))
        self.waiting: dict[int, int] = dict(counts)
        self.at_work = tasks_at_work(alive)
        busy = {*self.waiting, *self.at_work} & {*self.flows}
        keys = {self.flows[pk].key for pk in busy}
        runs = Run.objects.filter(state=RunState.IN_PROGRESS, task_id__in=keys)
        columns = ("task_id", "chunks", "expected_seconds")
        #: Of each run's flow how many chunks it has, and what they were expected to take.
        self.expected = {key: rest for key, *rest in runs.values_list(*columns)}
        self.uses = overview.uses(self.few())
        #: How long tasks of others took, by their functions.
        self.functions = totals() if keys - {*self.expected} else {}
        means = {pk: self.mean(self.flows[pk]) for pk in sorted(busy)}
        known = [mean for mean in means.values() if mean]
        #: Seconds of a task whose speed nobody knows: as many as those of others take.
        self.unknown = median(known) if known else settings.UNKNOWN_CHUNK_SECONDS
        self.lines = {pk: line for pk, mean in means.items() if (line := self.line(pk, mean)).work}

    def few(self) -> list[str]:
        """The runs of few chunks, as long as these are few in all."""
        counted, found = 0, []
        for key, (chunks, _) in sorted(self.expected.items(), key=lambda each: each[1][0]):
            counted += chunks
            if chunks > FEW or counted > MOST:
                break
            found.append(key)
        return found

    def line(self, pk: int, mean: float | None) -> Line:
        """The line of a flow, by the mean of its tasks; of one that is paused what is at work."""
        flow, at_work = self.flows[pk], self.at_work.get(pk, [])
        each = mean or self.unknown
        paused = flow.paused or flow.kind_paused
        use = self.uses.get(flow.key)
        return Line(
            flow.client,
            each,
            0 if paused else self.waiting.get(pk, 0),
            tuple(task.left(each) for task in at_work),
            flow.weight,
            flow.at_once,
            flow.pool,
            begun=bool(at_work) or flow.seconds > 0,
            served=flow.served,
            had=self.clients.get(flow.client),
            unbilled=max(0.0, use.seconds - flow.seconds) if use else 0.0,
        )

    def mean(self, flow: Flow) -> float | None:
        """Seconds that a task of it takes; None if nobody knows."""
        at_work = self.at_work.get(flow.pk, [])
        if flow.key not in self.expected:
            counts = self.functions.get(flow.key, {})
            ended = int(counts.get(DONE, 0) + counts.get(FAILED, 0))
            return mean_of(None, ended, counts.get(SECONDS, 0.0), at_work)
        chunks, expected = self.expected[flow.key]
        prior = None if expected is None else expected / max(1, chunks)
        if use := self.uses.get(flow.key):
            return mean_of(prior, use.ended, use.ended_seconds, at_work)
        # Until nodes have written down what it took, what has ended tells nothing.
        ended = chunks - self.waiting.get(flow.pk, 0) - len(at_work) if flow.seconds else 0
        # Of what is at work, too; but it is written down late.
        spent = flow.seconds + sum(BILLED_S / 2 - task.elapsed for task in at_work)
        return mean_of(prior, max(0, ended), max(0.0, spent) if ended > 0 else 0.0, at_work)

    def told(self, found: Forecast, sharers: int, known: bool = True) -> Outlook:
        age = time.monotonic() - self.at
        starts, ends = (None if s is None or s > MOST_S else max(0.0, s - age) for s in found[:2])
        return Outlook(starts, ends if known else None, found.workers / self.workers, sharers)

    def outlook(self, pk: int, line: Line, known: bool = True) -> Outlook:
        """Of a flow, whose line may be another than all that waits in it."""
        lines = {**self.lines, pk: line}
        found = forecast(list(lines.values()), self.workers, list(lines).index(pk))
        return self.told(found, len(lines), known)

    def outlooks(self) -> dict[str, Outlook]:
        """Of all runs that have a flow of their own and something to do, by their ids."""
        if not self.workers:
            return {}
        found = dict(
            zip(
                *(self.lines, forecasts(list(self.lines.values()), self.workers)),
                strict=True,
            )
        )
        return {
            flow.key: self.told(found[pk], len(found), self.mean(flow) is not None)
            for pk, flow in self.flows.items()
            if pk in found and flow.key in self.expected and self.lines[pk].waiting
        }


_last: tuple[float, Standing | None] = (0.0, None)  # when the queue was looked at, and how it stood


def lately(key: str = "") -> Standing:
    """The queue as it stood a moment ago, looked at again for a flow that it did not have then."""
    global _last
    at, standing = _last
    known = {flow.key for flow in standing.flows.values()} if standing else set()
    if standing is None or time.monotonic() - at > HOLDS_S or (key and key not in known):
        standing = Standing()
        _last = (time.monotonic(), standing)
    return standing


def outlook(run: Run, known: Pace | None = None) -> Outlook:
    """When a run will start and end, by its pace, if that is known or quickly found; else by what
    its flow had, which reads none of its jobs: programs ask again and again."""
    if run.state != RunState.IN_PROGRESS:
        return OVER
    if known is None and run.chunks <= FEW:
        known = overview.pace(run.task_id)
    pace = known or Pace({k: n for k, n in run.jobs.counts().items() if n}, 0.0, None, 0.0)
    standing = lately(run.task_id)
    found = of_run(run, pace, standing, known is not None) if standing.workers else Outlook()
    return found._replace(starts_in=0.0 if pace.begun else found.starts_in)


def of_run(run: Run, pace: Pace, standing: Standing, exact: bool) -> Outlook:
    pk = next((pk for pk, flow in standing.flows.items() if flow.key == run.task_id), None)
    if pk is None:  # of the version before
        return Outlook()
    if not pace.counts.get("queued") and not pace.counts.get("running"):
        return Outlook()  # its chunks are being combined, which takes as long as it takes
    mean = standing.mean(standing.flows[pk])
    if exact:
        prior = None if run.expected_seconds is None else run.expected_seconds / max(1, run.chunks)
        mean = mean_of(prior, pace.done, pace.work, standing.at_work.get(pk, []))
    line = standing.line(pk, mean)
    if not line.work or (pace.counts.get("queued") and not line.waiting):
        return Outlook()  # paused, or put off
    return standing.outlook(pk, line._replace(begun=pace.begun), mean is not None)


class Before(NamedTuple):
    """What a newcomer can expect before it is queued."""

    starts_in: float
    #: How many workers it has, from which second on.
    curve: list[tuple[float, float]]
    portion: float


def before(client: str, weight: float = 1.0) -> Before | None:
    """What a run that somebody starts now can expect; None if it has all workers, at once, or
    if there is no worker."""
    standing = lately()
    if not (standing.workers and standing.lines):
        return None
    newcomer = Line(
        client, 1, 1, weight=weight, begun=False, served=None, had=standing.clients.get(client)
    )
    lines = list(standing.lines.values())
    first = forecast([*lines, newcomer], standing.workers, len(lines))
    found = curve(lines, standing.workers, newcomer)
    return Before(first.starts_in or 0.0, found, found[0][1] / standing.workers)
