"""System checks: what would make the queue slow, forgetful or wrong."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import import_string

from .broker import DatabaseBroker
from .engines import ENGINES


@register("queue")
def check_queue(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Look at Q_CLUSTER, the database it names, and the order of the apps."""
    conf: dict[str, Any] = getattr(settings, "Q_CLUSTER", {})
    labels = [config.label for config in apps.get_app_configs()]
    rules = [
        (
            not is_our_broker(conf.get("broker_class")),
            Error(
                f"Q_CLUSTER['broker_class'] is {conf.get('broker_class')!r}: jobs, leases and "
                "statistics need ours.",
                hint="Set it to 'compute.queue.broker.DatabaseBroker' or a subclass.",
                id="queue.E001",
            ),
        ),
        (
            conf.get("orm") != "default",
            Error(
                f"Q_CLUSTER['orm'] is {conf.get('orm')!r}: jobs and queue need one database.",
                hint="Set it to 'default'.",
                id="queue.E002",
            ),
        ),
        (
            labels.index("queue") > labels.index("django_q"),
            Error(
                "compute.queue stands behind django_q, whose qcluster command hides ours.",
                hint="Put 'compute.queue' before 'django_q' in INSTALLED_APPS.",
                id="queue.E003",
            ),
        ),
        (
            conf.get("sync"),
            Warning(
                "Q_CLUSTER['sync'] runs every task inside the request.",
                hint="Remove it; sync=True on one async_task() is enough to debug.",
                id="queue.W002",
            ),
        ),
    ]
    careless = [each.careless(settings.DATABASES["default"]) for each in ENGINES.values()]
    return [
        *(message for wrong, message in rules if wrong),
        *(Warning(what, hint=hint, id="queue.W001") for what, hint in filter(None, careless)),
    ]


def is_our_broker(path: str | None) -> bool:
    try:
        return issubclass(import_string(path or ""), DatabaseBroker)
    except (ImportError, TypeError):  # not there, or no class
        return False
