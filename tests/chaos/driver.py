"""Kills whatever a site is made of, at random, and checks that nothing came of it.

    python -m tests.chaos.driver --seconds 60 --seed 1 --nodes 2 --database postgres

`bin/chaos` calls this. It starts a database, a web server and nodes of its own, starts
runs through the web, and meanwhile kills, freezes and stops processes. Then it lets
everything come to rest and looks for broken promises. The exit code is 1 if it finds
one. The same seed makes the same choices; what they meet is up to the machine's timing.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
from django.utils import timezone

from tests.chaos.framework import Framework
from tests.chaos.sharing import Sharing
from tests.processes import Process, Processes, environment, wait_until

#: How many primes there are up to so many: a computation whose chunks cost unequally.
PRIMES = {10**6: 78_498, 10**7: 664_579, 10**8: 5_761_455}
#: Seconds that a frozen process stays so.
FREEZE = 20
#: Seconds after the last kill within which every run has to end.
REST = 120
#: The processes of a node that run nothing.
HELPERS = ("helper", "reporter", "sweeper")
#: Seconds between two schedules that are made.
SCHEDULE = 7
#: Seconds that a task of a dead node may wait while a worker is idle.
LIMIT = 20


@dataclass
class Victim:
    """A job whose worker was killed or frozen while it ran."""

    task_id: str
    attempt: int
    strike: str
    since: float  # on the clock of those who could take it over


@dataclass
class Figures:
    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    shaped: int = 0
    refused: int = 0
    recoveries: list[float] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    redeliveries: int = 0
    jobs: int = 0
    violations: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        yield f"runs acknowledged: {self.runs}, starts that got no answer: {self.refused}"
        yield f"results of every shape, taken away: {self.shaped}"
        yield f"kills: {sum(self.kills.values())}"
        for kind, count in sorted(self.kills.items()):
            yield f"  {kind}: {count}"
        wasted = self.redeliveries / max(1, self.jobs)
        yield f"jobs: {self.jobs}, redeliveries: {self.redeliveries} ({wasted:.1%} run again)"
        if self.recoveries:
            ordered = sorted(self.recoveries)
            p95 = ordered[int(0.95 * (len(ordered) - 1))]
            yield (
                f"recovery of {len(ordered)} interrupted jobs: p50 "
                f"{statistics.median(ordered):.1f} s, p95 {p95:.1f} s, max {ordered[-1]:.1f} s"
            )
        yield from self.shared
        yield f"violations: {len(self.violations)}"
        yield from (f"  {violation}" for violation in self.violations)


class Chaos:
    def __init__(self, options: argparse.Namespace, processes: Processes, restart: Any) -> None:
        self.options = options
        self.random = random.Random(options.seed)  # noqa: S311 - no secret
        self.processes = processes
        self.restart_database: Callable[[], None] | None = restart
        self.figures = Figures()
        self.nodes: list[Process] = []
        self.frozen: list[tuple[float, list[psutil.Process]]] = []
        self.able = 0.0  # seconds in which a node could work
        self.looked = time.monotonic()
        self.victims: list[Victim] = []
        self.deaths: Counter[str] = Counter()  # of a job's worker, by task id
        self.acknowledged: dict[str, int | None] = {}  # what a run has to come to, or fail
        self.shaped: dict[str, int] = {}  # how many rows a run of `shapes` comes to
        self.cancelled: set[str] = set()  # runs that somebody cancelled, if that was in time
        self.asking: list[threading.Thread] = []
        self.schedules: dict[str, int] = {}  # what each has to come to, by name
        self.scheduled = time.monotonic()
        self.sharing = Sharing(options.seed, self.asked)
        self.framework = Framework(options.seed)

    # --- the run ------------------------------------------------------------------------

    def run(self) -> Figures:
        self.web, self.site = self.processes.web(DEBUG="0", ALLOWED_HOSTS="localhost")
        for _ in range(self.options.nodes):
            self.start_node()
        end = time.monotonic() + self.options.seconds
        next_kill = time.monotonic() + 3
        while time.monotonic() < end:
            self.keep_busy()
            self.keep_scheduling()
            if not self.frozen:  # they may hold SQLite's write lock, and are thawed here
                self.sharing.step()
                self.framework.step()
            self.tend()
            if time.monotonic() > next_kill:
                next_kill = time.monotonic() + self.random.uniform(0.5, 2 * self.options.every)
                self.strike()
            time.sleep(0.1)
        self.come_to_rest()
        return self.figures

    def start_node(self) -> None:
        recycle = self.random.choice(["100000", "20"])  # tasks of a worker
        self.nodes.append(self.processes.manage("qcluster", Q_RECYCLE=recycle))

    def keep_busy(self) -> None:
        """Start runs while there is less to do than the workers could do in seconds."""
        if len(self.asking) < 3 and self.unsettled() < 6 * self.options.nodes:
            thread = threading.Thread(target=self.ask, args=(self.random.random(),))
            thread.start()
            self.asking.append(thread)
        self.asking = [thread for thread in self.asking if thread.is_alive()]

    def keep_scheduling(self) -> None:
        """Schedule a task now and then, to be run once."""
        from django.db import InterfaceError, OperationalError, connection
        from django_q.tasks import schedule

        if time.monotonic() - self.scheduled < SCHEDULE:
            return
        self.scheduled = time.monotonic()
        name, n = f"scheduled {len(self.schedules)}", 1_000_000 + len(self.schedules)
        try:
            schedule("compute.tasks.get_sum", n, name=name)
            self.schedules[name] = n * (n + 1) // 2
        except (OperationalError, InterfaceError):  # nobody knows if it is there
            connection.close()

    def ask(self, choice: float) -> None:
        path, n = start_of(choice)
        try:
            request = Request(f"{self.site}{path}", headers={"X-Forwarded-Proto": "https"})
            with urlopen(request, timeout=30) as reply:
                address = json.load(reply)["task_progress"]
        except OSError:
            self.figures.refused += 1
            return
        total = PRIMES[n] if "primes" in path else n * (n + 1) // 2
        fails = "bug" in path and n >= 1234567
        task_id = address.rpartition("=")[2]
        self.acknowledged[task_id] = None if fails else total
        if "shapes" in path:
            self.shaped[task_id] = n
        if choice > 0.5:
            self.look(address)
        if 0.35 < choice < 0.39:
            self.cancel(task_id)

    def look(self, address: str) -> None:
        """As somebody does who has its page open: workers then combine what there is so far."""
        headers = {"Accept": "text/html", "HX-Request": "true", "X-Forwarded-Proto": "https"}
        for _ in range(3):
            with contextlib.suppress(OSError), urlopen(Request(address, headers=headers)) as page:
                page.read()
            time.sleep(1)

    def cancel(self, task_id: str) -> None:
        """Cancel a run whose chunks are done, while they are combined."""
        from compute.models import Run, RunState

        def run() -> Any:
            return self.asked(lambda: Run.objects.get(task_id=task_id))

        with contextlib.suppress(AssertionError):  # it takes longer: let it be
            wait_until(lambda: run().combine_id or run().state != RunState.IN_PROGRESS, 20)
            self.cancelled.add(task_id)
            self.figures.kills["cancelled while combining"] += 1
            self.asked(lambda: run().cancel("chaos"))

    # --- what is done to it -------------------------------------------------------------

    def strike(self) -> None:
        choices = ["node"] * 12 + ["web", "clock"]
        choices += ["database"] if self.restart_database else []
        what = self.random.choice(choices)
        if what == "web":
            self.kill_web_worker()
        elif what == "clock":
            self.end_all_leases()
        elif what == "database" and self.restart_database:
            self.figures.kills["database restart"] += 1
            self.restart_database()
        else:
            self.strike_node(self.random.choice(self.nodes))

    def strike_node(self, node: Process) -> None:
        roles = self.asked(lambda: roles_of(node))
        if not roles:
            return
        if self.frozen:  # nobody would start another, and the next to be killed is its master
            roles.pop("sweeper")
        role = self.random.choice([*roles, "all"])
        how = self.random.choice([signal.SIGKILL] * 4 + [signal.SIGSTOP, signal.SIGTERM])
        group = [self.random.choice(roles[role])] if role in roles else node.family()
        self.figures.kills[f"{how.name} {role}"] += 1
        if how != signal.SIGTERM or role in ("all", "supervisor"):
            self.note_victims(roles, role, group, how)
        for process in group:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(how)
        if how == signal.SIGSTOP:
            self.frozen.append((time.monotonic() + FREEZE, group))
        if role == "all" and how == signal.SIGKILL:  # as a machine's end does
            for process in left_by_tasks():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def end_all_leases(self) -> None:
        """As a clock does that jumps: what is at work seems to be nobody's."""
        from django_q.models import OrmQ

        from compute.queue.models import Job, JobState

        running = Job.objects.filter(state=JobState.RUNNING).values("queue_id")
        long_ago = timezone.now() - timedelta(hours=1)
        self.asked(lambda: OrmQ.objects.filter(pk__in=running).update(lock=long_ago))
        self.figures.kills["clock jumped"] += 1

    def kill_web_worker(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            worker = self.random.choice(psutil.Process(self.web.pid).children())
            self.figures.kills["SIGKILL web worker"] += 1
            worker.kill()

    def note_victims(
        self, roles: Any, role: str, group: list[psutil.Process], how: signal.Signals
    ) -> None:
        """Remember which jobs this interrupts, to see how long they wait."""
        from compute.queue.models import Job, JobState

        if role in HELPERS or (role == "supervisor" and how == signal.SIGSTOP):
            return  # nothing runs there, or everything goes on
        pids = [process.pid for process in roles["worker"]]
        if role == "worker":
            pids = [group[0].pid]
        running = self.asked(
            lambda: list(Job.objects.filter(state=JobState.RUNNING, worker__in=pids))
        )
        strike = f"{how.name} {role} at {time.strftime('%X')}"
        for job in running:
            self.victims.append(Victim(job.pk, job.attempt, strike, self.able))
            if role == "worker" and how == signal.SIGKILL:
                self.deaths[job.pk] += 1

    def tend(self) -> None:
        """Do what a process manager does, thaw what is due, and see what has recovered."""
        for node in list(self.nodes):
            if node.popen.poll() is not None:
                self.nodes.remove(node)
                self.start_node()
        # While every supervisor is frozen there is nobody to wait for, and while one holds SQLite's
        # only lock, nobody can do anything; this process, which queues tasks, neither: so it is
        # judged before they are thawed, by what they did meanwhile.
        frozen = {process.pid for _, group in self.frozen for process in group}
        able = any(node.pid not in frozen for node in self.nodes)
        able = able and not (frozen and is_locked())
        now = time.monotonic()
        if able:
            self.able += now - self.looked
        self.looked = now
        for due, group in list(self.frozen):
            if time.monotonic() > due:
                self.frozen.remove((due, group))
                for process in group:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.send_signal(signal.SIGCONT)
        if self.victims:
            self.see_who_recovered()

    def see_who_recovered(self) -> None:
        from compute.queue.models import UNSETTLED, Job

        ids = [victim.task_id for victim in self.victims]
        jobs = self.asked(lambda: Job.objects.defer("result", "payload").in_bulk(ids))
        for victim in list(self.victims):
            job = jobs.get(victim.task_id)
            if job and self.sharing.holds_up(job.flow_id):
                victim.since = self.able
            if job is None or job.attempt > victim.attempt or job.state not in UNSETTLED:
                self.victims.remove(victim)
                waited = self.able - victim.since
                self.figures.recoveries.append(waited)
                if waited > LIMIT:
                    until = time.strftime("%X")
                    self.figures.late.append(
                        f"{job}: {victim.strike}, waited {waited:.1f} s until {until}"
                    )

    # --- the reckoning ------------------------------------------------------------------

    def come_to_rest(self) -> None:
        self.frozen = [(0.0, group) for _, group in self.frozen]
        self.sharing.come_to_rest()
        deadline = time.monotonic() + REST
        while time.monotonic() < deadline and (
            self.asking or self.unsettled() or self.victims or self.asked(schedules_left)
        ):
            self.asking = [thread for thread in self.asking if thread.is_alive()]
            self.tend()
            time.sleep(0.2)
        self.check_runs()
        self.check_leftovers()
        self.figures.shared = [*self.sharing.lines(), *self.framework.lines()]

    def check_runs(self) -> None:
        from django_q.models import OrmQ

        from compute.queue.models import Job

        found = self.figures.violations
        self.figures.runs = len(self.acknowledged)
        self.figures.jobs = Job.objects.count()
        self.figures.redeliveries = sum(
            max(0, attempt - 1) for attempt in Job.objects.values_list("attempt", flat=True)
        )
        for task_id, total in self.acknowledged.items():
            self.check_run(task_id, total)
        for name, total in self.schedules.items():
            self.check_schedule(name, total)
        found += self.sharing.check(self.deaths)
        found += self.framework.check(self.deaths)
        if unsettled := Job.objects.unsettled().count():
            found.append(f"{unsettled} jobs never settled")
        if queued := OrmQ.objects.count():
            found.append(f"{queued} packages left in the queue")
        found += self.figures.late

    def check_schedule(self, name: str, total: int) -> None:
        """What is scheduled is queued once, whoever dies meanwhile."""
        from django_q.models import Task

        ended = Task.objects.filter(group=name)
        if len(ended) != 1:
            self.figures.violations.append(f"{name}: ended {len(ended)} times")
        elif ended[0].result != total and self.deaths[ended[0].pk] < 3:
            self.figures.violations.append(f"{name}: came to {ended[0].result}")

    def check_run(self, task_id: str, total: int | None) -> None:
        from django_q.models import Failure

        from compute.models import Run
        from compute.models.notes import refresh
        from compute.models.retries import combine_again
        from tests.chaos.shapes import wrong

        found = self.figures.violations
        run = Run.objects.filter(task_id=task_id).first()
        if run is None:
            found.append(f"{task_id}: acknowledged, and gone")
            return
        refresh(run)
        if task_id in self.cancelled and run.state == Run.State.CANCELLED:
            combine_again(run)  # nothing is lost by it
            with contextlib.suppress(AssertionError):
                wait_until(lambda: refresh(run) and run.state != Run.State.IN_PROGRESS, 60)
        if total is None:
            if run.state != Run.State.ERROR or not Failure.objects.filter(pk=task_id).exists():
                found.append(f"{task_id}: should have failed, is {run.state}")
            return
        if run.state == Run.State.ERROR:
            self.check_error(run)
        if run.state != Run.State.DONE:
            found.append(f"{task_id}: {run.state}, {run.jobs.counts()}")
        elif task_id in self.shaped:
            self.figures.shaped += 1
            found += wrong(self.site, task_id, self.shaped[task_id])
        elif run.result != total:
            found.append(f"{task_id}: {run} came to {run.result}")

    def check_error(self, run: Any) -> None:
        """An error is right only for what was killed three times, listed; a retry mends it."""
        from django_q.models import Failure

        from compute.models import Run
        from compute.models.notes import refresh
        from compute.models.retries import retry
        from compute.queue.models import JobState

        for job in run.everything().filter(state=JobState.FAILED):
            if job.error_class != "WorkerDied" or self.deaths[job.pk] < 3:
                self.figures.violations.append(f"{run.task_id}: {job} failed: {job.error}")
            if not Failure.objects.filter(pk=job.pk).exists():
                self.figures.violations.append(f"{run.task_id}: {job} failed and is not listed")
        retry(run)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: refresh(run) and run.state != Run.State.IN_PROGRESS, 60)

    def check_leftovers(self) -> None:
        families = [process for node in self.nodes for process in node.family()]
        for node in self.nodes:
            node.send(signal.SIGTERM)
        _, alive = psutil.wait_procs(families, timeout=40)
        if alive:
            self.figures.violations.append(f"processes left over: {alive}")
        if left := left_by_tasks():
            self.figures.violations.append(f"processes that tasks have left: {left}")

    # --- asking a database that may be away ---------------------------------------------

    def unsettled(self) -> int:
        """How many jobs have not settled, and runs of which that is not noted or combined."""
        from compute.models import Run
        from compute.queue.models import Job

        runs = Run.objects.filter(state=Run.State.IN_PROGRESS)
        return int(self.asked(lambda: Job.objects.unsettled().count() + runs.count()))

    def asked(self, question: Callable[[], Any]) -> Any:
        from django.db import DatabaseError, connection

        def answer() -> list[Any]:
            try:
                return [question()]
            except DatabaseError:
                connection.close()
                return []

        return wait_until(answer, 60, "the database")[0]


def start_of(choice: float) -> tuple[str, int]:
    """Where a run is started, and how far it goes."""
    n = 5_000_000 + int(choice * 60_000_000)
    path = f"/split-sum-start/?n={n}&chunk_size={4_000_000 + int(choice * 9e7) % 12_000_000}"
    if choice < 0.1:
        path = f"/bug-sum-start/?n={n}"
    elif choice < 0.2:
        n //= 3
        path = f"/sum-start/?n={n}"
    elif choice < 0.35:
        n = list(PRIMES)[int(choice * 1000) % len(PRIMES)]
        path = f"/compute/primes/start/?n={n}"
    elif choice < 0.55:
        path = f"/compute/merging/start/?n={n}&seconds={10 * choice - 3.4:.1f}"
    elif choice < 0.62:
        n //= 5_000
        path = f"/compute/shapes/start/?n={n}&chunk_size={n // 8}"
    elif choice > 0.85:  # chunks that take next to nothing, which workers claim together
        n //= 50
        path = f"/split-sum-start/?n={n}&chunk_size={n // 400}"
    return path, n


def schedules_left() -> int:
    from django_q.models import Schedule

    return int(Schedule.objects.filter(name__startswith="scheduled ").count())


def left_by_tasks() -> list[psutil.Process]:
    """What chunks have started, and not waited for: see computations/merging.py."""
    mark = os.environ["CHAOS_SLEEP"]
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline() == ["sleep", mark]:
                found.append(process)
    return found


def is_locked() -> bool:
    """Whether somebody holds SQLite's lock on writes for longer than a write takes."""
    from django.db import connection

    if connection.vendor != "sqlite":
        return False
    with contextlib.closing(
        sqlite3.connect(connection.settings_dict["NAME"], timeout=0.5)
    ) as another:
        try:
            another.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        another.rollback()
    return False


def roles_of(node: Process) -> dict[str, list[psutil.Process]]:
    """A node's processes by what they do, as its last sign of life tells."""
    from django_q.signing import SignedPackage

    from compute.queue.models import Node

    row = Node.objects.filter(pid=node.pid).order_by("-seen_at").first()
    if row is None:
        return {}
    stat = SignedPackage.loads(row.stat)
    pids = {
        "worker": stat.workers,
        "reporter": [stat.monitor],
        "guard": [stat.sentinel],
        "supervisor": [node.pid],
    }
    known = set(itertools.chain.from_iterable(pids.values()))
    family = {process.pid: process for process in node.family()}
    roles = {role: [family[pid] for pid in some if pid in family] for role, some in pids.items()}
    # The statistics are django-q2's, which has no process for schedules, and none that sweeps: a
    # helper is the scheduler, or the listener where there is one.
    for role, parent in (("helper", stat.sentinel), ("sweeper", node.pid)):
        roles[role] = [
            process
            for process in family.values()
            if process.pid not in known and is_child_of(process, parent)
        ]
    return roles if all(roles.values()) else {}


def is_child_of(process: psutil.Process, pid: int) -> bool:
    try:
        return bool(process.ppid() == pid)
    except psutil.NoSuchProcess:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--every", type=float, default=2.5, help="seconds between two kills")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    options = parser.parse_args()

    os.environ["TEST_DATABASE"] = options.database
    from tests import database

    database.begin()
    if options.database == "sqlite":
        os.environ["DATABASE_URL"] = f"sqlite:///{database.FOLDER}/chaos.sqlite3"
    os.environ.update(DJANGO_SETTINGS_MODULE="tests.chaos.settings", PYTEST_VERSION="none")
    # All it starts comes from one address.
    os.environ.update(MAX_ACTIVE_RUNS="1000", MAX_CLIENT_RUNS="1000", MAX_CLIENT_CHUNKS="200000")
    os.environ.update(MAX_WORK_MINUTES="0", MAX_CLIENT_MB_PER_HOUR="0")
    os.environ["CHAOS_SLEEP"] = f"{10**6 + os.getpid()}"  # seconds, and told apart by that
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    folder = Path(tempfile.mkdtemp(prefix="sumsite-chaos-"))
    processes = Processes(folder, environment())
    restart = database.restart if options.database == "postgres" else None
    try:
        figures = Chaos(options, processes, restart).run()
    finally:
        processes.end()
        database.end()
    print(f"{options.database}, {options.nodes} node(s), seed {options.seed}:")
    print("\n".join(figures.lines()))
    if figures.violations:
        print(f"what the processes said, in {folder}; the last of it:")
        for command, lines in processes.last_words(100):
            print(f"--- {command}\n{lines}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
