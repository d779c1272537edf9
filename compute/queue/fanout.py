"""async_iter without a cache: one task an argument, one row a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.humanhash import uuid
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

from .broker import DatabaseBroker
from .call import Call, shorten, take_enqueuing
from .models import FREE, Job, JobState
from .wakeup import notify

#: Rows in one INSERT.
BATCH = 1000


class Collector(DatabaseBroker):
    """Takes what `async_task` enqueues and writes nothing, for one bulk insert at the end."""

    def __init__(self, list_key: str) -> None:
        super().__init__(list_key=list_key)
        self.packages: list[tuple[dict[str, Any], str]] = []

    def enqueue(self, task: str) -> int:
        package = take_enqueuing()
        assert package  # noqa: S101 - async_task has sent pre_enqueue, which sets it
        self.packages.append((package, task))
        return len(self.packages)


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
    group = options["group"] = str(uuid()[1])
    path = Call(func).func  # resolved once, not for each task
    total = len(args_iter)
    with transaction.atomic():
        for position, args in enumerate(args_iter):
            if name:
                place = f", chunk {position + 1:,} of {total:,}"
                options["task_name"] = shorten(name, 100 - len(place)) + place
            args = args if isinstance(args, tuple) else (args,)
            task_id = async_task(path, *args, **kwargs, q_options=dict(options))
            if options.get("sync", Conf.SYNC):  # it has run already, as a group of its own
                Job.objects.filter(pk=task_id).update(group=group, position=position)
        insert(collector, group)
        if not total:
            record_empty(group, name or str(path), str(path))
    return group


def insert(collector: Collector, group: str) -> None:
    """Write the collected packages and their jobs.

    The jobs by hand: over all the fields of a Job `bulk_create` takes three times as
    long, and what is not named here has its default in the database.
    """
    rows = OrmQ.objects.bulk_create(
        (
            OrmQ(key=collector.list_key, payload=signed, lock=FREE)
            for _, signed in collector.packages
        ),
        batch_size=BATCH,
    )
    quote, adapt = connection.ops.quote_name, connection.ops.adapt_datetimefield_value
    columns = ("task_id", "group", "position", "queue", "queue_id", "name", "queued_at")
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {quote(Job._meta.db_table)} ({', '.join(map(quote, columns))}) "  # noqa: S608
            f"VALUES ({', '.join(['%s'] * len(columns))})",
            [
                (
                    task["id"],
                    group,
                    position,
                    collector.list_key,
                    row.pk,
                    task["name"],
                    adapt(task["started"]),
                )
                for position, (row, (task, _)) in enumerate(
                    zip(rows, collector.packages, strict=True)
                )
            ],
        )
    notify()


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
    """The group's results in the order of its arguments; None until every job is done."""
    jobs = list(Job.objects.in_group(group).values_list("state", "result"))
    if any(state != JobState.DONE for state, _ in jobs):
        return None
    if not jobs and not Task.objects.filter(pk=group).exists():
        return None
    return [result for _, result in jobs]
