"""What many tests need."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.backends.signals import connection_created
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from pytest_django import DjangoDbBlocker, Settings

from compute.computations import Loaded, all_computations, problems
from compute.computations.primes import PRIMES
from compute.computations.sums import SUM
from compute.models import Run, Speed, outlook
from compute.models.notes import settle
from compute.models.plans import run_of
from compute.models.speed import sample_of
from compute.queue import packages, transitions
from compute.queue.fanout import async_iter
from compute.queue.models import Job, Node
from compute.queue.node.attempt import Attempt
from compute.queue.node.board import Board
from compute.trying import sampled_speed
from compute.web.middleware import SchemaMiddleware
from tests import database
from tests.processes import Processes, environment

#: What the fixture `about` gives.
About = Callable[..., Any]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """SQLite in a file: an in-memory database has no other processes."""
    if database.ENGINE == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = str(database.FOLDER / "tests.sqlite3")


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """It goes with its server: a session that is about to end must not keep it from going."""
    return True


@pytest.fixture(autouse=True)
def no_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """A browser's tests leave an event loop in this thread; others find none, as in a worker."""
    if "playwright" in request.fixturenames:
        yield
        return
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(loop)


@pytest.fixture(autouse=True)
def nobody_stays_in_a_hurry() -> Iterator[None]:
    """Loading sumsite.wsgi makes this process a web server's, which waits for no lock for long."""
    yield
    if connection_created.disconnect(dispatch_uid="sumsite.locks"):
        connection.close()


@pytest.fixture(autouse=True)
def the_queue_is_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "HOLDS_S", -1)


@pytest.fixture(autouse=True)
def plain_static_files(settings: Settings) -> None:
    """Without collectstatic there is no manifest, whose absence would raise."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    settings.WHITENOISE_AUTOREFRESH = True
    settings.SECURE_SSL_REDIRECT = False
    settings.HOME_PAGE = "sum"  # whatever computations a clone has of its own
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Whose processes fail a test is told with what they said last."""
    report = yield
    if report.failed:
        for fixture in getattr(item, "funcargs", {}).values():
            started = getattr(fixture, "processes", fixture)
            if isinstance(started, Processes):
                report.sections += started.last_words()
    return report


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
    slot = Board(workers=1).slots[0]
    while most > 0 and (claimed := transitions.claim(Conf.CLUSTER_NAME, 1, None)):
        most -= 1
        for lease, package in claimed:
            Attempt(lease, packages.read(package), slot).run()  # the job says what came of it


def measure_samples() -> None:
    """Let how fast the computations are be known, as a node does when it has started."""
    Speed.objects.ask()
    run_queued()


def started(address: str, client: Client | None = None, **parameters: str | int) -> Run:
    """The run that asking this address starts."""
    reply = (client or Client()).get(address, parameters)
    assert reply.status_code == 200, reply.content
    return Run.objects.get(task_id=reply.json()["task_progress"].partition("task_id=")[2])


def finish_by_hand(run: Run, *results: Any) -> None:
    """Write what its chunks come to, where adding them up would take hours."""
    for job, result in zip(run.jobs, results, strict=True):
        Job.objects.filter(pk=job.pk).update(state=Job.State.DONE, result=result, finished_at=Now())
        OrmQ.objects.filter(pk=job.queue_id).delete()


#: How a run stands, and in how many seconds it starts and ends: without a queue server, and once it
#: is done.
NOBODY_KNOWS = {"state": "queued", "poll_after": 1, "starts_in": None, "ends_in": None}
OVER = {"state": "done", "starts_in": 0, "ends_in": 0}


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
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
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
def database_away(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), without_database():
        yield


@pytest.fixture
def about() -> About:
    """Seconds, give or take those since the test began: on a busy machine that is many."""
    began = time.monotonic()
    return lambda seconds, within=0.5: pytest.approx(seconds, abs=within + time.monotonic() - began)


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
