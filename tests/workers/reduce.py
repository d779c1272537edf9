"""`python -m tests.workers.reduce TASK_ID SHAPE`: combines a run's sorted numbers in a process of
its own, and says in MB how much memory it had, at its start and at most."""

from __future__ import annotations

import heapq
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import django


def as_table(results: Iterable[list[int]]) -> Any:
    from compute.shapes import Table

    return Table(([number] for number in heapq.merge(*results)), ["number"])


def as_file(results: Iterable[list[int]]) -> Any:
    from compute.shapes import File

    return File((f"{number}\n".encode() for number in heapq.merge(*results)), "numbers.txt")


def peak() -> float:
    """The most memory that this process has had, in MB."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    )
    return int(line.split()[1]) / 1000


def main(task_id: str, shape: str) -> Iterator[float]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sumsite.settings")
    django.setup()
    from compute import computations
    from compute.computations import Loaded, all_computations, problems
    from compute.models.combining import combine

    odd = replace(
        all_computations()["primes"],
        name="odd",
        combine={"table": as_table, "file": as_file}[shape],
    )
    declared = Loaded({**all_computations(), "odd": odd}, problems())
    computations.loaded = lambda: declared  # type: ignore[assignment]
    yield peak()
    combine(task_id)
    yield peak()


if __name__ == "__main__":
    print(*main(*sys.argv[1:]))
