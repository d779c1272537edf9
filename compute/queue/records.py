"""django-q2's own record of a task that has ended, which its admin pages and `result()` show."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.db import connection, models
from django.utils import timezone
from django_q.models import Task

from .engines.base import Values
from .text import shorten


def failure(job: Any, task: dict[str, Any], reason: str) -> Values:
    """That a job has failed which no worker can tell of; `task` is what its package holds."""
    now = timezone.now()
    record = Task(
        id=job.pk,
        name=job.name,
        func=str(task.get("func") or "")[:256],
        args=task.get("args"),
        kwargs=task.get("kwargs"),
        group=task.get("group"),
        hook=task.get("hook"),
        started=job.started_at or now,
        stopped=now,
        result=reason,
        success=False,
        attempt_count=job.attempt,
    )
    return columns_of(record)


def note_failure(name: str, func: str, reason: str) -> str:
    """Keep a record of what failed without a job, for the admin's failed tasks; its id."""
    now = timezone.now()
    record = Task(id=uuid4().hex, name=shorten(name, 100), func=shorten(func, 256), result=reason)
    record.started = record.stopped = now
    record.success, record.attempt_count = False, 0
    record.save(force_insert=True)
    return str(record.pk)


def columns_of(row: models.Model) -> dict[str, Any]:
    """What a row holds, by column, as the database takes it."""
    return {
        str(field.column): field.get_db_prep_save(getattr(row, field.attname), connection)
        for field in row._meta.concrete_fields
    }
