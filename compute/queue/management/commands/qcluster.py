"""`manage.py qcluster`: a queue server. Stands before django-q2's command of that name."""

from typing import Any

from django_q.management.commands.qcluster import Command as DjangoQCommand

from compute.queue.cluster import Supervisor


class Command(DjangoQCommand):
    help = "Starts a queue server (a node): takes tasks from the database and runs them."

    def handle(self, *args: Any, **options: Any) -> None:  # pragma: no cover - tests/workers
        Supervisor().run(once=options["run_once"])
