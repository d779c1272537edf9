"""A new version beside the old one: its release step, and whoever starts before that is through."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg
import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from compute.management.commands.release import LOCK
from compute.queue.fanout import async_iter, results
from compute.queue.models import Job, Node
from tests.processes import ROOT, Process, Processes, environment, wait_until
from tests.workers.test_chapters import get
from tests.workers.test_node import wait_for_state


@pytest.mark.postgres
def test_of_two_releases_one_waits_for_the_other(empty_postgres: str, tmp_path: Path) -> None:
    variables = {"DATABASE_URL": empty_postgres, "ADMIN_PASSWORD": "a-good-password"}
    processes = Processes(tmp_path, environment(**variables))
    try:
        with psycopg.connect(empty_postgres, autocommit=True) as other:
            other.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            releases = [processes.manage("release") for _ in range(2)]
            for release in releases:
                release.wait_for_output("Another release is at work; waiting")
            assert not any("Applying" in release.text() for release in releases)
        assert [release.popen.wait(60) for release in releases] == [0, 0]
        texts = sorted((release.text() for release in releases), key=len)
        assert "No migrations to apply." in texts[0]
        assert "Applying compute.0001_initial... OK" in texts[1]
        assert [text.count("Made the account 'admin'") for text in texts] == [0, 1]
        with psycopg.connect(empty_postgres) as reader:
            assert reader.execute("SELECT count(*) FROM auth_user").fetchone() == (1,)
            assert reader.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            ).fetchone() == (0,)
    finally:
        processes.end()


def test_web_and_worker_wait_for_the_schema_they_need(processes: Processes) -> None:
    recorder = MigrationRecorder(connection)
    latest = recorder.migration_qs.filter(app="queue").latest("name")
    latest.delete()
    lacks = f"the database lacks queue.{latest.name}"
    try:
        _, site = processes.web()
        node = processes.manage("qcluster")
        node.wait_for_output(f"waiting: {lacks}")
        task_id = async_task("math.factorial", 5)
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{site}/sum-start/?n=5")
        with caught.value as reply:
            assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
        assert get(f"{site}/healthz") == {"status": "ok"}
        processes.started[0].wait_for_output(f"answering 503: {lacks}")
        assert Job.objects.get(pk=task_id).delivery == 0
        assert not Node.objects.exists()
    finally:
        recorder.record_applied("queue", latest.name)
    assert wait_for_state(task_id, Job.State.DONE).result == 120
    node.wait_for_output("the database is ready, starting")
    check = get(f"{site}/sum-start/?n=5")["task_progress"]
    wait_until(lambda: get(check)["total"] == 15, 30, check)
    assert node.stop() == 0


def test_a_node_that_waits_stops_when_it_is_asked(processes: Processes) -> None:
    recorder = MigrationRecorder(connection)
    latest = recorder.migration_qs.filter(app="queue").latest("name")
    latest.delete()
    try:
        node = processes.manage("qcluster")
        node.wait_for_output("waiting: the database lacks")
        assert node.stop() == 0
    finally:
        recorder.record_applied("queue", latest.name)


@pytest.fixture
def old_version(tmp_path: Path) -> Path:
    """The site as it was before it could count primes."""
    copy = tmp_path / "old"
    for folder in ("compute", "sumsite"):
        ignore = shutil.ignore_patterns("__pycache__", "primes.py")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignore)
    shutil.copy2(ROOT / "manage.py", copy)
    return copy


def node_of(processes: Processes, folder: Path) -> Process:
    node = processes.start(sys.executable, "manage.py", "qcluster", cwd=folder)
    node.wait_for_output("Q Cluster .* running")
    return node


def test_old_nodes_beside_a_new_site_lose_nothing(processes: Processes, old_version: Path) -> None:
    """A node of the old code, then one of the new, on what a new site queues."""
    shapeless, richer = async_task("math.factorial", 3), async_task("math.factorial", 4)
    task = SignedPackage.loads(OrmQ.objects.get(pk=Job.objects.get(pk=richer).queue_id).payload)
    for pk, package in ((shapeless, [task]), (richer, {**task, "priority": "high"})):
        queued = OrmQ.objects.filter(pk=Job.objects.get(pk=pk).queue_id)
        assert queued.update(payload=SignedPackage.dumps(package)) == 1
    old = node_of(processes, old_version)
    failed = wait_for_state(shapeless, Job.State.FAILED)
    assert failed.error.endswith("TypeError: it has not the shape of a task")
    assert wait_for_state(richer, Job.State.DONE).result == 24

    _, site = processes.web()
    known = get(f"{site}/split-sum-start/?n=1000000&chunk_size=100000")["task_progress"]
    unknown = get(f"{site}/compute/primes/start/?n=30000&chunk_size=10000")["task_progress"]
    wait_until(lambda: get(known)["status"] == "done", 30, known)
    assert get(known)["total"] == 500000500000
    old.wait_for_output("unknown to this node's code, left to others")
    progress = get(unknown)
    assert (progress["status"], progress["progress"]["failed"]) == ("in-progress", 0)

    new = processes.node()
    wait_until(lambda: get(unknown)["status"] != "in-progress", 60, unknown)
    assert (get(unknown)["status"], get(unknown)["result"]) == ("done", 3245)
    group = async_iter("time.sleep", [0] * 20)
    wait_until(lambda: results(group), 30, "both nodes still work")
    assert not OrmQ.objects.exists()
    for node in (old, new):
        assert ", starting another" not in node.text(), "a process of a node has died"
        assert node.stop() == 0
