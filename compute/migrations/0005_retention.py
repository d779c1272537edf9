"""An index to find old runs by, and the schedule that removes them."""

from datetime import timedelta

from django.db import migrations, models
from django.utils import timezone

FUNC = "compute.retention.prune_a_share"


def make_schedule(apps, schema_editor):  # type: ignore[no-untyped-def]
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        func=FUNC,
        defaults={
            "name": "prune",
            "schedule_type": "H",
            "next_run": timezone.now() + timedelta(hours=1),
        },
    )


def remove_schedule(apps, schema_editor):  # type: ignore[no-untyped-def]
    apps.get_model("django_q", "Schedule").objects.filter(func=FUNC).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("compute", "0004_client"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations = [
        migrations.AddIndex("run", models.Index(fields=["finished_at"], name="run_finished")),
        migrations.RunPython(make_schedule, remove_schedule),
    ]
