"""System checks: what would make the queue slow, forgetful or wrong, in whatever project it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DEFAULT_DB_ALIAS, router
from django.utils.module_loading import import_string

from .broker import DatabaseBroker
from .defaults import RANGES, settings
from .engines import ENGINES, unfit

#: Options that django-q2's own cluster obeys and this queue does not, with the values that ask for
#: no more than this queue does anyway. docs/elsewhere.md says what is instead.
NOT_OBEYED: dict[str, tuple[Any, ...]] = {
    "ack_failures": (True,),
    "cached": (False, None),
    "cpu_affinity": (0, None),
    "max_attempts": (0, 1),
    "save_limit": (0,),
    "save_limit_per": (None,),
}
#: Seconds between two rounds of a guard at most: it gives the signs of life, and renews leases.
LONGEST_CYCLE_S = 1


@register("queue")
def check_queue(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Look at Q_CLUSTER, the database it names, the apps, and the settings of a node."""
    conf: dict[str, Any] = getattr(settings, "Q_CLUSTER", {})
    found: list[CheckMessage] = []
    for check in (of_cluster, of_apps, of_numbers, of_databases, of_habits):
        found.extend(check(conf))
    return found


def of_cluster(conf: dict[str, Any]) -> Iterator[CheckMessage]:
    if not is_our_broker(conf.get("broker_class")):
        yield Error(
            f"Q_CLUSTER['broker_class'] is {conf.get('broker_class')!r}: jobs, leases and "
            "statistics need ours.",
            hint="Set it to 'compute.queue.broker.DatabaseBroker' or a subclass.",
            id="queue.E001",
        )
    if conf.get("orm") != DEFAULT_DB_ALIAS:
        yield Error(
            f"Q_CLUSTER['orm'] is {conf.get('orm')!r}: jobs and queue need one database.",
            hint="Set it to 'default'.",
            id="queue.E002",
        )


def of_apps(conf: dict[str, Any]) -> Iterator[CheckMessage]:
    labels = [config.label for config in apps.get_app_configs()]
    if "django_q" not in labels:
        yield Error(
            "django_q is no app of this project: tasks and schedules are rows of its tables.",
            hint="Put 'django_q' behind 'compute.queue' in INSTALLED_APPS.",
            id="queue.E003",
        )
    elif labels.index("queue") > labels.index("django_q"):
        yield Error(
            "compute.queue stands behind django_q, whose qcluster command hides ours.",
            hint="Put 'compute.queue' before 'django_q' in INSTALLED_APPS.",
            id="queue.E003",
        )


def of_numbers(conf: dict[str, Any]) -> Iterator[CheckMessage]:
    values = {name: getattr(settings, name) for name in RANGES}
    for name, (low, high, words) in RANGES.items():
        value = values[name]
        if not (isinstance(value, int | float) and low <= value <= high):
            yield Error(f"{name} is {value!r}.", hint=f"Give {words}.", id="queue.E005")
    if conf.get("guard_cycle", 0) > LONGEST_CYCLE_S:
        yield Error(
            f"Q_CLUSTER['guard_cycle'] is {conf['guard_cycle']!r}: leases end, and a node counts "
            "as dead, before its guard looks again.",
            hint="Leave it out, or give 1 second or less.",
            id="queue.E005",
        )


def of_databases(conf: dict[str, Any]) -> Iterator[CheckMessage]:
    database = settings.DATABASES[DEFAULT_DB_ALIAS]
    if wrong := unfit(database):
        yield Error(wrong[0], hint=wrong[1], id="queue.E008")
    if not settings.USE_TZ:
        yield Error(
            "USE_TZ is False: leases end by the database's clock, and local times tell nothing of "
            "that.",
            hint="Set it to True.",
            id="queue.E006",
        )
    models = [
        model
        for config in apps.get_app_configs()
        if config.label in ("queue", "django_q")
        for model in config.get_models()
    ]
    ways: tuple[Callable[..., str], ...] = (router.db_for_read, router.db_for_write)
    routed = {way(model) for way in ways for model in models} - {DEFAULT_DB_ALIAS}
    if routed:
        yield Error(
            f"DATABASE_ROUTERS lead the queue to {', '.join(sorted(routed))}: jobs and queue need "
            "one database, and no copy of it.",
            hint="Let them name 'default' for the apps queue and django_q.",
            id="queue.E007",
        )
    for danger in (each.careless(database) for each in ENGINES.values()):
        if danger:
            yield Warning(danger[0], hint=danger[1], id="queue.W001")


def of_habits(conf: dict[str, Any]) -> Iterator[CheckMessage]:
    """What a project is used to from django-q2's own cluster, and this queue does otherwise."""
    if conf.get("sync"):
        yield Warning(
            "Q_CLUSTER['sync'] runs every task inside the request.",
            hint="Remove it; sync=True on one async_task() is enough to debug.",
            id="queue.W002",
        )
    ignored = [name for name, ours in NOT_OBEYED.items() if name in conf and conf[name] not in ours]
    if ignored:
        yield Warning(
            f"Q_CLUSTER has {', '.join(ignored)}, by which this queue does not go: a failed task "
            "stays failed until somebody retries it, and records are kept until they are pruned.",
            hint="Remove what is named; docs/elsewhere.md says what is instead.",
            id="queue.W004",
        )


def is_our_broker(path: str | None) -> bool:
    try:
        return issubclass(import_string(path or ""), DatabaseBroker)
    except (ImportError, TypeError):  # not there, or no class
        return False
