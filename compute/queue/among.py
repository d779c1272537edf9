"""A list of keys in a statement, as one parameter, however long it is.

A placeholder for each key would be refused by SQLite from some ten thousand on, and takes
Postgres' driver a second to read.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from django.db import connection
from django.db.models.expressions import RawSQL


def among(keys: Collection[str] | Collection[int], kind: type = str) -> RawSQL:
    """For `filter(pk__in=among(keys))`, and for SQL; `kind` is what all keys are, str or int."""
    if connection.vendor == "postgresql":
        array = "bigint[]" if kind is int else "text[]"
        return RawSQL(f"SELECT unnest(%s::{array})", [list(keys)])  # noqa: S611
    return RawSQL("SELECT value FROM json_each(%s)", [json.dumps(list(keys))])
