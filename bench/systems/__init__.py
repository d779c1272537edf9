"""The systems that are measured, each in a file of its own with the settings it gets."""

from __future__ import annotations

import os
from importlib import import_module

from bench.system import Place, System

#: By name, in the order of the table: module, class, and what people call it.
SYSTEMS = {
    "ours-sqlite": ("ours", "Ours", "sumsite, SQLite"),
    "ours-postgres": ("ours", "Ours", "sumsite, Postgres"),
    "ours-task-sqlite": ("ours", "OursByTask", "sumsite by @task, SQLite"),
    "ours-task-postgres": ("ours", "OursByTask", "sumsite by @task, Postgres"),
    "celery-redis": ("celery_redis", "CeleryRedis", "Celery, Redis"),
    "procrastinate-postgres": (
        "procrastinate_postgres",
        "Procrastinate",
        "Procrastinate, Postgres",
    ),
    "huey-sqlite": ("huey_both", "Huey", "Huey, SQLite"),
    "huey-redis": ("huey_both", "Huey", "Huey, Redis"),
    "rq-redis": ("rq_redis", "RqRedis", "RQ, Redis"),
    "django-tasks-sqlite": ("django_tasks", "DjangoTasks", "django-tasks-db, SQLite"),
    "django-tasks-postgres": ("django_tasks", "DjangoTasks", "django-tasks-db, Postgres"),
    "django-ox-sqlite": ("django_ox", "DjangoOx", "django-ox, SQLite"),
    "django-ox-postgres": ("django_ox", "DjangoOx", "django-ox, Postgres"),
    "dj-queue-sqlite": ("dj_queue", "DjQueue", "dj-queue, SQLite"),
    "dj-queue-postgres": ("dj_queue", "DjQueue", "dj-queue, Postgres"),
    "qraft-postgres": ("qraft", "Qraft", "django-qraft, Postgres"),
    "django-q2-sqlite": ("django_q2", "DjangoQ2", "stock django-q2, SQLite"),
    "django-q2-postgres": ("django_q2", "DjangoQ2", "stock django-q2, Postgres"),
    "django-q2-redis": ("django_q2", "DjangoQ2", "stock django-q2, Redis"),
}
OURS = ("ours-sqlite", "ours-postgres")
#: Those that the targets speak of: they get every round, the others fewer.
CONTENDERS = (
    *("ours-sqlite", "celery-redis", "huey-sqlite", "huey-redis"),
    *("ours-postgres", "procrastinate-postgres"),
)


def needs(name: str) -> list[str]:
    """Which servers have to be there."""
    return [part for part in ("postgres", "redis") if part in name]


def label(name: str) -> str:
    return SYSTEMS[name][2] if name in SYSTEMS else name


def load(name: str, place: Place) -> System:
    """The system, whose environment is in force from here on; once in a process."""
    module, cls, _ = SYSTEMS[name]
    system: System = getattr(import_module(f"bench.systems.{module}"), cls)(place)
    os.environ.update(system.environment())
    return system
