"""What many tests need."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ
from django_q.signals import pre_execute
from django_q.signing import SignedPackage

from compute.computation import sampled_speed
from compute.computations import Loaded, all_computations, problems
from compute.computations.primes import PRIMES
from compute.computations.sums import SUM
from compute.models import Run, Speed
from compute.models.notes import settle
from compute.models.plans import run_of
from compute.models.speed import sample_of
from compute.queue.fanout import async_iter
from compute.queue.models import Job, Node
from compute.web.middleware import SchemaMiddleware
from tests import database
from tests.processes import Processes, environment


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """SQLite in a file: an in-memory database has no other processes."""
    if database.ENGINE == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = str(database.FOLDER / "tests.sqlite3")


@pytest.fixture(autouse=True)
def plain_static_files(settings: pytest.FixtureRequest) -> None:
    """Without collectstatic there is no manifest, whose absence would raise."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    settings.WHITENOISE_AUTOREFRESH = True
    settings.SECURE_SSL_REDIRECT = False
    SchemaMiddleware.current = True  # the tests' database lacks nothing; not asked each time
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick


@pytest.fixture
def processes(transactional_db: None, tmp_path: Path) -> Iterator[Processes]:
    """Starts real processes on the tests' own database; what commits here they see.

    Their nodes find the samples measured, so what runs there is what a test has queued.
    """
    for computation in all_computations().values():
        if computation.sample is not None:
            Speed.objects.create(
                computation=computation.name,
                sample=sample_of(computation),
                per_second=sampled_speed(computation),
            )
    folder = Processes(tmp_path, environment(DATABASE_URL=database_url()))
    yield folder
    folder.end()


@pytest.fixture
def empty_postgres() -> Iterator[str]:
    """A database as a host hands it over, postgres://…: empty, its owner no superuser, and
    at most 20 connections at a time."""
    server, name = os.environ["DATABASE_URL"], f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as maintenance:
        maintenance.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 20")
        maintenance.execute(f"CREATE DATABASE {name} OWNER {name}")
        yield urlunsplit(
            urlsplit(server)._replace(scheme="postgres", netloc=f"{name}@", path=f"/{name}")
        )
        maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")
        maintenance.execute(f"DROP ROLE {name}")


def database_url() -> str:
    """The tests' database, as another process has to be told of it."""
    name = connection.settings_dict["NAME"]
    if database.ENGINE == "sqlite":
        return f"sqlite:///{name}"
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss", password="boss-password"))
    return client


@pytest.fixture
def browser_client() -> Client:
    """Asks as a browser does."""
    return Client(headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})


def run_jobs() -> None:
    """Run what is queued here and now, as a node would: jobs, and what notes their runs' ends."""
    run_queued()
    settle()  # which may have queued what combines their chunks
    run_queued()
    settle()


def run_queued(most: int = sys.maxsize) -> None:
    """Run what is queued here and now, so many tasks, as a worker would: claim, call, outcome."""
    broker = get_broker()
    while most > 0 and (claimed := broker.claim(1)):
        most -= 1
        for ack_id, package in claimed:
            task = SignedPackage.loads(package)
            task["ack_id"] = ack_id
            pre_execute.send(sender="django_q", func=task["func"], task=task)
            with contextlib.suppress(Exception):  # the job says what it was
                task["func"](*task["args"], **task["kwargs"])


def measure_samples() -> None:
    """Let how fast the computations are be known, as a node does when it has started."""
    Speed.objects.ask()
    run_queued()


def started(address: str, client: Client | None = None, **parameters: object) -> Run:
    """The run that asking this address starts."""
    reply = (client or Client()).get(address, parameters)
    assert reply.status_code == 200, reply.content
    return Run.objects.get(task_id=reply.json()["task_progress"].partition("task_id=")[2])


def finish_by_hand(run: Run, *results: Any) -> None:
    """Write what its chunks come to, where adding them up would take hours."""
    for job, result in zip(run.jobs, results, strict=True):
        Job.objects.filter(pk=job.pk).update(state=Job.State.DONE, result=result, finished_at=Now())
        OrmQ.objects.filter(pk=job.queue_id).delete()


def check(run: Run, address: str = "/split-sum-check/") -> Any:
    """What a program is told of the run."""
    return Client().get(address, {"task_id": run.task_id}).json()


@pytest.fixture
def missing_file(tmp_path: Path) -> Path:
    return tmp_path / "missing"


@pytest.fixture
def run_with_a_failure(db: None, tmp_path: Path, missing_file: Path) -> Run:
    """A run whose chunks are files, and whose total is their size; the second is missing."""
    (tmp_path / "first").write_text("x" * 100)
    (tmp_path / "third").write_text("x" * 20)
    files = [str(tmp_path / "first"), str(missing_file), str(tmp_path / "third")]
    group = async_iter("os.path.getsize", files, task_name="files")
    run = run_of(group, SUM, {"n": 3}, chunk_size=1, chunks=3)
    run_jobs()
    return run


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Declares a computation for the length of a test."""

    def declare(**fields: Any) -> None:
        declared = {**all_computations(), fields["name"]: replace(PRIMES, **fields)}
        now = Loaded(declared, problems())
        monkeypatch.setattr("compute.computations.loaded", lambda: now)

    return declare


@contextlib.contextmanager
def without_database() -> Iterator[None]:
    """There is no database where it is looked for; not inside a test's own transaction."""
    connection.close()
    there = connection.settings_dict
    nowhere = str(database.FOLDER / "nowhere")
    options = dict(there["OPTIONS"])
    if database.ENGINE == "postgres":
        options["host"] = nowhere
    connection.settings_dict = {**there, "NAME": f"{nowhere}/file", "OPTIONS": options}
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict = there


@pytest.fixture
def database_away(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock(), without_database():
        yield


@pytest.fixture
def queue_server(db: None) -> Node:
    """The row of a queue server that will not fall silent during a test."""
    now = timezone.now()
    return Node.objects.create(
        id="0" * 32,
        name="tests",
        host="here",
        pid=1,
        workers=2,
        started_at=now,
        seen_at=now + timedelta(hours=1),
    )
