"""Queues what is scheduled, as django-q2 does, each schedule in a transaction of its own.

In a process that holds no lease, so that what takes long here ends no task. A schedule that
can't be run is disabled and says why: its last run, in the admin, is a failure with the
reason. Two nodes that look at the same moment queue a task once, for a schedule is locked
while its task is queued.
"""

from __future__ import annotations

import ast
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django_q.brokers import Broker
from django_q.conf import Conf
from django_q.models import Schedule
from django_q.tasks import async_task
from django_q.utils import close_old_django_connections, localtime

from . import kernel
from .records import note_failure
from .text import one_line, shorten

log = logging.getLogger(__name__)

#: Seconds between two looks for what is due.
LOOK = 30

STEPS = {
    Schedule.HOURLY: timedelta(hours=1),
    Schedule.DAILY: timedelta(days=1),
    Schedule.WEEKLY: timedelta(weeks=1),
    Schedule.BIWEEKLY: timedelta(weeks=2),
}


def run(broker: Broker) -> None:  # pragma: no cover - a forked process (tests/workers)
    """Look for what is due, for ever; a database that is away is tried again."""
    while True:
        try:
            queue_due(broker)
        except (OperationalError, InterfaceError) as error:
            log.warning("nothing scheduled can be queued: %s", one_line(error))
        connection.close()  # a small Postgres has few, and none is needed for the next seconds
        for _ in range(LOOK):
            time.sleep(1)
            kernel.end_if_orphaned()


def queue_due(broker: Broker) -> None:
    """Queue a task for each schedule of this node's queue whose time has come."""
    close_old_django_connections()
    for pk in due().order_by("next_run").values_list("pk", flat=True):
        try:
            with transaction.atomic():
                schedule = locked(due().filter(pk=pk)).first()
                if schedule is not None:  # another node was quicker
                    queue(schedule, broker)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # whatever its fields, or those who listen, make of it
            disable(pk, error)


def due() -> QuerySet[Schedule]:
    mine = Q(cluster=Conf.CLUSTER_NAME)
    if Conf.CLUSTER_NAME == Conf.PREFIX:
        mine |= Q(cluster__isnull=True)
    open_: QuerySet[Schedule] = Schedule.objects.exclude(repeats=0)
    return open_.filter(mine, next_run__lt=timezone.now())


def locked(schedules: QuerySet[Schedule]) -> QuerySet[Schedule]:
    skip = bool(connection.features.has_select_for_update_skip_locked)
    free: QuerySet[Schedule] = schedules.select_for_update(skip_locked=skip)
    return free


def queue(schedule: Schedule, broker: Broker) -> None:
    """Queue the task of a schedule that is due, and note when the next one is."""
    args, kwargs = arguments(schedule.args, schedule.kwargs)
    options = kwargs.setdefault("q_options", {})
    if schedule.intended_date_kwarg:
        kwargs[schedule.intended_date_kwarg] = schedule.next_run.isoformat()
    if schedule.hook:
        options["hook"] = schedule.hook
    other = options.pop("broker_name", None)
    options["cluster"] = schedule.cluster or options.get("cluster", other)
    if options["cluster"] in (None, Conf.CLUSTER_NAME):
        options["broker"] = broker
    options.setdefault("group", schedule.name or schedule.pk)
    if schedule.schedule_type != Schedule.ONCE:
        schedule.next_run = next_run(schedule, timezone.now())
        if schedule.repeats > 0:
            schedule.repeats -= 1
    schedule.task = async_task(schedule.func, *args, **kwargs)
    log.info("scheduled: %s", shorten(schedule.name or schedule.func, 100))
    if schedule.schedule_type == Schedule.ONCE:
        if schedule.repeats < 0:
            schedule.delete()
            return
        schedule.repeats = 0
    schedule.save()


def arguments(args: str | None, kwargs: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a schedule's texts give its function: Python's literals, or `name=literal, …`.

    ValueError with a sentence that names the field.
    """
    positional: Any = ()
    if args:
        try:
            positional = ast.literal_eval(args)
        except Exception as error:  # SyntaxError, ValueError, MemoryError, RecursionError
            raise ValueError(
                f"args can't be read: {args!r} is no value of Python's; text needs quotes"
            ) from error
    if not isinstance(positional, tuple):
        positional = (positional,)
    if not kwargs:
        return positional, {}
    try:
        named = literal_or_call(kwargs)
    except Exception as error:  # as above
        raise ValueError(
            f"kwargs can't be read: {kwargs!r} is neither a dict nor like a=1, b='text'"
        ) from error
    options = named.get("q_options", {})
    if not isinstance(options, dict):
        raise ValueError(f"kwargs can't be read: q_options is {options!r}, and no dict")
    return positional, {**named, "q_options": dict(options)}


def literal_or_call(kwargs: str) -> dict[str, Any]:
    try:
        named = ast.literal_eval(kwargs)
    except (SyntaxError, ValueError):
        call = ast.parse(f"f({kwargs})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise
        named = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named):
        raise TypeError("no dict of names")
    return named


def next_run(schedule: Schedule, now: datetime) -> datetime:
    """The first time after now that the schedule names; what was missed is not caught up.

    A time of fifty years ago takes no longer than one of yesterday.
    """
    moment: datetime = schedule.next_run
    if schedule.schedule_type == Schedule.MINUTES:
        moment = forward(moment, now, timedelta(minutes=schedule.minutes or 1))
    elif schedule.schedule_type == Schedule.HOURLY:
        moment = forward(moment, now, STEPS[Schedule.HOURLY])
    elif step := STEPS.get(schedule.schedule_type):  # at the same time of day, as clocks show it
        zone = localtime(now).tzinfo
        there = forward(local(moment), local(now), step)
        moment = there.replace(tzinfo=zone).astimezone(UTC)
    while True:
        moment = schedule.calculate_next_run(moment)
        if Conf.CATCH_UP or moment > now:
            return moment


def forward(moment: datetime, now: datetime, step: timedelta) -> datetime:
    """The last but one moment before now that is whole steps from the given one."""
    if Conf.CATCH_UP:
        return moment
    return moment + step * max(0, (now - moment) // step - 1)


def local(moment: datetime) -> datetime:
    there: datetime = localtime(moment)
    return there.replace(tzinfo=None)


def disable(pk: int, error: Exception) -> None:
    """Run a schedule no more; the reason is a failed task, which the admin shows as its last."""
    why = f"This schedule can't be run, so it was disabled: {one_line(error)}"
    with transaction.atomic():
        schedule = locked(Schedule.objects.filter(pk=pk)).first()
        if schedule is None:
            return
        name = shorten(schedule.name or schedule.func, 100)
        failed = note_failure(name, schedule.func, why)
        Schedule.objects.filter(pk=pk).update(repeats=0, task=failed)
    log.error("failed: schedule %s: %s", name, why)
