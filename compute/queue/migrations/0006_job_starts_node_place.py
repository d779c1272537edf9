from django.db import migrations, models


class Migration(migrations.Migration):
    """With defaults in the database: nodes of the version before write rows, too."""

    dependencies = [("queue", "0005_job_finished")]

    operations = [
        migrations.AddField(
            "job",
            "starts",
            models.PositiveIntegerField(
                default=0, db_default=0, help_text="The same, since it was queued or retried."
            ),
        ),
        migrations.AddField(
            "node",
            "place",
            models.CharField(
                default="",
                db_default="",
                max_length=200,
                editable=False,
                help_text="Where its process id counts: a machine since it was started, and a namespace.",
            ),
        ),
    ]
