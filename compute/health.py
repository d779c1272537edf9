"""Whether the site can do its work."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from .queue.models import Node


def missing() -> str | None:
    """What the site lacks to be of use, in one sentence; None when it lacks nothing."""
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "The database lacks migrations: run `./manage.py migrate`."
        if not Node.objects.alive().exists():
            return "No queue server is running: start one with `./manage.py qcluster`."
    except DatabaseError:
        return "The database does not answer."
    return None
