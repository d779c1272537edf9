"""Queues what is scheduled, as django-q2 does, each schedule in a transaction of its own.

In a process that holds no lease, so that what takes long here ends no task. A schedule that
can't be run is disabled and says why: its last run, in the admin, is a failure with the
reason. Two nodes that look at the same moment queue a task once, for a schedule is locked
while its task is queued.
"""

from __future__ import annotations

import logging
import time

from django.db import Error, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import Schedule
from django_q.tasks import async_task
from django_q.utils import close_old_django_connections

from .. import kernel
from ..away import is_away
from ..records import note_failure
from ..schedules import arguments, next_run
from ..text import one_line, shorten

log = logging.getLogger(__name__)

#: Seconds between two looks for what is due.
LOOK_S = 30


def run() -> None:
    """For ever; a database that is away is tried again."""
    while True:
        look()
        for _ in range(LOOK_S):
            time.sleep(1)
            kernel.end_if_orphaned()


def look() -> None:
    try:
        queue_due()
    except Error as error:
        if not is_away(error):
            raise
        log.warning("nothing scheduled can be queued: %s", one_line(error))
    connection.close()  # a small Postgres has few, and none is needed for the next seconds


def queue_due() -> None:
    """Queue a task for each schedule of this node's queue whose time has come."""
    close_old_django_connections()
    for pk in due().order_by("next_run").values_list("pk", flat=True):
        try:
            with transaction.atomic():
                schedule = locked(due().filter(pk=pk)).first()
                if schedule is not None:  # another node was quicker
                    queue(schedule)
        except Exception as error:  # whatever its fields, or those who listen, make of it
            if is_away(error):
                raise
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


def queue(schedule: Schedule) -> None:
    """Queue the task of a schedule that is due, and note when the next one is."""
    args, kwargs = arguments(schedule.args, schedule.kwargs)
    options = kwargs.setdefault("q_options", {})
    if schedule.intended_date_kwarg:
        kwargs[schedule.intended_date_kwarg] = schedule.next_run.isoformat()
    if schedule.hook:
        options["hook"] = schedule.hook
    other = options.pop("broker_name", None)
    options["cluster"] = schedule.cluster or options.get("cluster", other)
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
