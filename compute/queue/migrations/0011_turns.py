from collections.abc import Callable
from typing import Any

from django.db import migrations

INDEXES = {
    "client_turn": "queue_client (queue, served)",
    "flow_turn": "queue_flow (queue, client, served) WHERE closed_at IS NULL",
    "flow_new": "queue_flow (queue) WHERE closed_at IS NULL AND served IS NULL",
}


def only_on_sqlite(statement: str) -> Callable[[Any, Any], None]:
    def run(apps: Any, schema_editor: Any) -> None:
        if schema_editor.connection.vendor == "sqlite":
            for name, on in INDEXES.items():
                schema_editor.execute(statement.format(name=name, on=on))

    return run


class Migration(migrations.Migration):
    """Flows and clients in their turn, for SQLite's claims (see engines/sqlite/front.py); on
    Postgres each charge would cost more by them. No model has them, so a migration that makes one
    of these tables anew has to make them, too: or no claim works, nor any test of it."""

    dependencies = [("queue", "0010_django_tasks")]

    operations = [
        migrations.RunPython(
            only_on_sqlite("CREATE INDEX IF NOT EXISTS {name} ON {on}"),
            only_on_sqlite("DROP INDEX IF EXISTS {name}"),
        ),
    ]
