"""`manage.py sum` and `manage.py release`, called as functions and as real processes."""

from __future__ import annotations

import _thread
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connections
from django.test import Client
from django_q.models import OrmQ

from compute.computations.primes import PRIMES
from compute.management import terminal
from compute.management.commands import try_samples
from compute.management.commands.release import LOCK
from compute.models import Run
from tests.conftest import check, database_url
from tests.processes import ROOT, Processes, environment, wait_until

NO_QUEUE_SERVER = "No queue server is running, so the run waits."


class Printed(NamedTuple):
    out: io.StringIO
    err: io.StringIO


@contextlib.contextmanager
def printed() -> Iterator[Printed]:
    """What a command called here writes to the terminal."""
    streams = Printed(io.StringIO(), io.StringIO())
    with contextlib.redirect_stdout(streams.out), contextlib.redirect_stderr(streams.err):
        yield streams


def call(*arguments: str, **options: Any) -> Printed:
    with printed() as streams:
        call_command(*arguments, **options)
    return streams


@contextlib.contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something while a command waits."""

    def act() -> None:
        try:
            action()
        except BaseException:
            _thread.interrupt_main()  # a command that waits for this would wait for ever
            raise
        finally:
            connections.close_all()

    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command as a person calls it, with both streams apart."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
    )


# --- sum: what it refuses -------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x"], "Give n as a whole number in plain digits"),
        (["1e9"], "Give n as a whole number in plain digits"),
        ([""], "Give n as a whole number in plain digits"),
        (["1000000000001"], "Give an n of at most 1,000,000,000,000."),
        (["10", "--chunk-size", "5"], "--chunk-size needs --split"),
        (["10", "--split", "--chunk-size", "0"], "Give chunk_size as a whole number of 1 or more"),
        (["10", "--split", "--chunk-size", "x"], "Give chunk_size as a whole number of 1 or more"),
        (["1000000", "--split", "--chunk-size", "99"], "Give a chunk_size of at least 100:"),
    ],
)
def test_sum_refuses_what_the_site_refuses(db: None, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=re.escape(message)) as error:
        call_command("sum", *arguments)
    assert error.value.returncode == 1
    assert not Run.objects.exists()
    assert not OrmQ.objects.exists()


def test_sum_refuses_on_stderr_with_exit_code_1() -> None:
    done = manage("sum", "1e9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("CommandError: Give n as a whole number")
    assert "Traceback" not in done.stderr


# --- sum: the total -------------------------------------------------------------------


def test_sum_of_no_chunks_is_what_a_worker_makes_of_nothing(processes: Processes) -> None:
    processes.node()
    assert call("sum", "0", "--split").out.getvalue() == "0\n"


@pytest.mark.parametrize(
    ("arguments", "total", "chunk_size", "chunks"),
    [
        (["1000"], 500500, None, 1),
        (["1000", "--split"], 500500, 1000, 1),
        (["2500000", "--split", "--chunk-size", "1000000"], 3125001250000, 1_000_000, 3),
        (["1000", "--split", "--chunk-size", "300"], 500500, 300, 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_sum_prints_the_total_alone_on_stdout(
    processes: Processes,
    arguments: list[str],
    total: int,
    chunk_size: int | None,
    chunks: int,
) -> None:
    processes.node()
    streams = call("sum", *arguments)
    assert streams.out.getvalue() == f"{total}\n"
    assert f"{chunks} of {chunks} chunks" in streams.err.getvalue()
    run = Run.objects.get()
    assert (run.chunk_size, run.chunks, run.result) == (chunk_size, chunks, total)


def test_sum_is_a_run_like_any_other(processes: Processes) -> None:
    processes.node()
    done = manage("sum", "1000", **processes.environment)
    assert (done.returncode, done.stdout) == (0, "500500\n"), done.stderr
    assert check(Run.objects.get(), "/sum-check/") == {
        "status": "done",
        "total": 500500,
        "error": None,
    }


# --- sum: what goes wrong -------------------------------------------------------------


def test_sum_of_a_run_that_fails_says_why_with_exit_code_1(processes: Processes) -> None:
    process = processes.manage("sum", "1000")
    wait_until(OrmQ.objects.exists)
    OrmQ.objects.update(payload="what nobody has signed")
    processes.node()
    assert process.popen.wait(60) == 1
    assert "CommandError: the queued task can't be read" in process.text()
    assert "Traceback" not in process.text()
    assert Run.objects.get().state == Run.State.ERROR


def test_sum_of_a_run_that_is_cancelled_says_by_whom(transactional_db: None, admin: Client) -> None:
    def cancel() -> None:
        queued = wait_until(OrmQ.objects.first)
        form = {"action": "delete_selected", "_selected_action": [queued.pk], "post": "yes"}
        admin.post("/admin/django_q/ormq/", form)

    with (
        printed() as streams,
        meanwhile(cancel),
        pytest.raises(CommandError, match="cancelled by boss"),
    ):
        call_command("sum", "1000")
    assert streams.out.getvalue() == ""


def test_sum_without_a_queue_server_says_so_and_goes_on_when_there_is_one(
    processes: Processes,
) -> None:
    waiting = processes.manage("sum", "1000")
    waiting.wait_for_output("No queue server is running, so the run waits")
    waiting.wait_for_output(re.escape("./manage.py qcluster"))
    processes.node()
    assert waiting.popen.wait(60) == 0
    assert waiting.text().count("No queue server is running") == 1
    assert "500500\n" in waiting.text()


def test_ctrl_c_ends_the_command_and_not_the_run(processes: Processes) -> None:
    waiting = processes.manage("sum", "1000")
    waiting.wait_for_output("No queue server is running")
    assert waiting.stop(signal.SIGINT) == 130
    run = Run.objects.get()
    assert f"goes on without this terminal; look at it in the site at {run.get_absolute_url()}" in (
        waiting.text()
    )
    assert "Traceback" not in waiting.text()
    assert check(run)["status"] == "in-progress"
    processes.node()
    wait_until(lambda: check(run)["status"] == "done")
    assert check(run)["total"] == 500500


def test_ctrl_c_is_told_how_the_run_goes_on(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "PATIENCE", 0)

    def press_ctrl_c() -> None:
        wait_until(lambda: NO_QUEUE_SERVER in streams.err.getvalue())
        os.kill(os.getpid(), signal.SIGINT)

    with printed() as streams, meanwhile(press_ctrl_c), pytest.raises(SystemExit) as ended:
        call_command("sum", "1000")
    assert ended.value.code == 130
    assert streams.out.getvalue() == ""
    assert "The run goes on without this terminal" in streams.err.getvalue()
    assert OrmQ.objects.count() == 1


def test_a_database_that_goes_away_ends_the_command_and_not_the_run(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_the_database(run: Run) -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(terminal, "follow", lose_the_database)
    with printed() as streams, pytest.raises(SystemExit) as ended:
        call_command("sum", "1000")
    assert ended.value.code == 1
    assert "The database does not answer: the server closed" in streams.err.getvalue()
    assert "The run goes on without this terminal" in streams.err.getvalue()
    assert OrmQ.objects.count() == 1


# --- compute --------------------------------------------------------------------------


def test_compute_prints_the_result_alone(processes: Processes) -> None:
    processes.node()
    streams = call("compute", "primes", "100000", "--chunk-size", "20000")
    assert streams.out.getvalue() == "9592\n"
    assert "5 of 5 chunks" in streams.err.getvalue()
    assert call("compute", "buggy-sum", "1000").out.getvalue() == "500500\n"


def test_compute_names_the_computations_in_its_help() -> None:
    assert "primes (Counts the primes up to n, with a sieve)" in " ".join(
        manage("help", "compute").stdout.split()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "There is no computation 'nothing'; there are: buggy-sum, "),
        (["primes"], "Give n as a whole number"),
        (["primes", "x"], "Give n as a whole number"),
        (["primes", "1", "2"], "primes takes 1 value(s): n."),
        (["primes", "1000000", "--chunk-size", "1"], "Give a chunk_size of at least 100"),
        (["buggy-sum", "1", "--chunk-size", "1"], "buggy-sum runs in one piece"),
    ],
)
def test_compute_refuses_what_the_site_refuses(
    db: None, arguments: list[str], message: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(message)):
        call_command("compute", *arguments)
    assert not Run.objects.exists()


# --- startcomputation -----------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, settings: Any) -> Path:
    """A folder to write computations into."""
    settings.BASE_DIR = tmp_path
    for folder in ("compute", "tests"):
        (tmp_path / folder / "computations").mkdir(parents=True)
    return tmp_path


def test_startcomputation_writes_a_module_and_its_test(project: Path) -> None:
    streams = call("startcomputation", "my-numbers")
    assert "wrote compute/computations/my_numbers.py" in streams.out.getvalue()
    module = (project / "compute" / "computations" / "my_numbers.py").read_text()
    assert 'name="my-numbers"' in module
    assert "class MyNumbersForm" in module
    test = (project / "tests" / "computations" / "test_my_numbers.py").read_text()
    assert "from compute.computations.my_numbers import MY_NUMBERS" in test


@pytest.mark.parametrize("name", ["", "My", "1st", "a_b", "a--b", "../x", "class", "é"])
def test_startcomputation_refuses_what_is_no_name(project: Path, name: str) -> None:
    with pytest.raises(CommandError, match="Give a name of small letters"):
        call_command("startcomputation", name)
    assert not list(project.glob("*/*/*"))


def test_startcomputation_overwrites_nothing(project: Path) -> None:
    call("startcomputation", "mine")
    for name in ("mine", "primes"):
        with pytest.raises(CommandError, match=f"There is a computation {name} already"):
            call_command("startcomputation", name)


# --- release --------------------------------------------------------------------------


def test_release_makes_the_admin_of_a_new_site(db: None, settings: Any) -> None:
    settings.ADMIN_PASSWORD = "a-good-password"
    streams = call("release", verbosity=0)
    assert streams.out.getvalue() == (
        "Made the account 'admin' with the password in ADMIN_PASSWORD.\n"
    )
    assert streams.err.getvalue() == ""
    assert User.objects.get().is_superuser
    assert User.objects.get(username="admin").check_password("a-good-password")


def test_release_again_changes_nothing(db: None, settings: Any) -> None:
    settings.ADMIN_PASSWORD = "a-good-password"
    call("release", verbosity=0)
    before = User.objects.values().get()
    settings.ADMIN_PASSWORD = "another-password"
    streams = call("release", verbosity=0)
    assert User.objects.values().get() == before
    assert streams.out.getvalue() == streams.err.getvalue() == ""


def test_release_without_a_password_makes_no_account_and_says_so(db: None, settings: Any) -> None:
    settings.ADMIN_PASSWORD = ""
    streams = call("release", verbosity=0)
    assert not User.objects.exists()
    assert streams.err.getvalue() == "No admin account made: ADMIN_PASSWORD is not set.\n"


def test_release_leaves_a_site_alone_that_has_a_superuser(db: None, settings: Any) -> None:
    settings.ADMIN_PASSWORD = "a-good-password"
    User.objects.create_superuser("root")
    assert call("release", verbosity=0).out.getvalue() == ""
    assert [user.username for user in User.objects.all()] == ["root"]


@pytest.mark.postgres
def test_release_says_that_it_waits_for_another(db: None) -> None:
    """Its lock is let go when that is said; tests/workers has two real releases."""
    with psycopg.connect(database_url(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK])

        class Stream(io.StringIO):
            def write(self, text: str) -> int:
                other.execute("SELECT pg_advisory_unlock_all()")
                return super().write(text)

        stream = Stream()
        call_command("release", verbosity=0, stderr=stream)
    assert stream.getvalue().startswith("Another release is at work; waiting for its end.\n")


def test_release_on_an_empty_database_makes_all_that_the_site_needs_twice(tmp_path: Path) -> None:
    new = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}",
        "ADMIN_PASSWORD": "a-good-password",
    }
    first = manage("release", **new)
    assert first.returncode == 0, first.stderr
    assert "Applying compute.0001_initial... OK" in first.stdout
    assert "Made the account 'admin'" in first.stdout
    second = manage("release", **new)
    assert second.returncode == 0, second.stderr
    assert "No migrations to apply." in second.stdout
    assert "Made the account" not in second.stdout
    assert manage("migrate", "--check", **new).returncode == 0


@pytest.mark.once
def test_a_command_on_a_database_without_tables_names_the_migrations(tmp_path: Path) -> None:
    new = {"DATABASE_URL": f"sqlite:///{tmp_path}/new.sqlite3", "DEBUG": "1"}
    for command in (["sum", "5"], ["retry", "--all"], ["prune"]):
        done = manage(*command, **new)
        assert done.returncode == 1
        assert "The database lacks " in done.stderr
        assert "run `./manage.py migrate`" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_command_whose_database_is_away_says_that(database_away: None) -> None:
    with pytest.raises(DatabaseError):
        call_command("retry", "--all")


@pytest.mark.django_db
def test_a_command_that_fails_on_a_whole_database_fails_as_it_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(*args: object) -> None:
        raise DatabaseError("a wrong statement")

    monkeypatch.setattr("compute.management.terminal.RunsCommand.chosen", wrong)
    with pytest.raises(DatabaseError, match="a wrong statement"):
        call_command("retry", "--all")


@pytest.mark.django_db
def test_what_fails_for_want_of_a_table_names_the_migrations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(*args: object) -> None:
        raise DatabaseError("no such table")

    monkeypatch.setattr("compute.management.terminal.RunsCommand.chosen", wrong)
    monkeypatch.setattr("compute.management.terminal.schema.lacking", lambda: list("abcde"))
    with pytest.raises(CommandError, match="lacks a, b, c and 2 more: run"):
        call_command("retry", "--all")


# --- try_samples ------------------------------------------------------------------------


def raises(first: int, last: int) -> None:
    raise ValueError("not\nthis")


def dies(first: int, last: int) -> None:
    os._exit(7)


def hangs(first: int, last: int) -> None:
    subprocess.run(["sleep", "600"])


def gives_a_function(first: int, last: int) -> Callable[[], None]:
    return lambda: None


@pytest.fixture
def computations(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let there be those with these functions, and the primes."""

    def computations(*functions: Callable[[int, int], Any]) -> None:
        declared = {each.__name__: replace(PRIMES, function=each) for each in functions}
        found = {name: replace(each, name=name) for name, each in declared.items()}
        monkeypatch.setattr(try_samples, "all_computations", lambda: {"primes": PRIMES, **found})

    return computations


def test_samples_that_work_are_nothing_to_speak_of(computations: Callable[..., None]) -> None:
    computations()
    streams = call("try_samples")
    assert (streams.out.getvalue(), streams.err.getvalue()) == ("", "")


def test_a_sample_that_does_not_work_is_named(computations: Callable[..., None]) -> None:
    computations(raises, dies, gives_a_function)
    with printed() as streams, pytest.raises(CommandError, match=r"3 sample\(s\) did not work"):
        call_command("try_samples")
    said = streams.err.getvalue()
    assert "(compute.W009) The sample of computation 'raises' raises ValueError: not this." in said
    assert "The sample of computation 'dies' ends its process, with exit code 7." in said
    assert "The sample of computation 'gives_a_function' raises AttributeError: " in said
    assert "'primes'" not in said


def test_a_sample_that_takes_too_long_is_ended_with_all_that_it_started() -> None:
    slow, before = replace(PRIMES, function=hangs), psutil.Process().children(recursive=True)
    assert try_samples.trouble_with(slow, seconds=0.5) == "takes over 0.5 s"
    assert set(psutil.Process().children(recursive=True)) <= set(before)
