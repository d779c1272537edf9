from collections.abc import Callable
from typing import Any

from django.db import migrations


def only_on_postgres(statement: str) -> Callable[[Any, Any], None]:
    def run(apps: Any, schema_editor: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(statement)

    return run


class Migration(migrations.Migration):
    """A number that rises whenever something older is up again: what claims remember holds until
    then (see engines/postgres/places.py). No row, for that would be one that all wait for."""

    dependencies = [("queue", "0007_sharing")]

    operations = [
        migrations.RunPython(
            only_on_postgres("CREATE SEQUENCE IF NOT EXISTS queue_returns"),
            only_on_postgres("DROP SEQUENCE IF EXISTS queue_returns"),
        ),
    ]
