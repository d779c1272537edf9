from django.db import migrations, models


class Migration(migrations.Migration):
    """Of what chance a run has made use."""

    dependencies = [("compute", "0013_uploads")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="seed",
            field=models.BigIntegerField(
                help_text="What its chunks' chance is made of; empty without chance.", null=True
            ),
        ),
    ]
