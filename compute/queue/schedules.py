"""A schedule of django-q2, read: its function's arguments, and when it is due again."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from typing import Any

from django_q.conf import Conf
from django_q.models import Schedule
from django_q.utils import localtime

STEPS = {
    Schedule.HOURLY: timedelta(hours=1),
    Schedule.DAILY: timedelta(days=1),
    Schedule.WEEKLY: timedelta(weeks=1),
    Schedule.BIWEEKLY: timedelta(weeks=2),
}


def arguments(args: str | None, kwargs: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments in a schedule's texts: Python's literals, or `name=literal, …`.

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
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)) or call.args:
            raise  # `a=1)(` would make a call of a call, without any argument
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
