from django.db import migrations, models


class Migration(migrations.Migration):
    """What Django's tasks have beside django-q2's. With defaults in the database: servers of the
    version before write jobs, too."""

    dependencies = [("queue", "0009_contents")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="asked",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="Of a task of Django's framework: how it was asked for, as JSON.",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="trials",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="Of such a task: each start, by its number, node, worker and time.",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="errors",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="Of such a task: class and traceback of each of its errors, as JSON.",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False), ("state", "queued")),
                fields=["queue", "due_at"],
                name="job_due",
            ),
        ),
    ]
