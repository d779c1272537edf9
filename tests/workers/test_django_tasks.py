"""Django's own tasks in a node of real processes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from compute.queue.failing import Cancelled, WorkerDied
from compute.queue.models import Job
from tests.processes import Processes, wait_until
from tests.queue import asked

pytestmark = pytest.mark.main_path

#: A node's settings, with an app that writes down which signals it hears.
SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.queue.signs"}


def heard(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def ended(result: Any) -> Any:
    def refreshed() -> bool:
        result.refresh()
        return bool(result.is_finished)

    wait_until(refreshed, what=f"the end of {result.task.name}")
    return result


def test_tasks_run_and_their_signals_are_sent(processes: Processes, tmp_path: Path) -> None:
    signs = tmp_path / "signs"
    processes.node(**SETTINGS, SIGNS=str(signs))
    good, bad = asked.add.enqueue(1, 2), asked.fail.enqueue("no")
    counted = asked.count_jobs.enqueue()
    assert ended(good).return_value == 3
    assert ended(bad).errors[0].traceback.endswith("ValueError: no\n")
    assert ended(counted).return_value == 3
    wait_until(lambda: len(heard(signs)) >= 6, what="six signals")
    assert sorted(heard(signs)) == sorted(
        [f"started {each.id} RUNNING" for each in (good, bad, counted)]
        + [f"finished {good.id} SUCCESSFUL", f"finished {bad.id} FAILED"]
        + [f"finished {counted.id} SUCCESSFUL"]
    )


def test_a_worker_that_dies_each_time_is_told_of(processes: Processes, tmp_path: Path) -> None:
    signs = tmp_path / "signs"
    processes.node(**SETTINGS, SIGNS=str(signs))
    result = ended(asked.kill_if.enqueue(1, True))
    assert [error.exception_class for error in result.errors] == [WorkerDied]
    assert result.attempts == len(set(result.worker_ids)) == 3
    wait_until(lambda: f"finished {result.id} FAILED" in heard(signs), what="the signal")


def test_one_that_runs_is_cancelled(processes: Processes, tmp_path: Path) -> None:
    processes.node()
    begun, go = tmp_path / "begun", tmp_path / "go"
    result = asked.wait_for_file.enqueue(str(begun), str(go))
    wait_until(begun.exists)
    Job.objects.filter(pk=result.id).cancel("cancelled by a test")
    assert ended(result).errors[0].exception_class is Cancelled
    assert ended(asked.add.enqueue(1)).return_value == 1, "with another worker"


@pytest.mark.parametrize("priority", [0, 5])
def test_a_deferred_task_starts_within_a_second_of_its_time(
    processes: Processes, priority: int
) -> None:
    processes.node()
    ended(asked.add.enqueue(1))
    due = [timezone.now() + timedelta(seconds=seconds) for seconds in (0.3, 1.1, 1.7, 2.2)]
    results = [asked.add.using(run_after=each, priority=priority).enqueue(1) for each in due]
    for result, due_at in zip(results, due, strict=True):
        late = (ended(result).started_at - due_at).total_seconds()
        assert -0.001 <= late < 1


def test_a_deferred_task_of_which_few_run_at_once_does_so_too(processes: Processes) -> None:
    processes.node()
    ended(asked.add.enqueue(1))
    due_at = timezone.now() + timedelta(seconds=1.5)
    result = ended(asked.limited.using(run_after=due_at).enqueue(0))
    assert -0.001 <= (result.started_at - due_at).total_seconds() < 1


def test_another_queue_has_nodes_of_its_own(
    processes: Processes, tmp_path: Path, settings: Settings
) -> None:
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "ALT_CLUSTERS": {"slow": {}}}
    settings.TASKS = {**settings.TASKS}  # its backends are made anew
    environment = {**SETTINGS, "SIGNS": str(tmp_path / "signs")}
    processes.node(**environment, Q_CLUSTER_NAME="slow")
    waits = asked.add.enqueue(1)
    result = ended(asked.add.using(queue_name="slow").enqueue(2))
    assert result.return_value == 2
    waits.refresh()
    assert waits.status == "READY"
    processes.node(**environment)
    ended(waits)
