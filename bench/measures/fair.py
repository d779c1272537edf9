"""Measure 8: who gets how much of the workers, and how long a small run waits beside giants.

Ours alone, with two nodes. Chunks sleep, so a busy machine changes little, and both databases are
measured at once. Each scenario has nodes and a database of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from random import Random
from statistics import median
from typing import Any

from bench.functions import pause
from bench.run import Bench
from bench.system import WORKERS, Nodes, Stamps, System, family, wait_until, warm_up
from bench.systems import OURS

TITLE = "Fair shares"
NODES = 2
CHUNK_S = 0.2
#: So many runs at once, whose ends are foretold.
MIXES = (5, 12, 20)
#: Chunks of a small run.
SMALL = 8
#: Seconds within which a scenario answers, besides those that it is given.
PATIENCE_S = 240


class Group:
    """A run of chunks that sleep, from the moment at which it was asked for."""

    def __init__(self, client: str, chunks: int, seconds: float = CHUNK_S, **share: Any) -> None:
        from compute.queue.broker import sharing
        from compute.queue.fanout import async_iter

        self.client, self.chunks = client, chunks
        self.asked_at = now()
        broker = sharing(client=client, **share)
        self.id = async_iter(pause, [seconds] * chunks, task_name="fair", broker=broker)

    @property
    def jobs(self) -> Any:
        from compute.queue.models import Job

        return Job.objects.filter(group=self.id)

    def is_through(self) -> bool:
        return not self.jobs.unsettled().exists()

    def took(self, within_s: float = PATIENCE_S) -> float:
        """Seconds until its last chunk had ended."""
        wait_until(self.is_through, within_s, 0.02)
        ended = self.jobs.order_by("-finished_at").values_list("finished_at", flat=True)[0]
        return float((ended - self.asked_at).total_seconds())

    def spans(self) -> list[tuple[datetime, datetime]]:
        """When each of its chunks was at work, up to now."""
        begun = self.jobs.exclude(started_at=None).exclude(state="queued")
        rows = list(begun.values_list("started_at", "finished_at"))
        return [(start, end or now()) for start, end in rows]

    def seconds(self, begin: datetime, end: datetime) -> float:
        """Worker seconds that it had between two moments."""
        return sum(
            max(0.0, (min(ended, end) - max(started, begin)).total_seconds())
            for started, ended in self.spans()
        )


def now() -> datetime:
    from django.utils import timezone

    return timezone.now()


def share_of(one: Sequence[Group], others: Sequence[Group], seconds: float) -> float:
    """Percent of the worker seconds that the first get of what all get, in so many seconds."""
    begin = now()
    time.sleep(seconds)
    end = now()
    mine, theirs = (sum(each.seconds(begin, end) for each in groups) for groups in (one, others))
    return round(100 * mine / (mine + theirs), 2)


# --- a small run beside giants -----------------------------------------------------------


def beside(giants: Callable[[], Any], client: str, times: int) -> dict[str, Any]:
    """How long small runs take beside giants, and alone."""
    alone = median([Group(client, SMALL).took() for _ in range(5)])
    giants()
    time.sleep(3)
    took = []
    for _ in range(times):
        took.append(Group(client, SMALL).took())
        time.sleep(0.7)
    return {
        "alone_s": round(alone, 3),
        "took_s": [round(each, 3) for each in took],
        "times": [round(each / alone, 2) for each in took],
    }


def one_giant(options: dict[str, Any]) -> dict[str, Any]:
    return beside(lambda: Group("giant", options["chunks"]), "small", options["times"])


def many_giants(options: dict[str, Any]) -> dict[str, Any]:
    def giants() -> None:
        for _ in range(50):
            Group("giant", options["chunks"] // 10)

    return beside(giants, "small", options["times"])


def own_giant(options: dict[str, Any]) -> dict[str, Any]:
    return beside(lambda: Group("same", options["chunks"]), "same", options["times"])


# --- who gets how much -------------------------------------------------------------------


def forty_to_one(options: dict[str, Any]) -> dict[str, Any]:
    many = [Group("forty", options["chunks"] // 20) for _ in range(40)]
    one = Group("one", options["chunks"])
    share = share_of([one], many, options["seconds"])
    had = [round(each.seconds(many[0].asked_at, now()), 1) for each in many]
    return {"percent": share, "had_s": had, "have_run": sum(each > 0 for each in had)}


def long_and_short(options: dict[str, Any]) -> dict[str, Any]:
    for seconds in (2, 0.1):
        Group(f"chunks of {seconds}", SMALL, seconds).took()
    long, short = Group("chunks of 2", 1000, 2), Group("chunks of 0.1", options["chunks"], 0.1)
    return {"percent": share_of([long], [short], options["seconds"])}


def weights(options: dict[str, Any]) -> dict[str, Any]:
    """Of two clients, and of two runs of one client."""
    urgent, normal = Group("a", options["chunks"], priority="urgent"), Group("b", options["chunks"])
    clients = share_of([urgent], [normal], options["seconds"])
    for each in (urgent, normal):
        each.jobs.cancel("measured")
    normal = Group("c", options["chunks"])
    urgent = Group("c", options["chunks"], priority="urgent")
    return {"clients": clients, "runs": share_of([urgent], [normal], options["seconds"])}


def newcomers(options: dict[str, Any]) -> dict[str, Any]:
    """A giant's worker seconds of each part of the time, by what an ideal sharing gives it."""
    giant = Group("giant", options["chunks"])
    time.sleep(3)
    begin, seconds = now(), options["seconds"]
    others: list[Group] = []
    while (now() - begin).total_seconds() < seconds:
        others.append(Group(f"newcomer {len(others)}", 3 * SMALL))
        time.sleep(options["each"])
    arrivals = [(each.asked_at - begin).total_seconds() for each in others]
    part = seconds / options["parts"]
    edges = [begin + timedelta(seconds=part * number) for number in range(options["parts"] + 1)]
    used = [sum(each.seconds(*ends) for each in (giant, *others)) for ends in pairwise(edges)]
    workers = [each / part for each in used]
    ideal = shared_ideally(arrivals, 3 * SMALL * CHUNK_S, part, workers)
    found = [
        round(giant.seconds(*ends) / due, 3)
        for ends, due in zip(pairwise(edges), ideal, strict=True)
    ]
    at_work = [round(each, 2) for each in workers]
    return {"parts": found, "newcomers": len(others), "part_s": part, "workers": at_work}


def shared_ideally(
    arrivals: list[float], work: float, part: float, workers: list[float]
) -> list[float]:
    """Worker seconds in each part of the time of one who always has something to do, beside others
    who come with so much work each, if all who are there get the same at every moment, of so many
    workers as were at work in that part on average."""
    step, had = 0.02, [0.0] * len(workers)
    left: list[float] = []
    coming = sorted(arrivals, reverse=True)
    for number in range(round(part * len(workers) / step)):
        place = min(int(number * step / part), len(workers) - 1)
        while coming and coming[-1] <= number * step:
            coming.pop()
            left.append(work)
        each = workers[place] * step / (len(left) + 1)
        had[place] += each
        left = [rest - each for rest in left if rest > each]
    return had


def all_together(options: dict[str, Any]) -> dict[str, Any]:
    """Seconds until all of a mix of three clients has ended: as one line, and shared."""
    lengths = [0.1 + 0.02 * number for number in range(10)]
    chunks = round(options["seconds"] * NODES * WORKERS / sum(lengths))
    found = {}
    for how in ("line", "shared"):
        share: dict[str, Any] = {"key": "line"} if how == "line" else {}
        groups = [
            Group(f"{how} {number % 3}", chunks, length, **share)
            for number, length in enumerate(lengths)
        ]
        begin = groups[0].asked_at
        found[how] = max((each.asked_at - begin).total_seconds() + each.took() for each in groups)
    times = found["shared"] / found["line"]
    return {
        "line_s": round(found["line"], 2),
        "shared_s": round(found["shared"], 2),
        "times": times,
    }


# --- what was foretold -------------------------------------------------------------------


def foretold(options: dict[str, Any]) -> dict[str, Any]:
    """Of each run of a mix, what its page says after its first tenth, ÷ what it then took."""
    return {f"{count} runs": foretold_of(count, known=True) for count in MIXES}


def foretold_new(options: dict[str, Any]) -> dict[str, Any]:
    """The same of runs as none has been before: of those that have not begun nobody knows how long
    they will take."""
    return {f"{count} runs": foretold_of(count, known=False) for count in MIXES}


def foretold_of(count: int, known: bool) -> list[float]:
    chance = Random(count)
    lengths = [round(0.1 * 4 ** chance.random(), 2) for _ in range(count)]
    asked = [
        a_run(f"client {number % 3}", chance.randint(10, 40), length, known)
        for number, length in enumerate(lengths)
    ]
    return sorted(told(asked))


def a_run(client: str, chunks: int, seconds: float, known: bool) -> Any:
    """A run of chunks that sleep; if it is known, as one whose kind has been before."""
    from compute.computations.sums import SUM
    from compute.models.plans import run_of
    from compute.models.run import Run

    task_id = Group(client, chunks, seconds).id
    run = run_of(task_id, SUM, {"n": chunks}, chunk_size=1, chunks=chunks)
    expected = chunks * seconds if known else None
    Run.objects.filter(pk=run.pk).update(expected_seconds=expected)
    return Run.objects.get(pk=run.pk)


def is_through(group: str) -> bool:
    from compute.queue.models import Job

    return not Job.objects.in_group(group).unsettled().exists()


def told(runs: Sequence[Any]) -> list[float]:
    """A look at the queue holds for a second: the first comes when all are there."""
    from compute.models.outlook import HOLDS_S, outlook
    from compute.queue.models import Job

    time.sleep(HOLDS_S)
    due = {run.pk: run for run in runs}
    said: dict[int, tuple[datetime, float | None]] = {}
    while due:
        for run in list(due.values()):
            if Job.objects.in_group(run.task_id).filter(state="done").count() * 10 >= run.chunks:
                said[run.pk] = now(), outlook(run).ends_in
                del due[run.pk]
        time.sleep(0.05)
    ratios = []
    for run in runs:
        jobs: Any = Job.objects.in_group(run.task_id)
        wait_until(partial(is_through, run.task_id), PATIENCE_S, 0.1)
        ended = jobs.exclude(finished_at=None).latest("finished_at").finished_at
        at, ends_in = said[run.pk]
        ratios.append(round((ends_in or 0.0) / (ended - at).total_seconds(), 3))
    return ratios


# --- so many at once ---------------------------------------------------------------------


def at_once(options: dict[str, Any], nodes: Nodes) -> dict[str, Any]:
    """How many leases a limited run holds, on the database's clock, over three nodes, of which
    one is killed; and the longest time in which it held less than it may."""
    from django.db import connection

    nodes.start()
    Group("others", options["chunks"])
    limited = Group("limited", options["chunks"], at_once=3)
    most, below_since, below = 0, 0.0, 0.0
    begin = time.monotonic()
    kill_at = begin + options["seconds"] / 2
    clock = "statement_timestamp()"
    if connection.vendor == "sqlite":
        clock = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"
    while (moment := time.monotonic()) < begin + options["seconds"]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM queue_job JOIN django_q_ormq AS package "
                "ON package.id = queue_id "
                f"WHERE \"group\" = %s AND state = 'running' AND lock > {clock}",
                [limited.id],
            )
            (held,) = cursor.fetchone()
        most = max(most, held)
        below_since = 0.0 if held >= 3 else below_since or moment
        below = max(below, moment - below_since if below_since else 0.0)
        if kill_at and moment > kill_at:
            kill_at = 0.0
            for process in family(nodes.started.pop()):
                process.kill()
        time.sleep(0.02)
    return {"most": most, "below_s": round(below, 2)}


# --- the picture -------------------------------------------------------------------------


def picture(options: dict[str, Any]) -> dict[str, Any]:
    """How far a giant and a small run are, second by second: in one line, and shared."""
    found = {}
    for how in ("line", "shared"):
        share: dict[str, Any] = {"key": "line"} if how == "line" else {}
        giant = Group(f"{how}, giant", 300, **share)
        time.sleep(3)
        small = Group(f"{how}, small", 60, **share)
        for each in (giant, small):
            each.took()
        found[how] = {
            "giant": done(giant, giant.asked_at),
            "small": done(small, giant.asked_at),
        }
    return found


def done(group: Group, begin: datetime) -> list[tuple[float, float]]:
    """At which second it was how far, in percent."""
    ends = sorted(group.jobs.values_list("finished_at", flat=True))
    points = [((group.asked_at - begin).total_seconds(), 0.0)]
    points += [
        ((end - begin).total_seconds(), 100 * (number + 1) / len(ends))
        for number, end in enumerate(ends)
    ]
    kept = [*points[:: max(1, len(points) // 60)], points[-1]]
    return [(round(second, 2), round(percent, 1)) for second, percent in kept]


SCENARIOS: dict[str, Callable[..., dict[str, Any]]] = {
    each.__name__: each
    for each in (
        *(one_giant, many_giants, own_giant, forty_to_one, long_and_short, weights),
        *(newcomers, all_together, foretold, foretold_new, at_once, picture),
    )
}


def measure(name: str, system: System, nodes: Nodes, options: dict[str, Any]) -> dict[str, Any]:
    from compute.queue.models import Node

    with Stamps(system.place.folder) as stamps:
        for _ in range(NODES):
            nodes.start()
        warm_up(nodes, stamps)
        wait_until(lambda: Node.objects.workers() == NODES * WORKERS, 60, 0.1)
        time.sleep(1)
    scenario = SCENARIOS[options["scenario"]]
    return scenario(options, nodes) if scenario is at_once else scenario(options)


def run(bench: Bench) -> dict[str, Any]:
    options = bench.choose(
        {"chunks": 10_000, "seconds": 300, "times": 10, "each": 3},
        quick={"chunks": 4_000, "seconds": 60, "times": 5, "each": 3},
    )
    options["seconds"] = bench.seconds or options["seconds"]
    names = bench.mine(OURS)

    def one(name: str, scenario: str) -> dict[str, Any]:
        asked = {**options, "scenario": scenario, **special(scenario, options["seconds"])}
        return bench.session(name, "fair", asked, asked["seconds"] * 3 + PATIENCE_S)

    found: dict[str, Any] = {name: {} for name in names}
    with ThreadPoolExecutor(max(1, len(names))) as both:
        for scenario in SCENARIOS:
            results: Iterable[Any] = both.map(one, names, [scenario] * len(names))
            for name, result in zip(names, results, strict=True):
                found[name][scenario] = result
    return {"options": options, "rounds": [found]}


def special(scenario: str, seconds: int) -> dict[str, Any]:
    """For how long a scenario is watched; the longest are those that the targets say."""
    if scenario == "newcomers":
        return {"seconds": 2 * seconds, "parts": 10}
    if scenario in ("long_and_short", "weights", "all_together", "at_once"):
        return {"seconds": min(seconds, 100)}
    return {}
