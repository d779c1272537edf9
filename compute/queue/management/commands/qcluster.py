"""`manage.py qcluster`: a queue server. Stands before django-q2's command of that name."""

import os
import sys
from typing import Any

from django.conf import settings
from django_q.management.commands.qcluster import Command as DjangoQCommand

from compute.queue.cluster import Supervisor


class Command(DjangoQCommand):
    help = "Starts a queue server (a node): takes tasks from the database and runs them."

    def handle(self, *args: Any, **options: Any) -> None:  # pragma: no cover - tests/workers
        name = options["cluster_name"]
        if name and name != settings.Q_CLUSTER_NAME:
            # django-q2 has read its configuration by now, so it is started anew with the name,
            # which what it starts inherits, also when the code has changed.
            os.putenv("Q_CLUSTER_NAME", name)
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
        Supervisor().run(once=options["run_once"])
