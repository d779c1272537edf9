"""Runs in the terminal: how they are followed, and named."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError
from django_q.models import OrmQ

from compute.management import terminal
from compute.models import Run, RunState
from tests.conftest import check, started
from tests.failed import failed_runs, states
from tests.management.calling import manage, meanwhile, printed
from tests.processes import Processes, wait_until
from tests.seeded import thrown

NO_QUEUE_SERVER = "No queue server is running, so the run waits."


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
    monkeypatch.setattr(terminal, "PATIENCE_S", 0)

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


@pytest.mark.thorough
@pytest.mark.once
def test_a_command_on_a_database_without_tables_names_the_migrations(tmp_path: Path) -> None:
    new = {"DATABASE_URL": f"sqlite:///{tmp_path}/new.sqlite3", "DEBUG": "1"}
    for command in (["sum", "5"], ["retry", "--all"], ["prune"]):
        done = manage(*command, **new)
        assert done.returncode == 1
        assert "The database lacks " in done.stderr
        assert "run `./manage.py migrate`" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["retry", "--all"], ["release"], ["sum", "5"]])
def test_a_command_whose_database_is_away_says_that(
    database_away: None, command: list[str]
) -> None:
    with pytest.raises(CommandError, match="The database does not answer: "):
        call_command(*command)


@pytest.mark.thorough
@pytest.mark.once
def test_a_database_that_can_t_be_opened_is_told(tmp_path: Path) -> None:
    """Also by a command that asks nothing of it, for Django's checks before that do."""
    (tmp_path / "none.sqlite3").write_text("no database\n" * 100)
    for url in (f"sqlite:///{tmp_path}/none.sqlite3", f"sqlite:///{tmp_path}/nowhere/x.sqlite3"):
        for command in (["prune"], ["startcomputation", "1st"]):
            done = manage(*command, DATABASE_URL=url, DEBUG="1")
            assert done.returncode == 1
            assert "The database does not answer: " in done.stderr
            assert "Traceback" not in done.stderr


def test_what_can_t_be_opened_is_told_whatever_the_error(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*args: object) -> None:
        raise DatabaseError("file is not a database")

    monkeypatch.setattr("compute.management.terminal.RunsCommand.chosen", wrong)
    with monkeypatch.context() as patch:
        patch.setattr("compute.management.terminal.connection.ensure_connection", wrong)
        with pytest.raises(CommandError, match="does not answer: DatabaseError: file is not a"):
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


def said(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    call_command(*command)
    return capsys.readouterr().out


@pytest.mark.thorough
@pytest.mark.django_db
def test_runs_are_retried_and_cancelled_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = failed_runs(2)
    assert said(capsys, "retry", first.task_id) == ("Queued 1 failed chunk of 1 run again.\n")
    assert said(capsys, "retry", "--all") == "Queued 1 failed chunk of 1 run again.\n"
    assert states() == {RunState.IN_PROGRESS}
    other = ["--computation", second.computation]
    assert said(capsys, "cancel", *other) == "Cancelled 2 chunks of 2 runs.\n"
    assert said(capsys, "cancel", "--all") == "Cancelled 0 chunks of 0 runs.\n"


@pytest.mark.django_db
def test_runs_are_paused_and_resumed_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (started("/sum-start/", n=10) for _ in range(2))
    assert said(capsys, "pause", first.task_id) == "Paused 1 of 1 run.\n"
    assert [run.flow.get().paused for run in (first, second)] == [True, False]
    assert said(capsys, "pause", "--computation", "sum") == "Paused 2 of 2 runs.\n"
    assert said(capsys, "resume", second.task_id) == "Resumed 1 of 1 run.\n"
    assert said(capsys, "resume", "--all") == "Resumed 1 of 2 runs.\n"
    assert [run.flow.get().paused for run in (first, second)] == [False, False]
    for name in ("primes", "gone"):
        Run.objects.filter(pk=second.pk).update(computation=name)
        assert said(capsys, "pause", "--all", "--computation", name) == "Paused 1 of 1 run.\n"
        assert said(capsys, "resume", "--all", "--computation", name) == "Resumed 1 of 1 run.\n"


@pytest.mark.parametrize("command", [["sum", "1000"], ["compute", "primes", "1000"]])
@pytest.mark.parametrize(
    ("given", "priority"), [([], "normal"), (["--priority", "urgent"], "urgent")]
)
def test_a_run_in_the_terminal_has_the_priority_that_is_asked_for(
    transactional_db: None,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    given: list[str],
    priority: str,
) -> None:
    def leave(run: Run) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(terminal, "follow", leave)
    with printed(), pytest.raises(SystemExit):
        call_command(*command, *given)
    assert Run.objects.get().flow.get().priority == priority


def test_another_priority_is_refused(db: None) -> None:
    with pytest.raises(CommandError, match="invalid choice: 'high'"):
        call_command("sum", "1000", "--priority", "high")
    assert not Run.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Give the runs, or --computation, or --all."),
        (["abc", "--all"], "Give the runs, or --computation, or --all."),
        (["abc", "--computation", "sum"], "Give the runs, or --computation, or --all."),
        (["abc"], "There is no run abc. Nothing is done."),
        (["--computation", "nosuch"], "There is no computation 'nosuch'; there are: .*sum"),
        (["--computation", "nosuch", "--all"], "There is no computation 'nosuch'; there are: "),
        (["--computation", ""], "There is no computation ''; there are: "),
    ],
)
def test_nothing_is_done_to_runs_that_are_not_named(arguments: list[str], complaint: str) -> None:
    failed_runs(1)
    with pytest.raises(CommandError, match=complaint):
        call_command("retry", *arguments)
    assert states() == {RunState.ERROR}


@pytest.mark.parametrize("cut", [True, False])
def test_how_chance_is_repeated_is_told_beside_the_result(
    transactional_db: None,
    monkeypatch: pytest.MonkeyPatch,
    declare: Callable[..., None],
    cut: bool,
) -> None:
    whole = {} if cut else {"cut": None, "length": None, "sample": None, "function": once}
    declare(**{"name": "darts", "function": thrown, "seed": True, **whole})
    monkeypatch.setattr(terminal, "follow", lambda run: os.kill(os.getpid(), signal.SIGINT))
    with printed() as streams, pytest.raises(SystemExit):
        call_command("compute", "darts", "10", "--seed", "42")
    size = Run.objects.get().chunk_size
    assert (size is not None) == cut
    told = f" --chunk-size {size}" if cut else ""
    assert f"To repeat it exactly: --seed 42{told}\n" in streams.err.getvalue()


def once(n: int, seed: int) -> int:
    return n + seed
