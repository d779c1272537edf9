from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queue", "0003_node_ended")]

    operations = [
        migrations.CreateModel(
            name="Tally",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("func", models.CharField(max_length=200)),
                ("kind", models.CharField(max_length=20)),
                ("value", models.FloatField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("func", "kind"), name="one_tally_a_kind")
                ],
            },
        ),
    ]
