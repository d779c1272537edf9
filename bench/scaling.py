"""What nodes and tasks cost one Postgres, and from that how many it carries.

    .venv/bin/python -m bench.scaling            about ten minutes; prints tables
    .venv/bin/python -m bench.scaling --write    puts them, and the picture, into docs/

It starts a Postgres and nodes of its own (`bin/test` has installed what it takes).
Statements are counted in the server's log, in rounds of their own, for writing it takes
time; processor time is what the kernel says of the server's processes. Statements do not
depend on what else the machine does. Times do, so of rounds the median is taken, and a
machine that does nothing else is the place to measure.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.processes import ROOT, Process, Processes, environment

#: Nodes of one worker each, added as the measuring goes on, and how many tasks a round has.
FLEET = {1: 500, 5: 500, 20: 2_000}
#: How many tasks all of them get in the end, with the statements logged.
TASKS = 5_000
#: Workers of the one node that is measured alone.
WORKERS = (1, 2, 4, 8)
#: Seconds that idle nodes are watched for.
WATCH = 8
ROUNDS = 3
#: Tasks, a second each, of which the share that goes on while they run is seen.
LONG = 20
#: How many connections servers allow: a small hosted one, the default, a large one.
ALLOWED = (20, 100, 500)
#: Kept free: three for Postgres' superuser, one for each of three web processes.
RESERVED = 6
#: How busy a server's processors may be for others to be served in time.
BUSY = 0.5
DOCUMENT = ROOT / "docs" / "scaling.md"
PICTURE = ROOT / "docs" / "scaling.svg"

#: A process of a node by what only it says.
ROLES = (
    ("worker", "WITH free"),
    ("guard", '"queue_node"'),
    ("reporter", "AS ended"),
    ("listener", "SELECT 1"),
)


@dataclass
class Seen:
    """What happened on the server between two looks."""

    seconds: float
    #: Of the server's processes.
    processor: float
    wal_bytes: int
    #: (role, first two words) of each of the nodes' statements, how often, if they were logged.
    statements: Counter[tuple[str, str]] = field(default_factory=Counter)
    commits: int = 0

    @property
    def count(self) -> int:
        return sum(self.statements.values())

    def of(self, role: str) -> int:
        return sum(count for (who, _), count in self.statements.items() if who == role)


@dataclass
class Round:
    """So many tasks, run by so many nodes."""

    count: int
    seconds: float
    seen: Seen

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def cost(self) -> float:
        """Seconds of the server's processors for a task."""
        return self.seen.processor / self.count


class Server:
    """The measured Postgres."""

    def __init__(self, folder: Path, pid: int) -> None:
        self.log = folder / "log"
        self.process = psutil.Process(pid)

    def log_statements(self, on: bool) -> None:
        execute(f"ALTER SYSTEM SET log_statement = '{'all' if on else 'none'}'")
        execute("ALTER SYSTEM SET log_line_prefix = '%p %a '")
        execute("SELECT pg_reload_conf()")
        time.sleep(1.5)  # each session reads it before its next statement; all have one a second

    def processor_time(self) -> float:
        spent = 0.0
        for process in self.process.children():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            spent += times.user + times.system
        return spent

    def session_bytes(self) -> float:
        (pids,) = execute(
            "SELECT array_agg(pid) FROM pg_stat_activity WHERE application_name = 'node'"
        )
        return statistics.median(psutil.Process(pid).memory_full_info().uss for pid in pids)

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        """What is between is seen; complete when it is left."""
        seen = Seen(0, 0, 0)
        wal = "SELECT pg_current_wal_lsn() - '0/0'"
        (before,), start = execute(wal), self.log.stat().st_size
        processor, began = self.processor_time(), time.monotonic()
        yield seen
        seen.seconds = time.monotonic() - began
        seen.processor = self.processor_time() - processor
        seen.wal_bytes = int(execute(wal)[0] - before)
        self.read_log(start, seen)

    def read_log(self, start: int, seen: Seen) -> None:
        with self.log.open("rb") as log:
            log.seek(start)
            text = log.read().decode(errors="replace").replace("\n\t", " ")
        said: dict[str, list[str]] = {}
        found = re.findall(r"^(\d+) node LOG:  (?:statement|execute [^:]*): (.*)$", text, re.M)
        for pid, statement in found:
            said.setdefault(pid, []).append(" ".join(statement.split()))
        for statements in said.values():
            role = role_of(statements)
            inside = False
            for statement in statements:
                seen.statements[role, " ".join(statement.split()[:2])] += 1
                inside = statement.startswith("BEGIN") or (
                    inside and not statement.startswith(("COMMIT", "ROLLBACK"))
                )
                seen.commits += not inside


def role_of(statements: list[str]) -> str:
    for role, mark in ROLES:
        if any(mark in statement for statement in statements):
            return role
    raise LookupError(f"whose are these? {statements}")


def execute(statement: str, *values: Any) -> tuple[Any, ...]:
    """Its first row."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return tuple(cursor.fetchone() or ()) if cursor.description else ()


# --- what is measured ------------------------------------------------------------------


def connections() -> int:
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'node'"
    return int(execute(count)[0])


def idle(server: Server, nodes: list[Process]) -> tuple[Seen, Seen]:
    """Nodes with nothing to do: their statements, and what they cost unlogged."""
    server.log_statements(True)
    with server.watched() as said:
        time.sleep(WATCH)
    server.log_statements(False)
    with server.watched() as cost:
        time.sleep(WATCH)
    return said, cost


def tasks(server: Server, function: str, arguments: list[Any], expected: list[Any]) -> Round:
    """Run them and check each result; the time counts from the commit that queues them."""
    from compute.queue.fanout import async_iter, results
    from compute.queue.models import Job

    group = async_iter(function, arguments)
    jobs = Job.objects.in_group(group)
    began = time.monotonic()
    with server.watched() as seen:
        while jobs.unsettled().exists():
            time.sleep(0.1)
        took = time.monotonic() - began
    assert results(group) == expected
    assert jobs.filter(attempt=1, state=Job.State.DONE).count() == len(expected)
    return Round(len(expected), took, seen)


def tiny(server: Server, count: int) -> Round:
    arguments = [(number, 2) for number in range(count)]
    return tasks(server, "operator.mul", arguments, [2 * number for number in range(count)])


def median(rounds: list[Round]) -> Round:
    return sorted(rounds, key=lambda each: each.rate)[len(rounds) // 2]


def cost_of(rounds: list[Round]) -> float:
    return statistics.median(each.cost for each in rounds)


@dataclass
class Figures:
    #: By workers of one node: its connections; idle, its statements and what they cost.
    alone: dict[int, tuple[int, Seen, Seen]] = field(default_factory=dict)
    #: By nodes of one worker: the same, and rounds of tasks, the last one logged.
    fleet: dict[int, tuple[int, Seen, Seen, list[Round], Round]] = field(default_factory=dict)
    #: Bytes of table and indexes that a task leaves behind.
    kept_bytes: float = 0
    #: Bytes that a session has for itself alone.
    session_bytes: float = 0
    #: One node of one worker, at chunks of one second.
    long: Seen | None = None


def measure(server: Server, processes: Processes) -> Figures:
    figures = Figures()
    for workers in WORKERS:
        node = processes.node(Q_WORKERS=str(workers), PGAPPNAME="node")
        tiny(server, 20 * workers)  # so that each process has its connection
        said, cost = idle(server, [node])
        figures.alone[workers] = (connections(), said, cost)
        print(
            f"one node of {workers}: {connections()} connections, {said.count / said.seconds:.1f}/s"
        )
        if workers == 1:
            server.log_statements(True)
            figures.long = tasks(server, "time.sleep", [1] * LONG, [None] * LONG).seen
            server.log_statements(False)
        assert node.stop() == 0
    kept = "SELECT pg_total_relation_size('queue_job') + pg_total_relation_size('django_q_task')"
    before = execute(kept)[0]
    run = 0
    nodes: list[Process] = []
    for size, count in FLEET.items():
        while len(nodes) < size:
            nodes.append(processes.node(Q_WORKERS="1", PGAPPNAME="node"))
        tiny(server, 100 * size)
        said, cost = idle(server, nodes)
        rounds = [tiny(server, count) for _ in range(ROUNDS)]
        server.log_statements(True)
        logged = tiny(server, TASKS if size == max(FLEET) else count)
        server.log_statements(False)
        run += ROUNDS * count + logged.count + 100 * size
        figures.fleet[size] = (connections(), said, cost, rounds, logged)
        print(
            f"{size} nodes: {connections()} connections, {said.count / said.seconds:.0f}/s idle, "
            f"{median(rounds).rate:.0f} tasks/s, "
            f"{logged.seen.count / logged.count:.2f} statements a task"
        )
    figures.session_bytes = server.session_bytes()
    figures.kept_bytes = (execute(kept)[0] - before) / run
    for node in nodes:
        for trouble in ("ERROR", "CRITICAL", "WARNING", "Traceback"):
            assert trouble not in node.text(), node.text()
        assert node.stop() == 0
    return figures


# --- what is told ----------------------------------------------------------------------


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables(figures: Figures) -> dict[str, str]:
    return {
        "one node": one_node(figures),
        "a task": a_task(figures),
        "a fleet": a_fleet(figures),
        "capacity": capacity(figures),
        "connections": carried(figures),
    }


def one_node(figures: Figures) -> str:
    rows = []
    for workers, (count, said, cost) in figures.alone.items():
        per_second = [f"{said.of(role) / said.seconds:.1f}" for role, _ in ROLES]
        rows.append(
            [
                str(workers),
                str(count),
                *per_second,
                f"{said.count / said.seconds:.1f}",
                f"{said.commits / said.seconds:.1f}",
                f"{1000 * cost.processor / cost.seconds:.1f} ms",
                f"{cost.wal_bytes / cost.seconds / 1024:.1f} KB",
            ]
        )
    head = ["workers", "connections", *(f"{role}s'" for role, _ in ROLES)]
    return table([*head, "statements/s", "transactions/s", "processor/s", "WAL/s"], rows)


def a_task(figures: Figures) -> str:
    rows = []
    for size in (min(FLEET), max(FLEET)):
        *_, rounds, logged = figures.fleet[size]
        seen = logged.seen
        kinds = Counter(
            {words: count for (role, words), count in seen.statements.items() if role == "worker"}
        )
        rows.append(
            [
                str(size),
                f"{kinds['WITH free'] / logged.count:.2f}",
                f"{kinds['WITH settled'] / logged.count:.2f}",
                f"{seen.of('reporter') / logged.count:.2f}",
                f"{seen.count / logged.count:.2f}",
                f"{seen.commits / logged.count:.2f}",
                f"{1000 * cost_of(rounds):.2f} ms",
                f"{median(rounds).seen.wal_bytes / logged.count / 1024:.1f} KB",
            ]
        )
    head = ["nodes", "claims", "outcomes", "reporters'", "statements", "transactions"]
    return table([*head, "processor", "WAL"], rows)


def a_fleet(figures: Figures) -> str:
    rows = [
        [
            str(size),
            str(count),
            f"{said.count / said.seconds:.0f}",
            f"{cost.processor / cost.seconds:.1%}",
            f"{median(rounds).rate:.0f}",
            f"{min(each.rate for each in rounds):.0f}–{max(each.rate for each in rounds):.0f}",
            f"{1000 * cost_of(rounds):.2f} ms",
        ]
        for size, (count, said, cost, rounds, _) in figures.fleet.items()
    ]
    head = ["nodes", "connections", "idle: statements/s", "idle: of a processor"]
    return table([*head, "tiny tasks/s", "(from–to)", "processor a task"], rows)


def per_task_and_idle(figures: Figures) -> tuple[float, float]:
    """Seconds of a processor: for a task, and for an idle node in a second."""
    _, _, cost, rounds, _ = figures.fleet[max(FLEET)]
    return cost_of(rounds), cost.processor / cost.seconds / max(FLEET)


def capacity(figures: Figures) -> str:
    task, node = per_task_and_idle(figures)
    rows = []
    for cores in (1, 2, 8):
        budget = BUSY * cores
        rows.append(
            [
                str(cores),
                f"{budget / task:,.0f}",
                f"{budget / node:,.0f}",
                *(f"{budget / (node + 1 / seconds * task):,.0f}" for seconds in (1, 5, 30)),
            ]
        )
    chunks = [f"nodes of one worker, chunks of {seconds} s" for seconds in (1, 5, 30)]
    return table(["processors", "tasks/s", "idle nodes", *chunks], rows)


def carried(figures: Figures) -> str:
    rows = []
    for workers, (count, _, _) in figures.alone.items():
        nodes = [(allowed - RESERVED) // count for allowed in ALLOWED]
        rows.append(
            [
                str(workers),
                str(count),
                f"{count / workers:.2f}",
                *(f"{number} ({number * workers} workers)" for number in nodes),
            ]
        )
    head = ["workers a node", "connections a node", "connections a worker"]
    return table([*head, *(f"nodes at {allowed} allowed" for allowed in ALLOWED)], rows)


def long_tasks(figures: Figures) -> str:
    """A sentence on what a node says while it works at something longer."""
    seen = figures.long
    assert seen is not None
    return (
        f"With chunks of one second a node of one worker says {seen.count / seen.seconds:.1f} "
        f"statements in a second: {seen.of('worker') / LONG:.1f} of its worker for each chunk, "
        f"and its guard's {seen.of('guard') / seen.seconds:.1f} a second, which also look "
        "whether what runs was cancelled and renew its lease."
    )


# --- the picture -----------------------------------------------------------------------


def picture(figures: Figures) -> str:
    sizes = list(figures.fleet)
    said = [fleet[1].count / fleet[1].seconds for fleet in figures.fleet.values()]
    counts = [fleet[0] for fleet in figures.fleet.values()]
    costs = [1000 * cost_of(fleet[3]) for fleet in figures.fleet.values()]
    panels = [
        panel(0, "connections", sizes, counts),
        panel(1, "statements a second, all idle", sizes, said),
        panel(2, "the server's ms for a task", sizes, costs),
    ]
    title = "Connections, idle statements and the price of a task, by the number of nodes"
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 270" role="img" '
            f'aria-label="{title}" font-family="sans-serif" font-size="13">',
            f"<title>{title}</title>",
            '<rect width="900" height="270" rx="8" fill="#ffffff"/>',
            *panels,
            "</svg>\n",
        ]
    )


def panel(number: int, title: str, xs: list[int], ys: list[float] | list[int]) -> str:
    """One curve above the number of nodes; its points are labelled, so its axis need not be."""
    left, bottom, width, height = 45 + 300 * number, 215, 215, 150
    top = max(ys) * 1.15

    def place(x: float, y: float) -> str:
        return f"{left + width * x / max(xs):.1f},{bottom - height * y / top:.1f}"

    points = [place(x, y) for x, y in zip(xs, ys, strict=True)]
    parts = [
        f'<text x="{left - 10}" y="32" fill="#1f2937" font-weight="bold">{title}</text>',
        f'<path d="M{left},{bottom - height}V{bottom}H{left + width + 10}" fill="none" '
        'stroke="#9ca3af"/>',
        f'<polyline points="{" ".join(points)}" fill="none" stroke="#2563eb" stroke-width="2"/>',
        f'<text x="{left + width / 2}" y="255" fill="#4b5563" text-anchor="middle">nodes of one '
        "worker</text>",
    ]
    for x, y, point in zip(xs, ys, points, strict=True):
        across, down = point.split(",")
        label = f"{y:.2f}" if top < 10 else f"{y:.0f}"
        parts += [
            f'<circle cx="{across}" cy="{down}" r="3.5" fill="#2563eb"/>',
            f'<text x="{across}" y="{float(down) - 9:.1f}" fill="#1f2937" '
            f'text-anchor="middle">{label}</text>',
        ]
        if x == 1 or x >= 5:  # the first ones stand too close
            parts.append(
                f'<text x="{across}" y="{bottom + 18}" fill="#4b5563" '
                f'text-anchor="middle">{x}</text>'
            )
    return "\n".join(parts)


# --- the command -----------------------------------------------------------------------


def write(blocks: dict[str, str], drawn: str) -> None:
    """Put each block between its marks in the document."""
    text = DOCUMENT.read_text()
    for name, block in blocks.items():
        mark = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, found = re.subn(mark, lambda m, b=block: f"{m[1]}{b}\n{m[2]}", text, flags=re.DOTALL)
        assert found == 1, name
    DOCUMENT.write_text(text)
    PICTURE.write_text(drawn)


def machine() -> str:
    version = execute("SHOW server_version")[0].split()[0]
    return (
        f"Measured {time.strftime('%Y-%m-%d')} with Postgres {version} on {os.cpu_count()} "
        f"processors that server, nodes and others shared (load average "
        f"{os.getloadavg()[1]:.1f} at the end)."
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/scaling.md and .svg")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # not without cleaning up

    os.environ["TEST_DATABASE"] = "postgres"
    from tests import database

    database.begin()
    os.environ.update(DJANGO_SETTINGS_MODULE="sumsite.settings", PYTEST_VERSION="none")
    os.environ.update(PGAPPNAME="bench", LOG_LEVEL="WARNING")
    folder = Path(tempfile.mkdtemp(prefix="sumsite-scaling-"))
    processes = Processes(folder, environment(LOG_LEVEL="INFO"))
    try:
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        server = Server(database.FOLDER / "postgres", database._server.get_pid())
        figures = measure(server, processes)
        blocks = tables(figures)
        blocks["long tasks"] = long_tasks(figures)
        blocks["kept"] = f"{figures.kept_bytes / 1024:.1f} KB"
        blocks["session"] = f"(A session had {figures.session_bytes / 2**20:.1f} MB for itself.)"
        blocks["machine"] = machine()
    finally:
        processes.end()
        from django.db import connection

        connection.close()
        database.end()
        shutil.rmtree(folder)
    for name, block in blocks.items():
        print(f"\n{name}\n\n{block}")
    if options.write:
        write(blocks, picture(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
