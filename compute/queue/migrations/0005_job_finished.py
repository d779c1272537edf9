from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queue", "0004_tally")]

    operations = [
        migrations.AddIndex(
            "job",
            models.Index(
                fields=["finished_at"],
                name="job_finished",
                condition=models.Q(finished_at__isnull=False),
            ),
        ),
    ]
