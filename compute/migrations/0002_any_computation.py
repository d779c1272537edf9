"""Runs of any computation: what was particular to sums becomes name, parameters and title."""

import django.core.serializers.json
from django.db import migrations, models


def say_what_was_computed(apps, schema_editor):  # type: ignore[no-untyped-def]
    for run in apps.get_model("compute", "Run").objects.iterator():
        run.computation = "buggy-sum" if run.kind == "buggy-sum" else "sum"
        run.parameters = {"n": run.n}
        run.title = f"sum 1–{run.n:,}"
        run.save(update_fields=["computation", "parameters", "title"])


class Migration(migrations.Migration):
    dependencies = [("compute", "0001_initial")]

    operations = [
        migrations.AddField(
            "run",
            "computation",
            models.CharField(default="sum", max_length=100, help_text="Its name."),
            preserve_default=False,
        ),
        migrations.AddField(
            "run",
            "parameters",
            models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder),
            preserve_default=False,
        ),
        migrations.AddField(
            "run",
            "title",
            models.CharField(default="", max_length=200),
            preserve_default=False,
        ),
        migrations.AddField(
            "run",
            "trouble",
            models.CharField(
                blank=True,
                default="",
                max_length=500,
                help_text="Why the chunks' results did not make one.",
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            "run",
            "chunk_size",
            models.BigIntegerField(null=True, help_text="Empty for a run of one task."),
        ),
        migrations.AlterField(
            "run",
            "result",
            models.JSONField(
                encoder=django.core.serializers.json.DjangoJSONEncoder,
                null=True,
                help_text="Exact, of any size.",
            ),
        ),
        migrations.RunPython(say_what_was_computed, migrations.RunPython.noop, elidable=True),
        migrations.RemoveField("run", "kind"),
        migrations.RemoveField("run", "n"),
    ]
