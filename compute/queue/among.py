"""`filter(pk__among=keys)`: any number of keys in a statement, as one parameter."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, Field, Lookup, TextField

from .engines import engine


@Field.register_lookup
class Among(Lookup):
    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        texts = isinstance(self.lhs.output_field, CharField | TextField)
        sql, listed = engine(connection).among(column, self.rhs, numbers=not texts)
        return sql, (*parameters, listed)
