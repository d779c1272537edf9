"""Chaos among those who share the workers: limits, weights and pauses; and who breaks them.

Groups of at most so many tasks at once are queued, runs and groups get another weight, and are
paused for a while. Watched is, on the database's clock, that no more leases are held than a limit
allows, and that nothing of what is paused is claimed.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from tests.processes import wait_until

#: Seconds between two groups with a limit, two changes of a weight, and two pauses.
GROUP_S, WEIGHT_S, PAUSE_S = 5, 2, 4
#: Seconds for which something is paused.
PAUSED_S = (2, 8)
#: Seconds between two looks at the leases.
LOOK_S = 0.03
#: Leases that a limit speaks of: pool, limit, task, its worker.
HELD = """
    SELECT pool, at_once, task_id, worker FROM queue_job AS job
    JOIN django_q_ormq AS package ON package.id = job.queue_id
    JOIN queue_flow AS flow ON flow.id = job.flow_id
    WHERE at_once IS NOT NULL AND state = 'running' AND lock > {clock}
"""
CLOCKS = {
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')",
    "postgresql": "clock_timestamp()",
}

#: Asks the database, however long that takes.
Ask = Callable[[Callable[[], Any]], Any]


class Paused(NamedTuple):
    flow: int
    since: Any  # on the database's clock
    until: float
    #: The jobs that were claimed before, by their ids.
    held: set[str]


class Sharing:
    def __init__(self, seed: int, ask: Ask) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.asked = ask
        self.done: Counter[str] = Counter()
        self.groups: dict[str, int] = {}  # what each has to come to
        self.paused: list[Paused] = []
        self.violations: list[str] = []
        self.watcher = Watcher()
        moment = time.monotonic()
        self.due = dict.fromkeys((self.queue_group, self.change_weight, self.pause), moment)

    def step(self) -> None:
        """Do what is due."""
        every = {self.queue_group: GROUP_S, self.change_weight: WEIGHT_S, self.pause: PAUSE_S}
        for act, seconds in every.items():
            if time.monotonic() > self.due[act]:
                self.due[act] = time.monotonic() + seconds
                act()
        self.resume()

    def queue_group(self) -> None:
        from django.db import InterfaceError, OperationalError, connection

        from compute import chunking, tasks
        from compute.queue.broker import sharing
        from compute.queue.fanout import async_iter

        at_once = self.random.randint(1, 3)
        n = self.random.randrange(10_000_000, 30_000_000)
        share = {
            "client": f"client {self.random.randrange(3)}",
            "priority": self.random.choice(("urgent", "normal", "background")),
            "pool": self.random.choice(("", f"pool of {at_once}")),
        }
        chunks = chunking.ranges(n, n // 8)
        try:
            broker = sharing(at_once=at_once, **share)
            group = async_iter(tasks.get_sum_range, chunks, task_name="limited", broker=broker)
        except (OperationalError, InterfaceError):  # nobody knows if it is there
            connection.close()
            return
        self.groups[group] = n * (n + 1) // 2
        self.done["groups with a limit"] += 1

    def change_weight(self) -> None:
        from compute.queue.models import Flow

        priority = self.random.choice(("urgent", "normal", "background"))
        if flow := self.any_flow():
            self.asked(lambda: Flow.objects.filter(pk=flow).prioritize(priority))
            self.done["changes of a weight"] += 1

    def pause(self) -> None:
        from compute.queue.models import Flow, Job

        if flow := self.any_flow():
            self.asked(lambda: Flow.objects.filter(pk=flow).pause())
            # A worker begins after that with what it had claimed before, together with others.
            at_work = Job.objects.filter(flow=flow, state="running").values_list("pk", flat=True)
            held = self.asked(lambda: set(at_work))
            since = self.asked(database_clock)
            until = time.monotonic() + self.random.uniform(*PAUSED_S)
            self.paused.append(Paused(flow, since, until, held))
            self.done["pauses"] += 1

    def any_flow(self) -> int | None:
        """One in which something waits, and that is not paused."""
        from compute.queue.models import Flow

        waiting = Flow.objects.filter(closed_at=None, paused=False, jobs__state="queued")
        ids = self.asked(lambda: sorted(set(waiting.values_list("pk", flat=True))))
        return self.random.choice(ids) if ids else None

    def resume(self, at_once: bool = False) -> None:
        """End the pauses that are due, or all `at_once`; nothing may have been claimed in them."""
        from compute.queue.models import Flow, Job

        for paused in list(self.paused):
            if not (at_once or time.monotonic() > paused.until):
                continue
            jobs = Job.objects.filter(flow=paused.flow, started_at__gt=paused.since)
            jobs = jobs.exclude(pk__in=paused.held)
            claimed = self.asked(partial(list, jobs.values_list("name", "attempt")))
            self.violations += [f"claimed while paused: {job}" for job in claimed]
            self.asked(Flow.objects.filter(pk=paused.flow).resume)
            self.paused.remove(paused)

    def holds_up(self, flow: int) -> bool:
        """Whether what waits in a flow does so because that is paused."""
        return any(paused.flow == flow for paused in self.paused)

    def come_to_rest(self) -> None:
        self.resume(at_once=True)

    # --- the reckoning ------------------------------------------------------------------

    def check(self, deaths: Counter[str]) -> Iterator[str]:
        from compute.queue.models import Flow

        self.watcher.end()
        yield from self.violations
        yield from self.watcher.violations.values()
        for group, total in self.groups.items():
            yield from self.check_group(group, total, deaths)
        if paused := Flow.objects.filter(paused=True).count():
            yield f"{paused} flows were left paused"

    def check_group(self, group: str, total: int, deaths: Counter[str]) -> Iterator[str]:
        """Its total is exact; what failed was killed three times, and a retry mends it."""
        from compute.queue.fanout import results
        from compute.queue.models import Job

        jobs = Job.objects.in_group(group)
        for job in jobs.filter(state="failed"):
            if job.error_class != "WorkerDied" or deaths[job.pk] < 3:
                yield f"{group}: {job} failed: {job.error}"
        if jobs.retry():
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not jobs.unsettled().exists(), 60)
        found = results(group)
        if found is None or sum(found) != total:
            yield f"{group}: {jobs.counts()}, came to {found}"

    def lines(self) -> Iterator[str]:
        counts = [f"{what}: {count}" for what, count in self.done.items()]
        counts.append(f"looks at leases: {self.watcher.looks}, {self.watcher.full} at a limit")
        yield ", ".join(counts)


class Watcher(threading.Thread):
    """Looks, as often as it can, whether more leases of a pool are held than its limit."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.looks = self.full = 0
        self.violations: dict[str, str] = {}
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        from django.db import DatabaseError, InterfaceError, connection

        while not self.over.wait(LOOK_S):
            try:
                self.look()
            except (DatabaseError, InterfaceError):
                connection.close()
        connection.close()

    def look(self) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(HELD.format(clock=CLOCKS[connection.vendor]), [])
            rows = cursor.fetchall()
        self.looks += 1
        for (pool, at_once), held in Counter(row[:2] for row in rows).items():
            self.full += held == at_once
            if held > at_once:
                who = [row[2:] for row in rows if row[0] == pool]
                moment = time.strftime("%X")
                said = f"{pool}: {held} leases of at most {at_once} at {moment}: {who}"
                self.violations.setdefault(pool, said)

    def end(self) -> None:
        self.over.set()
        self.join()


def database_clock() -> Any:
    """What the database's clock says, after all that has been committed."""
    from django.db.models.functions import Now

    from compute.queue.models import Flow

    return Flow.objects.annotate(clock=Now()).values_list("clock", flat=True)[0]
