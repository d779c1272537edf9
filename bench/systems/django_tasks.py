"""django-tasks-db: Django's own tasks, kept in the database; this file is its settings, too.

Settings: those of its README; a worker is a process, so there are two.
https://github.com/RealOrangeOne/django-tasks-db
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from bench.system import WORKERS, System, python

SECRET_KEY = "measured-only-measured-only-measured-only-0123456789"  # noqa: S105
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django_tasks", "django_tasks_db"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}}
if os.environ.get("DATABASE_URL"):
    from bench.systems.django_databases import databases

    DATABASES = databases()


class DjangoTasks(System):
    def environment(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "bench.systems.django_tasks",
        }

    def prepare(self) -> None:
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)

    @cached_property
    def tasks(self) -> dict[str, Any]:
        from bench.systems import django_tasks_functions

        return django_tasks_functions.TASKS

    def node(self) -> list[list[str]]:
        return [python("-m", "django", "db_worker") for _ in range(WORKERS)]

    def enqueue(self, function: str, *arguments: Any) -> Any:
        return self.tasks[function].enqueue(*arguments)

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
