"""django-q2's own record of a task that has ended, which its admin pages and `result()` show."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.utils import timezone
from django_q.models import Task

from .engines.values import Values
from .text import shorten


def record_of(task: dict[str, Any], success: bool, result: Any, attempt: int) -> Task:
    """The unsaved record of a task that ends now; `result` is stored as it is.

    Labels are shortened here, too: those of a task that was queued past our `pre_enqueue` nobody
    has looked at, and one that the database refuses would have the task run for ever.
    """
    return Task(
        id=task["id"],
        name=shorten(str(task["name"]), 100),
        func=shorten(str(task.get("func") or ""), 256),
        hook=task.get("hook"),
        args=task.get("args"),
        kwargs=task.get("kwargs"),
        group=task.get("group") and shorten(str(task["group"]), 100),
        cluster=task.get("cluster"),
        started=task["started"],
        stopped=timezone.now(),
        result=result,
        success=success,
        attempt_count=attempt,
    )


def stored(record: Task) -> Values:
    """A record by its columns. Arguments that the function has changed to something that can't be
    pickled are left out."""
    try:
        return columns_of(record)
    except Exception:  # whatever pickling may raise
        record.args = record.kwargs = None
        return columns_of(record)


def failure(job: Any, task: dict[str, Any], reason: str) -> Values:
    """That a job has failed which no worker can tell of; `task` is what its package holds."""
    started = job.started_at or timezone.now()
    task = {**task, "id": job.pk, "name": job.name, "started": started}
    return columns_of(record_of(task, False, reason, job.attempt))


def note_failure(name: str, func: str, reason: str) -> str:
    """Keep a record of what failed without a job, for the admin's failed tasks; its id."""
    task = {"id": uuid4().hex, "name": shorten(name, 100), "func": func, "started": timezone.now()}
    record = record_of(task, False, reason, 0)
    record.save(force_insert=True)
    return str(record.pk)


def columns_of(row: models.Model) -> dict[str, Any]:
    """A row's values by column, as the database takes them."""
    connection = connections[DEFAULT_DB_ALIAS]  # itself: Django's proxy for it is asked often here
    return {
        str(field.column): field.get_db_prep_save(getattr(row, field.attname), connection)
        for field in row._meta.concrete_fields
    }
