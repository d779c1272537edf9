"""RQ: a pool of two workers, each of which forks for every job, as RQ does by default.

Settings: RQ's defaults. https://python-rq.org/docs/workers/#worker-pool
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from bench.functions import FUNCTIONS
from bench.system import WORKERS, System


class RqRedis(System):
    @cached_property
    def queue(self) -> Any:
        from redis import Redis
        from rq import Queue

        return Queue(connection=Redis.from_url(self.place.redis))

    def node(self) -> list[list[str]]:
        return [["rq", "worker-pool", "--num-workers", str(WORKERS), "--url", self.place.redis]]

    def enqueue(self, function: str, *arguments: Any) -> Any:
        return self.queue.enqueue(FUNCTIONS[function], *arguments)

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        from rq import Queue

        self.queue.enqueue_many(
            [Queue.prepare_data(FUNCTIONS[function], list(each)) for each in arguments]
        )

    def is_visible(self, task: Any) -> bool:
        return bool(task.get_status(refresh=True) == "finished")

    def finished(self) -> int:
        return int(self.queue.finished_job_registry.get_job_count(cleanup=False))
