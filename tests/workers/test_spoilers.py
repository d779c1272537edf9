"""Tasks that spoil their worker's process, or kill its guard: others meet nothing of it."""

from __future__ import annotations

import pytest
from django.db import connection
from django_q.tasks import async_task

from compute.queue.models import Job, JobState
from tests.processes import Processes, wait_until
from tests.workers.test_faults import assert_runs_tasks
from tests.workers.test_node import wait_for_state

FUNCTIONS = "tests.queue.functions"
OPENS = f"{FUNCTIONS}.open_a_file"


@pytest.mark.parametrize(
    ("spoil", "arguments", "words"),
    [
        ("close_files", (0, 3), "closed or replaced"),
        ("close_files", (1, 2), "closed or replaced"),
        ("replace_output", (), "closed or replaced"),
        ("limit_files", (), "lowered its worker's resource limits"),
    ],
    ids=["all three", "output", "another output", "limit"],
)
def test_the_next_task_has_a_worker_of_its_own(
    processes: Processes, spoil: str, arguments: tuple[int, ...], words: str
) -> None:
    node = processes.node(Q_WORKERS="1")
    done = wait_for_state(async_task(f"{FUNCTIONS}.{spoil}", *arguments), JobState.DONE)
    others = [async_task(OPENS) for _ in range(3)]
    pids = {wait_for_state(other, JobState.DONE).result for other in others}
    assert done.result not in pids
    node.wait_for_output(rf"{spoil}\(.*\) has {words}.*; its worker is replaced")
    assert done.deaths == 0
    assert node.text().count("said") == 3
    assert_runs_tasks(node)


@pytest.mark.parametrize("first", [0, 3])
def test_all_files_of_a_worker_are_closed(processes: Processes, first: int) -> None:
    """The database's, too. SQLite can't go on in that process; on Postgres another connection is
    made, and the outcome counts."""
    node = processes.node(Q_WORKERS="1")
    state = JobState.FAILED if connection.vendor == "sqlite" else JobState.DONE
    spoiler = wait_for_state(async_task(f"{FUNCTIONS}.close_files", first, 300), state)
    if state == JobState.FAILED:
        assert "ended itself, without the database's files" in spoiler.error
        assert spoiler.attempt == 3
    wait_for_state(async_task(OPENS), JobState.DONE)
    assert_runs_tasks(node)


def test_others_get_on_beside_a_task_that_kills_its_guard(processes: Processes) -> None:
    node = processes.node(Q_WORKERS="2")
    killer = async_task(f"{FUNCTIONS}.kill_guard")
    wait_until(lambda: node.text().count("was killed by SIGKILL, starting another\n") >= 2, 60)
    for _ in range(3):
        others = [async_task(OPENS) for _ in range(5)]
        for other in others:
            wait_for_state(other, JobState.DONE, 60)
    assert "guard" in node.text()
    assert Job.objects.get(pk=killer).starts < 10
    Job.objects.filter(pk=killer).cancel("somebody")
    assert_runs_tasks(node)


@pytest.mark.long
def test_a_task_that_kills_its_guard_fails_in_the_end(processes: Processes) -> None:
    node = processes.node(Q_WORKERS="2")
    killer = async_task(f"{FUNCTIONS}.kill_guard")
    failed = wait_for_state(killer, JobState.FAILED, 180)
    assert "the guard of its worker was killed just after" in failed.error
    assert failed.attempt == 10
    assert_runs_tasks(node)
