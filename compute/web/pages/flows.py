"""Who shares the workers: for the page of nodes, the flows in which something waits or runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest

from ...models import Run
from ...models.run import SO_FAR
from ...queue import flows
from ...queue.flows import Line
from ...queue.models import Job
from ...queue.text import shorten
from ..masking import shown_to
from ..owners import listed, sees_all

#: So many flows are shown.
MOST = 50


def flows_context(request: HttpRequest, running: Iterable[Job]) -> dict[str, Any]:
    """The flows, of which those of others' runs have no name with RUNS_PRIVATE; whose they are is
    for staff."""
    lines = flows.lines(Counter(job.flow_id or 0 for job in running), MOST)
    keys = [line.flow.key.removeprefix(SO_FAR) for line in lines.shown]
    found = listed(request).filter(task_id__in=keys).only("task_id", "name", "title", "computation")
    runs = {run.task_id: run for run in found}
    clients = names_of({line.flow.client for line in lines.shown}) if request.user.is_staff else {}
    at_work = sum(line.at_work for line in lines.shown)
    return {
        "flows": [
            {
                "name": name_of(request, line, run),
                "address": run.get_absolute_url() if run else None,
                "client": clients.get(line.flow.client),
                "priority": line.flow.priority,
                "waiting": line.waiting,
                "at_work": line.at_work,
                "workers": line.at_work / at_work if at_work else 0.0,
                "seconds": line.flow.seconds,
                "part": line.flow.seconds / lines.seconds if lines.seconds else 0.0,
                "paused": line.flow.paused or line.flow.kind_paused,
                "at_once": line.flow.at_once,
                "taken": line.taken,
            }
            for line, run in zip(lines.shown, map(runs.get, keys), strict=True)
        ],
        "more_flows": lines.more,
    }


def name_of(request: HttpRequest, line: Line, run: Run | None) -> str | None:
    """A run's title, a function, or a kind; None for what is not to be told."""
    if run is not None:
        so_far = ", so far" if line.flow.key.startswith(SO_FAR) else ""
        return shown_to(request, f"{run}{so_far}")
    if not sees_all(request):
        return None
    key = line.flow.key
    name = (line.flow.kind or "a group of tasks") if is_made_up(key) else key
    return shown_to(request, shorten(name, 100))


def names_of(clients: set[str]) -> dict[str, str]:
    """Short names of clients: an account by its own, a visitor by the first letters of his."""
    accounts = {key: int(key[8:]) for key in clients if re.fullmatch("account [0-9]{1,18}", key)}
    known = dict(User.objects.filter(pk__in=accounts.values()).values_list("pk", "username"))
    names = {key: f"visitor {key[:6]}" if is_made_up(key) else shorten(key, 60) for key in clients}
    return names | {key: known[pk] for key, pk in accounts.items() if pk in known}


def is_made_up(name: str) -> bool:
    """Whether it is an id that says nothing to anybody."""
    return bool(re.fullmatch("[0-9a-f]{32}", name))
