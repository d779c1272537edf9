import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """With defaults in the database: servers of the version before write jobs, too."""

    dependencies = [
        ('queue', '0006_job_starts_node_place'),
        ('django_q', '0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more'),
    ]

    operations = [
        migrations.CreateModel(
            name='Pause',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('queue', models.CharField(max_length=100)),
                ('kind', models.CharField(blank=True, help_text='Empty for the whole queue.', max_length=100)),
                ('since', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('by', models.CharField(blank=True, max_length=150)),
            ],
        ),
        migrations.CreateModel(
            name='Slot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('pool', models.CharField(max_length=200)),
                ('number', models.PositiveIntegerField(help_text='From 0.')),
                ('until', models.DateTimeField()),
                ('queue_id', models.BigIntegerField(db_index=True, help_text='Whose it is.', null=True)),
            ],
        ),
        migrations.AddField(
            model_name='job',
            name='due_at',
            field=models.DateTimeField(help_text='When it is up again; empty if it waits for nothing but a worker.', null=True),
        ),
        migrations.AddField(
            model_name='node',
            name='draining',
            field=models.BooleanField(db_default=False, default=False, help_text='Whether it ends what it has, and claims no more.'),
        ),
        migrations.AlterField(
            model_name='job',
            name='payload',
            field=models.TextField(blank=True, db_default='', default='', editable=False, help_text='Of one that failed or was cancelled: what was queued, to go on.'),
        ),
        migrations.CreateModel(
            name='Client',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('queue', models.CharField(max_length=100)),
                ('name', models.CharField(max_length=200)),
                ('served', models.FloatField(help_text='Worker seconds ÷ weight, beside others of the queue.')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('queue', 'name'), name='one_client_a_name')],
            },
        ),
        migrations.CreateModel(
            name='Flow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('queue', models.CharField(max_length=100)),
                ('key', models.CharField(max_length=200)),
                ('client', models.CharField(max_length=200)),
                ('weight', models.FloatField(db_default=1, default=1)),
                ('served', models.FloatField(help_text='Worker seconds ÷ weight, beside others of its client; empty if new.', null=True)),
                ('seconds', models.FloatField(db_default=0, default=0, verbose_name='worker seconds')),
                ('opened_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('closed_at', models.DateTimeField(help_text='When it was seen that nothing waits or runs; empty if it might.', null=True)),
                ('paused', models.BooleanField(db_default=False, default=False)),
                ('kind', models.CharField(blank=True, db_default='', default='', help_text="What it is one of, as a computation's name: paused together.", max_length=100)),
                ('kind_paused', models.BooleanField(db_default=False, default=False)),
                ('at_once', models.PositiveIntegerField(help_text='How many of its tasks may be at work at once.', null=True)),
                ('pool', models.CharField(blank=True, db_default='', default='', max_length=200)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('closed_at', None)), fields=['queue', 'client'], name='flow_open'), models.Index(fields=['key'], name='flow_key')],
                'constraints': [models.UniqueConstraint(fields=('queue', 'key'), name='one_flow_a_key')],
            },
        ),
        migrations.AddField(
            model_name='job',
            name='flow',
            field=models.ForeignKey(db_constraint=False, db_default=0, db_index=False, default=0, help_text='The line in which it waits.', on_delete=django.db.models.deletion.DO_NOTHING, related_name='jobs', to='queue.flow'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('due_at', None), ('state', 'queued')), fields=['flow', 'queue_id'], name='job_waiting'),
        ),
        migrations.AddConstraint(
            model_name='pause',
            constraint=models.UniqueConstraint(fields=('queue', 'kind'), name='one_pause_a_kind'),
        ),
        migrations.AddConstraint(
            model_name='slot',
            constraint=models.UniqueConstraint(fields=('pool', 'number'), name='one_slot_a_number'),
        ),
        # Of packages that are or were held, or that stock django-q2 has written: few, and looked
        # for by each claim, however many wait.
        migrations.RunSQL(
            "CREATE INDEX IF NOT EXISTS queue_package_again ON django_q_ormq (key, lock) "
            "WHERE lock > '2001-01-01'",
            "DROP INDEX IF EXISTS queue_package_again",
        ),
    ]
