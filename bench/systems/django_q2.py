"""Stock django-q2 with each of its brokers; this file is its Django settings, too.

Settings: those of the documentation's example for the ORM broker, with two workers.
https://django-q2.readthedocs.io/en/master/brokers.html#django-orm and configure.html
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from bench.functions import FUNCTIONS
from bench.system import WORKERS, System, python

SECRET_KEY = "measured-only-measured-only-measured-only-0123456789"  # noqa: S105
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django_q"]
Q_CLUSTER = {
    "name": "bench",
    "workers": WORKERS,
    "timeout": 50,
    "retry": 60,  # the default
    "queue_limit": 50,
    "bulk": 10,
    "save_limit": 0,  # or it would keep 250 results of 5,000
}
if os.environ.get("DATABASE_URL"):
    from bench.systems.django_databases import databases

    DATABASES = databases()
if os.environ.get("BENCH_REDIS"):
    Q_CLUSTER["redis"] = os.environ["BENCH_REDIS"]
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": os.environ["BENCH_REDIS"].removesuffix("/0") + "/1",
        }
    }
else:
    Q_CLUSTER["orm"] = "default"
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "cache",
            "OPTIONS": {"MAX_ENTRIES": 100_000},  # or a fan-out over 300 never ends
        }
    }


class DjangoQ2(System):
    group = ""
    finished_adds_up = False

    def environment(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "bench.systems.django_q2",
        }

    def prepare(self) -> None:
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        call_command("createcachetable", verbosity=0)

    def node(self) -> list[list[str]]:
        return [python("-m", "django", "qcluster")]

    def enqueue(self, function: str, *arguments: Any) -> str:
        from django_q.tasks import async_task

        return str(async_task(FUNCTIONS[function], *arguments))

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        from django_q.tasks import async_iter

        # What is to be called with no arguments has to get an empty tuple.
        self.group = async_iter(FUNCTIONS[function], list(arguments))

    def is_visible(self, task: str) -> bool:
        from django_q.models import Task

        return Task.objects.filter(pk=task).exists()

    def finished(self) -> int:
        from django_q.models import Task

        return Task.objects.count()

    def finished_of_fan_out(self) -> int:
        """They are collected in one list of the cache, and become one row when it is full."""
        from django.core.cache import cache
        from django_q.models import Task
        from django_q.tasks import result

        if Task.objects.filter(pk=self.group).exists():
            return len(result(self.group))
        return len(cache.get(f"bench:{self.group}:keys", ()))
