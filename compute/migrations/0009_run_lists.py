from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('compute', '0008_run_function'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['computation', '-id'], name='run_computation'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(fields=['computation', 'state', '-id'], name='run_kind_state'),
        ),
    ]
