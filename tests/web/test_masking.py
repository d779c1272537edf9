"""What strangers are shown of an error: neither paths of the machine nor SQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import django.db.utils
import psycopg.errors
import pytest
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, transaction
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from compute.computations.sums import SUM
from compute.models import Run
from compute.models.notes import refresh
from compute.models.plans import run_of
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState, Node
from compute.queue.text import one_line
from compute.web.masking import masked
from tests.conftest import check, run_jobs

pytestmark = pytest.mark.once

HTML = "text/html"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            'TypeError: can only concatenate str (not "int") to str',
            'TypeError: can only concatenate str (not "int") to str',
        ),
        ("ValueError: 3/4 of n/a, 5 bytes/s", "ValueError: 3/4 of n/a, 5 bytes/s"),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: '/srv/secret data/x.csv'",
            "FileNotFoundError: [Errno 2] No such file or directory: […]",
        ),
        ("OSError: can't open \"/tmp/it's\" twice", "OSError: can't open […] twice"),
        ("OSError: '/srv/cut off in the midd", "OSError: […]"),
        ("OSError: /srv/app/data.csv is missing", "OSError: […] is missing"),
        ("OSError: (/srv/My Documents/x)", "OSError: ([…]"),
        (r"OSError: 'C:\\Users\\ann\\x y'", "OSError: […]"),
        (r"OSError: C:\Users\ann", "OSError: […]"),
        (r"OSError: \\host\share\x", "OSError: […]"),
        ("KeyError: '~/.ssh/id_rsa'", "KeyError: […]"),
        ("E: ../../etc/passwd", "E: […]"),
        ("E: see file:///etc/passwd", "E: see […]"),
        ("E: https://db.example/x/y", "E: https:[…]"),
        ("E: compute/queue/call.py", "E: […]"),
        ("E: in compute/tasks.py", "E: in […]"),
        (
            'ProgrammingError: relation "auth_user" does not exist LINE 1: SELECT * FROM auth_user',
            "ProgrammingError: […]",
        ),
        ("UniqueViolation: duplicate key (email)=(a@b.c)", "UniqueViolation: […]"),
        (
            "2 of 9 chunks failed, the first being number 3: OperationalError: no such table: t",
            "2 of 9 chunks failed, the first being number 3: OperationalError: […]",
        ),
        ("MyError: it said SELECT name FROM people WHERE 1", "MyError: it said […]"),
        ("MyError: select secret from people", "MyError: […]"),
        ("MyError: insert into people values (1)", "MyError: […]"),
        ("MyError: x [SQL: something]", "MyError: x […]"),
        ("ValueError: select a chunk, please", "ValueError: select a chunk, please"),
        ("cancelled by who started it", "cancelled by who started it"),
        ("", ""),
    ],
)
def test_paths_and_sql_are_masked_and_the_rest_is_not(line: str, shown: str) -> None:
    assert masked(line) == shown


SEGMENT = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=3)


@pytest.mark.thorough
@given(parts=st.lists(SEGMENT, min_size=2, max_size=5))
def test_no_path_that_python_names_is_left(parts: list[str]) -> None:
    """An OSError names a path as `repr` writes it, whatever characters it has."""
    path = "/" + "/".join(parts)
    shown = masked(one_line(FileNotFoundError(2, "No such file or directory", path)))
    assert shown == "FileNotFoundError: [Errno 2] No such file or directory: […]"


@pytest.mark.thorough
@given(
    parts=st.lists(st.from_regex(r"[A-Za-z0-9_.-]{3,12}", fullmatch=True), min_size=2, max_size=6),
    before=st.sampled_from(["", "in ", "(", "path=", "at: ", '"']),
    after=st.sampled_from(["", " failed", ")", ": no", ","]),
)
def test_no_plain_path_is_left_wherever_it_stands(
    parts: list[str], before: str, after: str
) -> None:
    shown = masked(f"E: {before}/{'/'.join(parts)}{after}")
    assert "/" not in shown
    assert parts[-1] not in shown or parts[-1] in before + after


@given(line=st.text())
def test_any_line_can_be_masked(line: str) -> None:
    assert masked(masked(line)).count("\n") <= line.count("\n")


def test_what_the_database_says_is_not_passed_on(db: None) -> None:
    for statement in ("SELECT * FROM no_such_table", "nonsense"):
        with pytest.raises(DatabaseError) as raised, transaction.atomic():
            connection.cursor().execute(statement)
        shown = masked(one_line(raised.value))
        assert shown == f"{type(raised.value).__name__}: […]"


# --- where errors are shown -----------------------------------------------------------


def run_that_fails(error: Exception) -> Run:
    group = async_iter("os.path.getsize", ["a", "b"], task_name="two /srv/files/of ours")
    run = run_of(group, SUM, {"n": 2}, chunk_size=1, chunks=2)
    Job.objects.filter(group=group).update(
        state=JobState.FAILED, error=one_line(error), error_class=type(error).__name__
    )
    refresh(run)
    return run


def everything_about(client: Client, run: Run) -> str:
    """What a client gets to see of a run, wherever it looks."""
    shown = []
    for address in ("/sum-check/", "/split-sum-check/", "/compute/sum/check/"):
        for headers in ({"accept": "*/*"}, {"accept": HTML}, {"accept": HTML, "hx-request": "1"}):
            shown.append(client.get(address, {"task_id": run.task_id}, headers=headers))
    shown += [client.get(address, headers={"accept": HTML}) for address in ("/", "/nodes/")]
    shown += [client.get(address) for address in ("/", "/nodes/")]
    shown.append(
        client.post(
            "/compute/sum/again/",
            {"task_id": run.task_id, "chunk_size": "x"},
            headers={"accept": HTML},
        )
    )
    return "\n".join(each.content.decode() for each in shown)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("error", "secret", "class_"),
    [
        (FileNotFoundError(2, "No such file", "/srv/secret"), "/srv/", "FileNotFoundError"),
        (IntegrityError('INSERT INTO "auth_user"'), "auth_user", "IntegrityError"),
        (ProgrammingError("column password"), "column password", "ProgrammingError"),
    ],
)
def test_a_stranger_sees_no_path_and_no_sql_and_staff_sees_everything(
    admin: Client, queue_server: Node, error: Exception, secret: str, class_: str
) -> None:
    run = run_that_fails(error)
    running = run.jobs.first()
    assert running
    for who in (Client(), Client(headers={"accept": HTML})):
        told = everything_about(who, run)
        assert secret not in told
        assert "/srv/" not in told
        assert class_ in told
        assert "Traceback" not in told
    assert secret in everything_about(admin, run).replace("&quot;", '"').replace("&#x27;", "'")
    Job.objects.filter(pk=running.pk).update(
        state=JobState.RUNNING, node=queue_server, started_at=run.created_at
    )
    assert "[…]" in Client().get("/nodes/").json()["nodes"][0]["running"][0]["task"]


@pytest.mark.thorough
def test_who_started_a_run_without_signing_in_is_a_stranger_here(
    db: None, browser_client: Client
) -> None:
    browser_client.post("/bug-sum-start/", {"n": 1234567})
    run = Run.objects.get()
    run_jobs()
    Job.objects.update(error="OSError: /srv/secret")
    refresh(run)
    assert run.owner == browser_client.session["owner"]
    assert "/srv/" not in everything_about(browser_client, run)


def test_results_that_make_no_whole_say_no_path_either(db: None, monkeypatch: Any) -> None:
    run = run_that_fails(ValueError())
    run.jobs.update(state=JobState.DONE, result="/srv/secret")
    Run.objects.update(state=Run.State.IN_PROGRESS, chunk_size=2)
    run_jobs()
    run.refresh_from_db()
    assert run.trouble.startswith("the chunks' results can't be combined: TypeError: ")
    Run.objects.update(trouble="the chunks' results can't be combined: OSError: '/srv/secret'")
    assert check(run)["error"] == "the chunks' results can't be combined: OSError: […]"


def test_the_mask_knows_what_this_installation_raises() -> None:
    """Every class of error that Django, SQLite and psycopg have for a database."""
    for module in (sqlite3, django.db.utils, psycopg.errors):
        for name, kind in vars(module).items():
            if isinstance(kind, type) and issubclass(kind, Exception):
                assert masked(f"{name}: a secret") == f"{name}: […]", module


def test_this_machines_own_paths_are_masked() -> None:
    here = Path(__file__).resolve()
    assert masked(f"OSError: {here}") == masked(f"OSError: '{here}'") == "OSError: […]"
