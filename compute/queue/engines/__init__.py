"""The database of the queue: one engine for each kind, behind one door.

Every SQL statement of the queue stands in this folder, and so does every look at which
database it is. The engines know tables and columns by their names, and no model.
"""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection

from .base import Engine
from .postgres import Postgres
from .sqlite import SQLite
from .values import FREE, UP, Lease, Share

__all__ = ["ENGINES", "FREE", "UP", "Engine", "Lease", "Share", "engine", "prepare", "unfit"]

#: By what Django calls the kind of a database.
ENGINES: dict[str, Engine] = {"postgresql": Postgres(), "sqlite": SQLite()}


def engine(of: Any = connection) -> Engine:
    """The engine of Django's default connection, or of another one."""
    return ENGINES[of.vendor]


def prepare(sender: Any, connection: Any, **kwargs: Any) -> None:
    """On `connection_created`, which is sent for a project's other databases, too."""
    if connection.alias == DEFAULT_DB_ALIAS and connection.vendor in ENGINES:
        engine(connection).prepare(connection)


def unfit(database: dict[str, Any]) -> tuple[str, str] | None:
    """What keeps the queue from Django's default database, by its settings, and the way out."""
    if connection.vendor not in ENGINES:
        return (
            f"The queue can't be in a database of this kind ({connection.vendor}).",
            "Use SQLite or Postgres as the database 'default'.",
        )
    return engine().unfit(database)
