from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queue", "0001_initial")]

    operations = [
        migrations.AddField(
            "job",
            "progress",
            models.FloatField(
                default=0,
                db_default=0,
                help_text="How much of it is done, from 0 to 1, while it runs and if it tells.",
            ),
        ),
    ]
