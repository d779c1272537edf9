"""`manage.py sum`, called as a function and as a real process."""

from __future__ import annotations

import re

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django_q.models import OrmQ

from compute.models import Run
from compute.queue.text import number_of
from tests.conftest import OVER, check
from tests.management.calling import call, manage, meanwhile, printed
from tests.processes import Processes, wait_until

# --- what it refuses ------------------------------------------------------------------


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


@pytest.mark.thorough
def test_sum_refuses_on_stderr_with_exit_code_1() -> None:
    done = manage("sum", "1e9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("CommandError: Give n as a whole number")
    assert "Traceback" not in done.stderr


# --- the total ------------------------------------------------------------------------


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
    assert f"{chunks} of {number_of(chunks, 'chunk')} " in streams.err.getvalue()
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
        **OVER,
    }


# --- what goes wrong ------------------------------------------------------------------


def test_sum_of_a_run_that_fails_says_why_with_exit_code_1(processes: Processes) -> None:
    process = processes.manage("sum", "1000")
    wait_until(OrmQ.objects.exists)
    OrmQ.objects.update(payload="what nobody has signed")
    processes.node()
    assert process.popen.wait(60) == 1
    assert "CommandError: the queued task can't be read" in process.text()
    assert "Traceback" not in process.text()
    assert Run.objects.get().state == Run.State.ERROR


@pytest.mark.thorough
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
