import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """What a run came to, apart from the run's row."""

    dependencies = [("compute", "0009_run_lists")]

    operations = [
        migrations.CreateModel(
            name="Output",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "position",
                    models.PositiveIntegerField(
                        default=0, help_text="Its place among others, from 0."
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        blank=True,
                        help_text="Empty for one that has no others beside it.",
                        max_length=200,
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("value", "Value"),
                            ("text", "Text"),
                            ("table", "Table"),
                            ("series", "Series"),
                            ("picture", "Picture"),
                            ("file", "File"),
                        ],
                        max_length=7,
                    ),
                ),
                (
                    "content_id",
                    models.CharField(help_text="The content that has its bytes.", max_length=32),
                ),
                ("size", models.PositiveBigIntegerField(help_text="Bytes of it.")),
                (
                    "rows",
                    models.PositiveBigIntegerField(help_text="Of a table or a series.", null=True),
                ),
                (
                    "columns",
                    models.JSONField(default=list, help_text="Names of the columns, in order."),
                ),
                (
                    "form",
                    models.CharField(
                        blank=True,
                        help_text="How a table's JSON is written: records, rows, columns or numbers.",
                        max_length=7,
                    ),
                ),
                (
                    "marks",
                    models.JSONField(
                        default=list,
                        help_text="At which byte each thousandth row begins, the first at 0.",
                    ),
                ),
                ("media_type", models.CharField(blank=True, max_length=100)),
                ("filename", models.CharField(blank=True, max_length=200)),
                (
                    "alt",
                    models.TextField(blank=True, help_text="What a picture shows, in words."),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="outputs",
                        to="compute.run",
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
                "constraints": [
                    models.UniqueConstraint(fields=("run", "position"), name="output_place"),
                    models.UniqueConstraint(fields=("run", "name"), name="output_name"),
                ],
            },
        ),
    ]
