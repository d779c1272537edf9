"""Huey on SQLite and on Redis, with worker processes.

Settings: Huey's defaults but for the kind of worker, which the documentation wants to be
"process" for what computes. https://huey.readthedocs.io/en/latest/consumer.html
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from huey import RedisHuey, SqliteHuey

from bench import functions
from bench.system import WORKERS, System

if os.environ.get("BENCH_REDIS"):
    huey = RedisHuey("bench", url=os.environ["BENCH_REDIS"])
else:
    huey = SqliteHuey("bench", filename=os.environ.get("BENCH_SQLITE", ":memory:"))
TASKS = {name: huey.task(name=name)(function) for name, function in functions.FUNCTIONS.items()}


class Huey(System):
    def node(self) -> list[list[str]]:
        module = "bench.systems.huey_both.huey"
        return [["huey_consumer", module, "--workers", str(WORKERS), "--worker-type", "process"]]

    def enqueue(self, function: str, *arguments: Any) -> Any:
        return TASKS[function](*arguments)

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        TASKS[function].map(arguments)

    def is_visible(self, task: Any) -> bool:
        return bool(huey.storage.has_data_for_key(task.id))

    def finished(self) -> int:
        return int(huey.result_count())
