"""What all backends of Django's Tasks framework share; each has a file of its own beside this one,
which is its Django settings, too."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from bench.system import System
from bench.systems.django_databases import set_up


class TasksFramework(System):
    def environment(self) -> dict[str, str]:
        return {"DJANGO_SETTINGS_MODULE": type(self).__module__}

    def prepare(self) -> None:
        set_up()

    @cached_property
    def tasks(self) -> dict[str, Any]:
        from bench.systems import tasks_functions

        return tasks_functions.TASKS

    def enqueue(self, function: str, *arguments: Any) -> Any:
        return self.tasks[function].enqueue(*arguments)
