import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """Files that runs are given."""

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("compute", "0012_name_and_note"),
    ]

    operations = [
        migrations.CreateModel(
            name="Upload",
            fields=[
                ("id", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("media_type", models.CharField(max_length=100)),
                (
                    "size",
                    models.PositiveBigIntegerField(
                        help_text="Bytes that it has when it is complete."
                    ),
                ),
                (
                    "client",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="For whom it counts: a session, or a hash of an address.",
                        max_length=32,
                    ),
                ),
                (
                    "address",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="A hash of the address that it counts for as well.",
                        max_length=32,
                    ),
                ),
                ("made_at", models.DateTimeField(db_default=Now())),
                (
                    "touched_at",
                    models.DateTimeField(
                        db_default=Now(),
                        help_text="When something of it came, or it was last asked for.",
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        db_constraint=False,
                        help_text="Who was signed in.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "runs",
                    models.ManyToManyField(
                        db_constraint=False, related_name="uploads", to="compute.run"
                    ),
                ),
            ],
            options={"ordering": ["made_at", "id"]},
        ),
    ]
