"""`filter(pk__among=keys)`: a list of keys in a statement, as one parameter, however long it is.

A placeholder for each key would be refused by SQLite from some ten thousand on, and takes
Postgres' driver a second to read. On Postgres it is an array that a column is compared with,
and no subquery: that is joined, and where the table's statistics are of a time when no row was
in this state, in a loop within a loop (measured: seven minutes for ten thousand jobs).
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from django.db import connection
from django.db.models import CharField, Field, Lookup, TextField

Keys = Collection[str] | Collection[int]


def condition(column: str, keys: Keys, numbers: bool = False) -> tuple[str, Any]:
    """That a column is one of these, in SQL with one placeholder, and what that stands for."""
    if connection.vendor == "postgresql":
        return f"{column} = ANY(%s::{'bigint' if numbers else 'text'}[])", list(keys)
    listed = json.dumps(list(keys))
    return f"{column} IN (SELECT value FROM json_each(%s))", listed  # noqa: S608 - code names it


@Field.register_lookup
class Among(Lookup):
    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        texts = isinstance(self.lhs.output_field, CharField | TextField)
        sql, listed = condition(column, self.rhs, numbers=not texts)
        return sql, (*parameters, listed)
