from typing import Any

import django.db.models.functions.datetime
from django.db import migrations, models


def keep_parts_as_they_are(apps: Any, schema_editor: Any) -> None:
    """Postgres would compress each when it is written, and unpack it to cut a piece off."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE queue_part ALTER COLUMN data SET STORAGE EXTERNAL")


class Migration(migrations.Migration):
    """Large results, in parts apart from the rows that speak of them."""

    dependencies = [("queue", "0008_returns")]

    operations = [
        migrations.CreateModel(
            name="Content",
            fields=[
                (
                    "id",
                    models.CharField(max_length=32, primary_key=True, serialize=False),
                ),
                (
                    "holder",
                    models.CharField(
                        db_index=True,
                        help_text="The run or task it goes with, by its id; empty if it is to be removed.",
                        max_length=32,
                    ),
                ),
                (
                    "size",
                    models.PositiveBigIntegerField(help_text="Bytes, as far as it is written."),
                ),
                (
                    "digest",
                    models.CharField(
                        blank=True,
                        help_text="SHA-256, in hexadecimal; empty until it is complete.",
                        max_length=64,
                    ),
                ),
                (
                    "made_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When something of it was last written.",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Part",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("content", models.CharField(max_length=32)),
                (
                    "number",
                    models.PositiveIntegerField(help_text="Its place, from 0."),
                ),
                ("data", models.BinaryField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("content", "number"), name="one_part_a_place"
                    )
                ],
            },
        ),
        migrations.RunPython(keep_parts_as_they_are, migrations.RunPython.noop),
    ]
