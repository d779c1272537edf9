"""`manage.py qcluster`: a queue server. Stands before django-q2's command of that name."""

import os
import sys
from typing import Any

from django.core.management import CommandError
from django_q.conf import Conf
from django_q.management.commands.qcluster import Command as DjangoQCommand

from ...defaults import settings
from ...logs import be_heard
from ...node.supervisor import Supervisor


class Command(DjangoQCommand):
    help = "Starts a queue server (a node): takes tasks from the database and runs them."
    #: Those of what a node runs. All others would load all pages, into each of its processes.
    requires_system_checks = ["queue", "computations"]

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["cluster_name"]
        if name and name != Conf.CLUSTER_NAME:
            start_anew(name)
        be_heard(Conf.LOG_LEVEL)
        Supervisor().run(once=options["run_once"])


def start_anew(name: str) -> None:
    """Start this command again for the queue of that name, which what it starts inherits, also when
    the code has changed: django-q2 has read its configuration by now."""
    conf = settings.Q_CLUSTER
    if "ALT_CLUSTERS" not in conf and name not in (conf.get("name"), conf.get("cluster_name")):
        raise CommandError(
            "Q_CLUSTER has no ALT_CLUSTERS, without which django-q2 knows one queue only: "
            "add 'ALT_CLUSTERS': {}."
        )
    os.putenv("Q_CLUSTER_NAME", name)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
