import django.core.serializers.json
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('compute', '0002_any_computation'),
    ]

    operations = [
        migrations.CreateModel(
            name='Sweep',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('computation', models.CharField(max_length=100)),
                ('parameters', models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('sizes', models.JSONField(help_text='Chunk sizes, in the order of their runs.')),
                ('owner', models.CharField(blank=True, max_length=32)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('ended', models.BooleanField(default=False)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
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
        migrations.AddField(
            model_name='run',
            name='sweep',
            field=models.ForeignKey(help_text='What tries out chunk sizes.', null=True, on_delete=django.db.models.deletion.SET_NULL, to='compute.sweep'),
        ),
    ]
