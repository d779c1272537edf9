from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('compute', '0002_any_computation'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='owner',
            field=models.CharField(blank=True, help_text='What the session that started it is known by.', max_length=32),
        ),
        migrations.AddField(
            model_name='run',
            name='why',
            field=models.CharField(blank=True, help_text='Why the site chose this chunk size, if it did.', max_length=300),
        ),
        migrations.AddField(
            model_name='run',
            name='work_seconds',
            field=models.FloatField(help_text='How long its chunks ran, added up; once it is done.', null=True),
        ),
        migrations.AlterField(
            model_name='run',
            name='state',
            field=models.CharField(choices=[('in-progress', 'running'), ('done', 'done'), ('error', 'failed'), ('cancelled', 'cancelled')], default='in-progress', max_length=11),
        ),
    ]
