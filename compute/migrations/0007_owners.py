"""What a session has started is found by an index; who asked for how many mails lately."""

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("compute", "0006_nobody_spoils")]

    operations = [
        migrations.CreateModel(
            name="MailAsked",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=32)),
                ("asked_at", models.DateTimeField(db_default=Now())),
            ],
            options={"verbose_name_plural": "mails asked for"},
        ),
        migrations.AddIndex(
            model_name="run", index=models.Index(fields=["owner"], name="run_owner")
        ),
        migrations.AddIndex(
            model_name="mailasked",
            index=models.Index(fields=["key", "asked_at"], name="mail_asked"),
        ),
    ]
