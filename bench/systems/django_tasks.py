"""django-tasks-db: Django's own tasks, kept in the database; this file is its settings, too.

Settings: those of its README; a worker is a process, so there are two.
https://github.com/RealOrangeOne/django-tasks-db
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

INSTALLED_APPS = ["django_tasks_db"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}}
DATABASES = databases()


class DjangoTasks(TasksFramework):
    def node(self) -> list[list[str]]:
        return [python("-m", "django", "db_worker") for _ in range(WORKERS)]

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        """It has no call for many; one transaction is what the database likes best."""
        from django.db import transaction

        with transaction.atomic():
            super().fan_out(function, arguments)

    def is_visible(self, task: Any) -> bool:
        task.refresh()
        return bool(task.is_finished)

    def finished(self) -> int:
        from django_tasks_db.models import DBTaskResult

        return int(DBTaskResult.objects.finished().count())
