from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('queue', '0002_job_progress'),
    ]

    operations = [
        migrations.AddField(
            model_name='node',
            name='ended',
            field=models.PositiveBigIntegerField(default=0, verbose_name='tasks ended'),
        ),
    ]
