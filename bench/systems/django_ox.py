"""django-ox, a backend of Django's Tasks framework; this file is its settings, too.

Settings: those of its README, which wants processes of one thread for what computes, and
connections that last. https://pypi.org/project/django-ox/
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

INSTALLED_APPS = ["django_ox"]
TASKS = {"default": {"BACKEND": "django_ox.backend.OxBackend"}}
DATABASES = databases()


class DjangoOx(TasksFramework):
    def node(self) -> list[list[str]]:
        return [python("-m", "django", "ox_worker", "--processes", str(WORKERS))]

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        from django_ox.bulk import enqueue_many

        enqueue_many(self.tasks[function], [(each, {}) for each in arguments])

    def is_visible(self, task: Any) -> bool:
        from django_ox.models import OxTask

        return OxTask.objects.filter(pk=task.id, status=OxTask.Status.SUCCESSFUL).exists()

    def finished(self) -> int:
        from django_ox.models import OxTask

        return OxTask.objects.filter(status=OxTask.Status.SUCCESSFUL).count()
