"""A node and what tasks do to their worker: each a row of the study of faults."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django_q.models import Failure
from django_q.tasks import async_task, result

from compute.queue.models import Job
from tests.processes import Processes, wait_until
from tests.workers.test_faults import assert_runs_tasks
from tests.workers.test_node import wait_for_state

FUNCTIONS = "tests.queue.functions"


@pytest.mark.parametrize("how", ["raw", "a failed statement", "autocommit off", "a block"])
def test_a_transaction_that_is_left_open_takes_no_outcome_along(
    processes: Processes, how: str
) -> None:
    node = processes.node(Q_WORKERS="1")
    task_id = async_task(f"{FUNCTIONS}.leave_open", how)
    wait_for_state(task_id, Job.State.DONE)
    assert result(task_id) == how
    assert not User.objects.filter(username="left open").exists(), "it did not commit"
    User.objects.create_user("somebody else")  # nobody holds a lock
    assert "left a transaction open, what it wrote in it is lost" in node.text()
    assert_runs_tasks(node)


@pytest.mark.parametrize("code", [0, 1])
def test_a_task_that_ends_its_worker_fails_after_three_whatever_the_exit_code(
    processes: Processes, code: int
) -> None:
    node = processes.node()
    task_id = async_task(f"{FUNCTIONS}.exit_at_once", code)
    done = wait_for_state(task_id, Job.State.FAILED)
    assert (done.attempt, done.error_class) == (3, "WorkerDied")
    assert f"its worker ended with exit code {code} while running it" in done.error
    assert_runs_tasks(node)


def test_half_a_second_is_a_limit_too(processes: Processes) -> None:
    node = processes.node()
    task_id = async_task("time.sleep", 60, timeout=0.5)
    done = wait_for_state(task_id, Job.State.FAILED)
    assert (done.error_class, done.attempt) == ("TimeoutException", 1)
    assert (done.finished_at - done.started_at).total_seconds() < 5
    assert_runs_tasks(node)


def test_a_hook_is_called_although_the_worker_died(processes: Processes) -> None:
    processes.node()
    hook = f"{FUNCTIONS}.note"
    async_task("signal.raise_signal", 9, task_name="deadly", hook=hook)
    wait_until(lambda: User.objects.filter(username__startswith="deadly: False, its worker"), 60)
    assert Failure.objects.get().hook == hook


def test_what_is_scheduled_runs(processes: Processes) -> None:
    from django_q.models import Schedule
    from django_q.tasks import schedule

    schedule("builtins.max", 1, 2, name="bigger", schedule_type=Schedule.ONCE)
    bad = schedule("builtins.max", name="bad", schedule_type=Schedule.ONCE)
    Schedule.objects.filter(pk=bad.pk).update(args="report@example.com")
    node = processes.node()
    wait_until(lambda: Job.objects.filter(result__isnull=False, state="done").exists(), 60)
    wait_until(lambda: Failure.objects.filter(name="bad").exists(), 30)
    assert node.stop() == 0
