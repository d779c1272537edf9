from django.db import migrations, models


class Migration(migrations.Migration):
    """What an owner calls a run, and notes of it."""

    dependencies = [("compute", "0011_partial")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="name",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What its owner calls it; else it is called by its title.",
                max_length=100,
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="note",
            field=models.TextField(
                blank=True, db_default="", default="", help_text="What its owner notes of it."
            ),
        ),
    ]
