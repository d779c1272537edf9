"""Runs that have failed."""

from __future__ import annotations

from compute.models import Run, RunState
from compute.models.notes import refresh
from tests.conftest import run_jobs, started


def failed_runs(count: int) -> list[Run]:
    runs = [started("/bug-sum-start/", n=1234567 + number) for number in range(count)]
    run_jobs()
    for run in runs:
        refresh(run)
        assert run.state == RunState.ERROR
    return runs


def states() -> set[str]:
    return set(Run.objects.values_list("state", flat=True))
