"""async_iter without a cache: one task an argument, one row a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ, Task
from django_q.signals import pre_enqueue
from django_q.tasks import async_task

from . import packages
from .broker import DatabaseBroker
from .call import Call, default_name
from .models import FREE, Job, JobState
from .results import STORED, decoded
from .text import shorten
from .wakeup import notify


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

    def enqueue_another(self, args: tuple[Any, ...], name: str | None, position: int) -> None:
        """A task like the first, for other arguments, as `async_task` would make it.

        In half the time: what the options amount to is settled once, and a name of
        random words that nobody will see is not made up.
        """
        first, _ = self.packages[0]
        another = {
            **first,
            "id": uuid4().hex,
            "name": name or default_name(first["func"], args, first["kwargs"]),
            "args": args,
            "position": position,
            "kwargs": dict(first["kwargs"]),
            "started": timezone.now(),
        }
        packages.check(args)
        pre_enqueue.send(sender="django_q", task=another)
        self.packages.append((another, packages.write(another)))


def async_iter(func: str | Callable[..., Any], args_iter: Sequence[Any], **kwargs: Any) -> str:
    """Queue `func` once for each of `args_iter`; the group's id, before anything has run.

    Called like django-q2's: an argument that is no tuple is the only one of its call;
    of the keywords `async_task`'s options are obeyed (in `q_options` too) and the rest
    go to the function. With `task_name` the tasks are called "<task_name>, chunk 7 of
    30". A `hook` is called for each task.

    All tasks and their jobs commit together, with the caller's transaction if there is
    one, or not at all. The results are the group's jobs, in the order of the arguments
    (`results`), so finishing twice, in any order, on any node, counts once. No
    arguments make a group that is complete at once, with the result [].
    """
    options = dict(kwargs.pop("q_options", {}))
    for key in ("task_name", "broker", "group", "cluster", "sync"):
        if key in kwargs:
            options[key] = kwargs.pop(key)
    name = options.pop("task_name", None)
    broker = options.get("broker") or get_broker(options.get("cluster"))
    collector = options["broker"] = Collector(broker.list_key)
    group = options["group"] = uuid4().hex
    call = Call(func)  # resolved once, not for each task
    total, sync = len(args_iter), options.get("sync", Conf.SYNC)
    with transaction.atomic():
        for position, args in enumerate(args_iter):
            args = args if isinstance(args, tuple) else (args,)
            chunk = name and chunk_name(name, position, total)
            if position and not sync:
                collector.enqueue_another(args, chunk, position)
                continue
            task_id = async_task(call, *args, **kwargs, q_options={**options, "task_name": chunk})
            if sync:  # it has run already, as a group of its own
                Job.objects.filter(pk=task_id).update(group=group, position=position)
        insert(collector, group)
        if not total:
            record_empty(group, name or str(call), str(call))
    return group


def chunk_name(name: str, position: int, total: int) -> str:
    place = f", chunk {position + 1:,} of {total:,}"
    return shorten(name, 100 - len(place)) + place


def insert(collector: Collector, group: str) -> None:
    """Write the collected packages and their jobs."""
    adapt = connection.ops.adapt_datetimefield_value
    key, free = collector.list_key, adapt(FREE)
    queue_ids = insert_rows(
        OrmQ,
        ("key", "payload", "lock"),
        [(key, signed, free) for _, signed in collector.packages],
        returning="id",
    )
    insert_rows(
        Job,
        ("task_id", "group", "position", "queue", "queue_id", "name", "queued_at"),
        [
            (task["id"], group, position, key, queue_id, task["name"], adapt(task["started"]))
            for position, (queue_id, (task, _)) in enumerate(
                zip(queue_ids, collector.packages, strict=True)
            )
        ],
    )
    notify()


def insert_rows(
    model: type[Model], columns: Sequence[str], rows: list[tuple[Any, ...]], returning: str = ""
) -> list[Any]:
    """INSERT as `bulk_create` does, without its Python for each field of each row.

    The columns that are not named have a default in the database.
    """
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    insert = f"INSERT INTO {quote(model._meta.db_table)} ({names})"
    tail = f" RETURNING {quote(returning)}" if returning else ""
    if connection.vendor == "postgresql":
        # One array a column: thousands of placeholders take the driver a second to parse.
        types = [model._meta.get_field(column).db_type(connection) for column in columns]
        arrays = ", ".join(f"%s::{type_}[]" for type_ in types)
        values = f"SELECT * FROM unnest({arrays})"  # noqa: S608
        batches = [(values, [list(column) for column in zip(*rows, strict=True)])] if rows else []
    else:
        row = f"({', '.join(['%s'] * len(columns))})"
        step = (connection.features.max_query_params or len(rows)) // len(columns)
        parts = (rows[start : start + step] for start in range(0, len(rows), step))
        batches = [
            (f"VALUES {', '.join([row] * len(part))}", [value for one in part for value in one])
            for part in parts
        ]
    returned: list[Any] = []
    with connection.cursor() as cursor:
        for values, parameters in batches:
            cursor.execute(f"{insert} {values}{tail}", parameters)
            if returning:
                returned += [value for (value,) in cursor.fetchall()]
    return returned


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
