"""Procrastinate: two worker processes on Postgres, woken by LISTEN/NOTIFY.

Settings: its defaults; tasks are deferred over a synchronous pool, as the documentation
has it for code that is not async. https://procrastinate.readthedocs.io/en/stable/howto/basics/connector.html
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import procrastinate

from bench import functions
from bench.system import WORKERS, System

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ.get("BENCH_POSTGRES", ""))
)
PARAMETERS = {
    "noop": (),
    "stamp": ("address", "number"),
    "hold": ("address", "seconds"),
    "sum_range": ("first", "last"),
}
TASKS = {name: app.task(name=name)(function) for name, function in functions.FUNCTIONS.items()}


class Procrastinate(System):
    # It keeps no results: what is looked for is the job's status.

    @cached_property
    def connection(self) -> Any:
        import psycopg

        return psycopg.connect(self.place.postgres, autocommit=True)

    def prepare(self) -> None:
        app.open()
        app.schema_manager.apply_schema()

    def node(self) -> list[list[str]]:
        worker = ["procrastinate", "--app", "bench.systems.procrastinate_postgres.app"]
        return [[*worker, "worker", "--concurrency", "1"] for _ in range(WORKERS)]

    def enqueue(self, function: str, *arguments: Any) -> int:
        named = dict(zip(PARAMETERS[function], arguments, strict=True))
        return int(TASKS[function].defer(**named))

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        named = [dict(zip(PARAMETERS[function], each, strict=True)) for each in arguments]
        TASKS[function].batch_defer(*named)

    def is_visible(self, task: int) -> bool:
        asked = "SELECT status = 'succeeded' FROM procrastinate_jobs WHERE id = %s"
        return bool(self.connection.execute(asked, [task]).fetchone()[0])

    def finished(self) -> int:
        asked = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
        return int(self.connection.execute(asked).fetchone()[0])
