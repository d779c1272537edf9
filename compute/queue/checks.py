"""System checks: what would make the queue slow, forgetful or wrong."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import import_string

from .broker import DatabaseBroker


@register("queue")
def check_queue(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Look at Q_CLUSTER, the database it names, and the order of the apps."""
    conf: dict[str, Any] = getattr(settings, "Q_CLUSTER", {})
    database = settings.DATABASES.get(conf.get("orm", ""), None)
    labels = [config.label for config in apps.get_app_configs()]
    found: list[CheckMessage] = []

    def error(number: int, message: str, hint: str) -> None:
        found.append(Error(message, hint=hint, id=f"queue.E{number:03}"))

    def warn(number: int, message: str, hint: str) -> None:
        found.append(Warning(message, hint=hint, id=f"queue.W{number:03}"))

    path = conf.get("broker_class", "")
    if not path or not issubclass(import_string(path), DatabaseBroker):
        error(
            1,
            f"Q_CLUSTER['broker_class'] is {path!r}: leases, jobs and statistics need ours.",
            "Set it to 'compute.queue.broker.DatabaseBroker' or a subclass.",
        )
    if database is None:
        error(
            2,
            f"Q_CLUSTER['orm'] is {conf.get('orm')!r}, which is no entry of DATABASES.",
            "Set it to 'default'.",
        )
    elif database["ENGINE"].endswith("sqlite3"):
        options = database.get("OPTIONS", {})
        if options.get("transaction_mode") != "IMMEDIATE" or "WAL" not in options.get(
            "init_command", ""
        ):
            warn(
                1,
                "SQLite without WAL and IMMEDIATE transactions loses tasks to locked tables.",
                "Set OPTIONS['transaction_mode'] and OPTIONS['init_command'].",
            )
    if labels.index("queue") > labels.index("django_q"):
        error(
            3,
            "compute.queue stands behind django_q: its qcluster command would be hidden.",
            "Put 'compute.queue' before 'django_q' in INSTALLED_APPS.",
        )
    if conf.get("sync"):
        warn(
            2,
            "Q_CLUSTER['sync'] runs every task inside the request.",
            "Remove it; sync=True on a single async_task() helps to debug.",
        )
    if conf.get("cached"):
        warn(3, "Q_CLUSTER['cached'] is ignored: results are rows.", "Remove it.")
    if conf.get("save_limit", 250) > 0:
        warn(
            4,
            "Q_CLUSTER['save_limit'] is ignored: every result is kept.",
            "Set it to 0.",
        )
    return found
