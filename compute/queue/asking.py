"""A task as it is asked for: looked at before it is queued, and given its function and its name."""

from __future__ import annotations

import math
from typing import Any

from django_q.conf import Conf
from django_q.humanhash import humanize

from . import packages
from .call import Call, check_returns, default_name
from .in_request import InRequest
from .models import Job
from .text import shorten, shown, storable

#: A task's `timeout` that stands for no time limit.
NO_LIMIT = -1


def prepare(sender: Any, task: dict[str, Any], **kwargs: Any) -> None:
    """On `pre_enqueue`: put a Call in place of the function, and a readable name.

    Raises TypeError or ValueError, in the caller, for what would only fail in a worker.
    """
    if "iter_count" in task:
        raise TypeError(
            "django_q.tasks.async_iter collects its results in a cache, which loses them. "
            "Call compute.queue.fanout.async_iter instead: same arguments, results in rows."
        )
    check_options(task)
    if task.get("cached"):
        task["cached"] = False  # results are rows, there is no cache
    func = task["func"]
    check_returns(func)
    call = task["func"] = func if isinstance(func, Call) else Call(func)
    if task["name"].count("-") == 3 and task["name"] == humanize(task["id"]):  # nobody's choice
        task["name"] = default_name(call, task["args"], task["kwargs"])
    task["name"] = shorten(task["name"], 100)
    task.setdefault("position", 0)  # in its group; a lone task is a group of one
    if task.get("sync"):
        payload = packages.write({key: value for key, value in task.items() if key != "sync"})
        packages.read_back(payload)
        job = Job(task_id=task["id"], group=task["id"], name=task["name"], payload=payload)
        job.queue, job.queued_at = Conf.CLUSTER_NAME, task["started"]
        job.save(force_insert=True)
        apart = ("func", "args", "kwargs")
        rest = {key: value for key, value in task.items() if key not in apart}
        task["func"] = InRequest(call, rest)


def check_options(task: dict[str, Any]) -> None:
    """Refuse, at the call, what would only fail in a worker or in the database."""
    for option, length in (("group", 100), ("hook", 256), ("cluster", 100)):
        text = str(task.get(option) or "")
        if len(text) > length:
            raise ValueError(f"{option} has over {length} characters, more than a task keeps")
        if storable(text) != text:
            raise ValueError(f"{option} has a character that no database stores: {text!r}")
    if not isinstance(task["name"], str):
        raise TypeError(f"task_name is no text: {shown(task['name'])}")
    if "timeout" in task:
        seconds = task["timeout"]
        if (
            not isinstance(seconds, int | float)
            or isinstance(seconds, bool)
            or not (seconds == NO_LIMIT or 0 < seconds < 2**31)
        ):
            raise ValueError(
                f"timeout is {shown(seconds)}; give seconds, more than 0 and below 2^31, "
                f"or {NO_LIMIT} for none"
            )
        # Nodes of the version before, and django-q2 in a request, take whole seconds.
        task["limit"], task["timeout"] = seconds, math.ceil(seconds)
