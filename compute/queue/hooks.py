"""Calls the hook of a task whose own worker could not: it died, or ran out of time."""

from __future__ import annotations

from django_q.models import Task
from django_q.signals import call_hook


def call(task_id: str) -> None:
    """Call the hook of a task with django-q2's record of it, which a retry may have removed."""
    record = Task.objects.filter(pk=task_id).first()
    if record is not None:
        call_hook(Task, record)
