"""This project: its own settings, with DEBUG off, no limit of a visitor's work and room, and
everything else at its default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.system import WORKERS, System, python


class Ours(System):
    def environment(self) -> dict[str, str]:
        # Everything is started from one address.
        limits = ("MAX_CLIENT_MB_PER_HOUR", "MAX_WORK_MINUTES", "MAX_KEPT_MB")
        return {
            "DJANGO_SETTINGS_MODULE": "sumsite.settings",
            "PYTEST_VERSION": "none",  # the settings then leave a developer's .env alone
            "SECRET_KEY": "measured-only-measured-only-measured-only-0123456789",
            "DEBUG": "0",
            "ALLOWED_HOSTS": "localhost,testserver",
            "Q_WORKERS": str(WORKERS),
            **dict.fromkeys(limits, "0"),
        }

    def prepare(self) -> None:
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)

    def node(self) -> list[list[str]]:
        return [python("manage.py", "qcluster")]

    def enqueue(self, function: str, *arguments: Any) -> str:
        from django_q.tasks import async_task

        from bench.functions import FUNCTIONS

        return str(async_task(FUNCTIONS[function], *arguments))

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        from bench.functions import FUNCTIONS
        from compute.queue.fanout import async_iter

        async_iter(FUNCTIONS[function], arguments, task_name="bench")

    def is_visible(self, task: str) -> bool:
        """The `Job` row. Asked for in SQL, as Procrastinate's is: how long Django's ORM takes
        to ask belongs to no queue."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT state = 'done' FROM queue_job WHERE task_id = %s", [task])
            return bool(cursor.fetchone()[0])

    def finished(self) -> int:
        from compute.queue.models import Job

        return Job.objects.filter(state=Job.State.DONE).count()


class OursByTask(Ours):
    """The same, asked by Django's own tasks."""

    def enqueue(self, function: str, *arguments: Any) -> str:
        from bench.systems.tasks_functions import TASKS

        return str(TASKS[function].enqueue(*arguments).id)

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        """There is no call for many; one transaction is what the database likes best."""
        from django.db import transaction

        with transaction.atomic():
            for each in arguments:
                self.enqueue(function, *each)


def collect_static() -> None:
    """What a page in production needs; before the first one."""
    from django.core.management import call_command

    call_command("collectstatic", interactive=False, verbosity=0)
