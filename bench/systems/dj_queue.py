"""dj-queue, a backend of Django's Tasks framework; this file is its settings, too.

Settings: those of its README, with lasting connections as that advises, and workers that are
processes of one thread each. https://pypi.org/project/dj-queue/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.system import WORKERS, python
from bench.systems.django_databases import (  # noqa: F401 - settings
    DEFAULT_AUTO_FIELD,
    SECRET_KEY,
    USE_TZ,
    databases,
)
from bench.systems.tasks_framework import TasksFramework

INSTALLED_APPS = ["dj_queue"]
DATABASE_ROUTERS = ["dj_queue.routers.DjQueueRouter"]
TASKS = {
    "default": {
        "BACKEND": "dj_queue.backend.DjQueueBackend",
        "QUEUES": [],
        "OPTIONS": {"workers": [{"queues": "*", "threads": 1, "processes": WORKERS}]},
    }
}
DATABASES = databases()


class DjQueue(TasksFramework):
    def node(self) -> list[list[str]]:
        return [python("-m", "django", "dj_queue")]

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        task = self.tasks[function]
        task.get_backend().enqueue_all([(task, list(each), {}) for each in arguments])

    def is_visible(self, task: Any) -> bool:
        from dj_queue.models import Job

        return Job.objects.filter(pk=task.id, finished_at__isnull=False).exists()

    def finished(self) -> int:
        from dj_queue.models import Job

        return Job.objects.filter(finished_at__isnull=False).count()
