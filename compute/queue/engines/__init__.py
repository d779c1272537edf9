"""The database of the queue: one engine for each kind, behind one door.

Every SQL statement of the queue stands in this folder, and so does every look at which
database it is. The engines know tables and columns by their names, and no model.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from .base import FREE, Engine, Lease
from .postgres import Postgres
from .sqlite import SQLite

__all__ = ["ENGINES", "FREE", "Engine", "Lease", "engine", "prepare"]

#: By what Django calls the kind of a database.
ENGINES: dict[str, Engine] = {"postgresql": Postgres(), "sqlite": SQLite()}


def engine(of: Any = connection) -> Engine:
    """The engine of Django's default connection, or of another one."""
    return ENGINES[of.vendor]


def prepare(sender: Any, connection: Any, **kwargs: Any) -> None:
    """On `connection_created`, which is sent for databases of other kinds, too."""
    if connection.vendor in ENGINES:
        engine(connection).prepare(connection)
