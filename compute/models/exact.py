"""JSON in a column, whose numbers come back as they were.

Postgres keeps a number of JSON as its decimal digits (jsonb): 1e308 would come back as an integer
of 309 digits, and -0.0 as 0.0. Written otherwise they come back, in any reader of JSON, and rows
that are there already are read as ever.
"""

from __future__ import annotations

import re
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

#: Texts, which stay; and floats that their decimal digits alone don't tell.
CHANGED = re.compile(r'"(?:[^"\\]|\\.)*"|(-?[0-9.]+e\+[0-9]+)|(-0\.0)(?![0-9])')
#: Is not nothing in decimal digits, and the float next to it is -0.0.
NEGATIVE_ZERO = "-1e-400"


class ExactEncoder(DjangoJSONEncoder):
    """Writes a large float with its point, and -0.0 as a number that only rounds to it."""

    def encode(self, o: Any) -> str:
        text = super().encode(o)
        return CHANGED.sub(rewritten, text) if "e+" in text or "-0.0" in text else text


def rewritten(found: re.Match[str]) -> str:
    large, zero = found.groups()
    if large:
        return f"{float(large):.1f}"
    return NEGATIVE_ZERO if zero else found[0]


class ExactJSONField(models.JSONField):
    """Of the same column as Django's, so that migrations see no other field."""

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if not prepared:
            value = self.get_prep_value(value)
        return connection.ops.adapt_json_value(value, ExactEncoder)

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs
