"""django-qraft, which has django-q2's cluster run its own tasks; this file is its settings, too.

Settings: those of its README, which knows Postgres alone, with two workers.
https://pypi.org/project/django-qraft/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.system import WORKERS, System, python
from bench.systems.django_databases import (  # noqa: F401 - settings
    DEFAULT_AUTO_FIELD,
    SECRET_KEY,
    USE_TZ,
    databases,
    set_up,
)

INSTALLED_APPS = ["django_q", "qraft"]
Q_CLUSTER = {
    "name": "default",
    "workers": WORKERS,
    "timeout": 60,
    "retry": 90,
    "orm": "default",
    "broker_class": "qraft.brokers.QraftOrmBroker",
}
QRAFT_CLUSTER = {
    "threads": 1,
    "sync_hooks": False,
    "retry_defaults": {
        "max_attempts": 3,
        "delay": 30.0,
        "backoff": "exponential",
        "jitter": True,
    },
}
DATABASES = databases()


class Qraft(System):
    def environment(self) -> dict[str, str]:
        return {"DJANGO_SETTINGS_MODULE": __name__}

    def prepare(self) -> None:
        set_up()

    def node(self) -> list[list[str]]:
        return [python("-m", "django", "qraftcluster")]

    def enqueue(self, function: str, *arguments: Any) -> str:
        from qraft.tasks import async_task

        return str(async_task(f"bench.functions.{function}", *arguments))

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        from qraft.iter import QraftIter

        many = QraftIter(f"bench.functions.{function}")
        for each in arguments:
            many.append(*each)
        many.run()

    def is_visible(self, task: str) -> bool:
        from qraft.models import QraftTask

        succeeded = QraftTask.objects.filter(status=QraftTask.TaskStatus.SUCCEEDED)
        return succeeded.filter(attempts__q2_task_id=task).exists()

    def finished(self) -> int:
        from qraft.models import QraftTask

        return QraftTask.objects.filter(status=QraftTask.TaskStatus.SUCCEEDED).count()
