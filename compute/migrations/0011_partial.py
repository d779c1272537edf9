import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """What a run has come to so far."""

    dependencies = [("compute", "0010_outputs")]

    operations = [
        migrations.CreateModel(
            name="Partial",
            fields=[
                (
                    "run",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="so_far",
                        serialize=False,
                        to="compute.run",
                    ),
                ),
                (
                    "task_id",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The task that makes the next, or has.",
                        max_length=32,
                    ),
                ),
                (
                    "asked_at",
                    models.DateTimeField(db_default=Now(), help_text="When that was queued."),
                ),
                (
                    "chunks",
                    models.PositiveIntegerField(default=0, help_text="Of how many chunks it is."),
                ),
                (
                    "shown",
                    models.TextField(blank=True, default="", help_text="It, as people read it."),
                ),
                (
                    "trouble",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Why the last one could not be made.",
                        max_length=500,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("task_id", ""), _negated=True),
                        fields=["task_id"],
                        name="partial_task",
                    )
                ],
            },
        ),
    ]
