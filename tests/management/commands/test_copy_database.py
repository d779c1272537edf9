"""Everything arrives in another database as it was, or nothing does."""

from __future__ import annotations

import contextlib
import re
import socket
import sqlite3
import sys
import tracemalloc
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Task

from compute.management.commands import copy_database
from compute.models import Run
from compute.queue.contents import PART_BYTES, Content, Part, Writer
from compute.queue.fanout import async_iter
from compute.queue.models import Job, Node
from tests import recipes
from tests.conftest import run_jobs
from tests.processes import Processes, environment

TOTAL = 10**24 + 1


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables."""
    folder = tmp_path_factory.mktemp("migrated")
    file = folder / "source.sqlite3"
    processes = Processes(folder, environment(DATABASE_URL=f"sqlite:///{file}"))
    migrate = processes.manage("migrate")
    assert migrate.popen.wait(60) == 0, migrate.text()
    return file


def opened(file: Path) -> contextlib.closing[sqlite3.Connection]:
    """Each statement commits, and at the end the connection is closed: by itself it is not."""
    return contextlib.closing(sqlite3.connect(file, isolation_level=None))


@pytest.fixture
def source(migrated: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "source.sqlite3"
    with opened(migrated) as database:
        database.execute("VACUUM INTO ?", (str(copied),))
    return copied


@pytest.fixture(autouse=True)
def a_second_database_is_allowed(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's tests refuse connections to what was not configured when they began."""
    refusing = BaseDatabaseWrapper.ensure_connection

    def ensure_connection(self: BaseDatabaseWrapper) -> None:
        if self.alias == copy_database.SOURCE and self.connection is None:
            with self.wrap_database_errors:
                self.connect()
        else:
            refusing(self)

    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", ensure_connection)


def copy(source: Path | str) -> str:
    printed = StringIO()
    url = source if isinstance(source, str) else f"sqlite:///{source}"
    call_command("copy_database", url, stdout=printed)
    return printed.getvalue()


def fill(source: Path) -> None:
    """Rows of each kind, made in the test's database and moved into the file."""
    rows = [
        ("queue_node", "id, name, host, pid, workers, restarts, ended, started_at, seen_at, stat",
         ("n" * 32, "node", "here", 1, 2, 0, 5, "2026-01-01 00:00:00", "2026-01-01 00:00:01", "")),
        ("compute_run", "id, task_id, computation, parameters, title, chunks, why, owner, state, "
         "result, trouble, created_at, finished_at, work_seconds",
         (41, "a" * 32, "sum", '{"n": 1000000000000}', "sum 1–10¹²", 1, "", "", "done",
          str(TOTAL), "", "2026-01-01 00:00:00", "2026-01-01 00:00:01.250000", 1.5)),
        ("queue_job", 'task_id, "group", position, queue, queue_id, name, state, delivery, '
         "attempt, deaths, progress, queued_at, result, error, error_class, payload, node_id",
         ("a" * 32, "a" * 32, 0, "sumsite", 7, "sum", "done", 1, 1, 0, 0,
          "2026-01-01 00:00:00", "not a pickle that can be read", "", "", "", "n" * 32)),
        ("django_q_ormq", "id, key, payload, lock",
         (77, "sumsite", "signed", "2000-01-01 00:00:00")),
        ("django_q_task", "id, name, func, hook, started, stopped, success, attempt_count",
         ("a" * 32, "sum", "f", "no.such.hook", "2026-01-01 00:00:00", "2026-01-01 00:00:01",
          1, 1)),
        ("auth_user", "id, username, password, is_superuser, is_staff, is_active, first_name, "
         "last_name, email, date_joined",
         (5, "boss", "secret", 1, 1, 1, "", "", "", "2026-01-01 00:00:00")),
        ("queue_content", "id, holder, size, digest, made_at",
         ("c" * 32, "a" * 32, 6, "d" * 64, "2026-01-01 00:00:00")),
        ("queue_part", "id, content, number, data", (9, "c" * 32, 0, b"\0\xff'\"\\x")),
        ("compute_upload", "id, name, media_type, size, client, address",
         ("f" * 32, "a.csv", "text/csv", 6, "", "")),
        ("compute_upload_runs", "id, upload_id, run_id", (3, "f" * 32, 41)),
    ]  # fmt: skip
    with opened(source) as database:
        for table, columns, values in rows:
            places = ", ".join("?" * len(values))
            database.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", values)  # noqa: S608


def test_everything_arrives_as_it_was(db: None, source: Path) -> None:
    fill(source)
    assert copy(source).startswith("Copied ")
    run = Run.objects.get()
    assert (run.pk, run.result, run.parameters) == (41, TOTAL, {"n": 10**12})
    assert run.took == 1.25
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT result FROM queue_job")
        assert cursor.fetchall() == [("not a pickle that can be read",)]
    assert Job.objects.get().node == Node.objects.get()
    assert OrmQ.objects.get().payload == "signed"
    assert Task.objects.get().success is True
    assert b"".join(Content.objects.get().read()) == b"\0\xff'\"\\x"
    assert Part.objects.get().pk == 9
    assert run.uploads.get().name == "a.csv"
    boss = User.objects.get()
    assert (boss.pk, boss.is_superuser) == (5, True)
    assert Schedule.objects.get().name == "prune"
    assert Permission.objects.exists()
    assert "source" not in connections.databases


def test_the_next_row_gets_an_id_of_its_own(db: None, source: Path) -> None:
    fill(source)
    copy(source)
    package = OrmQ.objects.create(key="k", payload="", lock=timezone.now())
    assert package.pk > 77, "SQLite goes on where other tests have been"
    assert Run.objects.create(task_id="b" * 32, computation="sum", parameters={}).pk > 41
    async_iter("math.sqrt", [4])
    OrmQ.objects.exclude(pk__gt=package.pk).delete()
    run_jobs()
    assert Job.objects.filter(state=Job.State.DONE).count() == 2


@pytest.mark.thorough
def test_of_large_contents_a_few_parts_are_held_at_a_time(db: None, source: Path) -> None:
    fill(source)
    count, size = 60, PART_BYTES
    with opened(source) as database:
        parts = ((10 + number, "e" * 32, number, bytes([number]) * size) for number in range(count))
        database.executemany(
            "INSERT INTO queue_part (id, content, number, data) VALUES (?, ?, ?, ?)", parts
        )
        database.execute(
            "INSERT INTO queue_content (id, holder, size, digest, made_at) VALUES (?, ?, ?, ?, ?)",
            ("e" * 32, "a" * 32, count * size, "d" * 64, "2026-01-01 00:00:00"),
        )
    tracemalloc.start()
    try:
        copy(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.9 * count * size, "less than all of it, with its copies on the way"
    pieces = Content.objects.get(pk="e" * 32).read()
    assert all(piece == bytes([number]) * size for number, piece in enumerate(pieces))
    with Writer("holder") as writer:  # which gets ids of its own
        writer.write(b"x")
        writer.done()
    assert Part.objects.filter(content=writer.content.pk, pk__gt=9 + count).exists()


def refuses(source: Path | str, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        copy(source)


def test_a_source_that_is_none_is_told(db: None, tmp_path: Path) -> None:
    missing, other = tmp_path / "missing.sqlite3", tmp_path / "other.sqlite3"
    other.write_text("no database\n" * 100)
    for path in (missing, tmp_path):
        refuses(path, f"There is no file {re.escape(str(path))}; give the one of the old database")
    assert not missing.exists(), "SQLite would make it"
    refuses(other, "The old database can't be opened: DatabaseError: file is not a database")
    refuses(f"sqlite:///{other}?nosuch=1", "can't be opened: TypeError: ")


def test_a_source_that_does_not_answer_is_told(db: None) -> None:
    with socket.socket() as free:  # bound, and nobody listens
        free.bind(("127.0.0.1", 0))
        url = f"postgres://127.0.0.1:{free.getsockname()[1]}/x"
        refuses(url, "The old database can't be opened: OperationalError: ")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "MySQLdb", None)
        refuses("mysql://127.0.0.1/x", "can't be opened: ImproperlyConfigured: .*MySQLdb")


def test_a_database_in_use_is_not_written_to(db: None, source: Path) -> None:
    recipes.job.make()
    refuses(source, r"in use: it has rows of queue\.Job")
    assert Permission.objects.exists()


def test_no_copy_is_made_while_a_node_runs(db: None, source: Path) -> None:
    fill(source)
    with opened(source) as database:
        database.execute("UPDATE queue_node SET seen_at = datetime('now', '+1 hour')")
    refuses(source, "Stop it first")


@pytest.mark.thorough
def test_both_have_to_be_of_the_same_version(db: None, source: Path) -> None:
    with opened(source) as database:
        database.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    refuses(source, "differ in: sessions.0001_initial")


def test_what_is_no_url_is_said_so(db: None) -> None:
    refuses("db.sqlite3", "no database's URL")


def test_all_rows_have_to_arrive(db: None, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(source)

    def forgetful(model: Any) -> Iterator[list[Any]]:
        yield from ()

    monkeypatch.setattr(copy_database, "read", forgetful)
    refuses(source, "Not all rows of")
    assert not Run.objects.exists()
    assert Permission.objects.exists()
