"""Celery with Redis as its broker and result backend.

Settings: Celery's defaults. https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/redis.html
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from celery import Celery, chord, group

from bench import functions
from bench.system import WORKERS, System

app = Celery("bench")
app.conf.update(
    broker_url=os.environ.get("BENCH_REDIS", ""),
    # A database of its own, so that the results can be counted at no cost.
    result_backend=os.environ.get("BENCH_REDIS", "").removesuffix("/0") + "/1",
    broker_connection_retry_on_startup=True,  # or it warns
)
TASKS = {
    name: app.task(function, name=f"bench.{name}") for name, function in functions.FUNCTIONS.items()
}


@app.task(name="bench.total")
def total(totals: list[int]) -> int:
    return sum(totals)


class CeleryRedis(System):
    def node(self) -> list[list[str]]:
        worker = ["celery", "-A", "bench.systems.celery_redis", "worker", "--loglevel", "INFO"]
        return [[*worker, "--concurrency", str(WORKERS), "--hostname", f"{os.urandom(4).hex()}@%h"]]

    def enqueue(self, function: str, *arguments: Any) -> Any:
        return TASKS[function].delay(*arguments)

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        group(TASKS[function].s(*each) for each in arguments).apply_async()

    def split_sum(self, ranges: Sequence[tuple[int, int]]) -> Any:
        """A chord: many sums, and one task that adds them up."""
        return chord(TASKS["sum_range"].s(*each) for each in ranges)(total.s())

    def is_visible(self, task: Any) -> bool:
        return bool(task.ready())

    def finished(self) -> int:
        return int(app.backend.client.dbsize())
