"""async_iter without a cache: one task an argument, one row a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Task
from django_q.signals import pre_enqueue
from django_q.tasks import async_task

from . import packages
from .broker import DatabaseBroker, filled
from .call import Call, check_returns, default_name, label
from .engines import Share
from .models import Job, JobState
from .results import STORED, decoded
from .text import shorten
from .transitions import enter_all


class Collector(DatabaseBroker):
    """Takes what `async_task` enqueues and writes nothing, for one bulk insert at the end."""

    def __init__(self, list_key: str) -> None:
        super().__init__(list_key=list_key)
        self.packages: list[tuple[dict[str, Any], str]] = []

    def enqueue(self, task: str) -> int:
        read = packages.read_back(task)
        assert read is not None  # noqa: S101 - async_task has just signed it
        self.packages.append((read, task))
        return len(self.packages)

    def enqueue_another(
        self, args: tuple[Any, ...], own: dict[str, Any], name: str | None, position: int
    ) -> None:
        """A task like the first, for other arguments, as `async_task` would make it.

        In half the time: what the options amount to is settled once, and a name of
        random words that nobody will see is not made up.
        """
        first, _ = self.packages[0]
        kwargs = {**first["kwargs"], **own}
        another = {
            **first,
            "id": uuid4().hex,
            "name": name or default_name(first["func"], args, kwargs),
            "args": args,
            "position": position,
            "kwargs": kwargs,
            "started": timezone.now(),
        }
        packages.check(args, own)
        pre_enqueue.send(sender="django_q", task=another)
        self.packages.append((another, packages.write(another)))


def async_iter(func: str | Callable[..., Any], args_iter: Sequence[Any], **kwargs: Any) -> str:
    """Queue `func` once for each of `args_iter`; the group's id, before anything has run.

    Called like django-q2's: an argument that is no tuple is the only one of its call;
    of the keywords `async_task`'s options are obeyed (in `q_options` too) and the rest
    go to the function. `keywords` in `q_options` is a dict for each call, of keywords that it
    gets besides. With `task_name` the tasks are called "<task_name>, chunk 7 of
    30". A `hook` is called for each task. The group is a flow of its own, which shares the
    workers with others as its `broker` says (`broker.sharing`).

    All tasks and their jobs commit together, with the caller's transaction if there is
    one, or not at all. The results are the group's jobs, in the order of the arguments
    (`results`), so finishing twice, in any order, on any node, counts once. No
    arguments make a group that is complete at once, with the result [].
    """
    options = dict(kwargs.pop("q_options", {}))
    own = options.pop("keywords", None) or [{}] * len(args_iter)
    for key in ("task_name", "broker", "group", "cluster", "sync"):
        if key in kwargs:
            options[key] = kwargs.pop(key)
    name = options.pop("task_name", None)
    broker = options.get("broker") or get_broker(options.get("cluster"))
    share = getattr(broker, "share", None) or Share("", "")
    collector = options["broker"] = Collector(broker.list_key)
    group = options["group"] = uuid4().hex
    check_returns(func)
    call = Call(func)  # resolved once, not for each task
    total, sync = len(args_iter), options.get("sync", Conf.SYNC)
    with transaction.atomic():
        for position, args in enumerate(args_iter):
            args = args if isinstance(args, tuple) else (args,)
            chunk = name and chunk_name(name, position, total)
            if position and not sync:
                collector.enqueue_another(args, own[position], chunk, position)
                continue
            named = {**kwargs, **own[position], "q_options": {**options, "task_name": chunk}}
            task_id = async_task(call, *args, **named)
            if sync:  # it has run already, as a group of its own
                Job.objects.filter(pk=task_id).update(group=group, position=position)
        enter_all(collector.list_key, group, collector.packages, filled(share, group, label(call)))
        if not total:
            record_empty(group, name or str(call), str(call))
    return group


def chunk_name(name: str, position: int, total: int) -> str:
    place = f", chunk {position + 1:,} of {total:,}"
    return shorten(name, 100 - len(place)) + place


def record_empty(group: str, name: str, func: str) -> None:
    """Let `django_q.tasks.result(group)` say [] for a group without tasks."""
    now = timezone.now()
    Task.objects.create(
        id=group,
        name=shorten(name, 100),
        func=shorten(func, 256),
        started=now,
        stopped=now,
        result=[],
    )


def results(group: str) -> list[Any] | None:
    """The group's results in the order of its arguments; None until every job is done.

    ValueError if one can't be read (any more): its class, for one, was removed.
    """
    jobs = list(Job.objects.in_group(group).values_list("state", STORED))
    if any(state != JobState.DONE for state, _ in jobs):
        return None
    if not jobs and not Task.objects.filter(pk=group).exists():
        return None
    return [decoded(stored, position) for position, (_, stored) in enumerate(jobs)]
