"""Old runs: one that the site has made, or rows by the hundred thousand by the database itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ, Task

from compute.models import Run, Sweep
from compute.models.notes import refresh
from compute.queue.models import Job, Node
from tests.conftest import run_jobs, started

#: Older than what is kept.
OLD = timedelta(days=31)


def make_old_runs(runs: int, chunks: int, days: float = 60, span: float = 20) -> None:
    """Runs that are done, each with its chunks and their tasks, ended over `span` days."""
    insert(statements(runs, chunks, timezone.now() - timedelta(days=days), span))


def make_rows(runs: int, first: int = 0) -> None:
    """Runs that are done, each with a chunk. Ids count from `first`: others have other ids."""
    insert(statements(runs, 1, timezone.now(), 1, first))


def insert(statements: list[tuple[str, str, str, int]]) -> None:
    postgres = connection.vendor == "postgresql"
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
    numbers = "generate_series(1, {}) AS n(i)" if postgres else "n"
    with connection.cursor() as cursor:
        for table, columns, values, rows in statements:
            start = "" if postgres else count.format(rows)
            cursor.execute(
                f"INSERT INTO {table} ({columns}) {start} SELECT {values} "  # noqa: S608
                f"FROM {numbers.format(rows)}"
            )
        if postgres:
            cursor.execute("ANALYZE")


def statements(
    runs: int, chunks: int, newest: datetime, span: float, first: int = 0
) -> list[tuple[str, str, str, int]]:
    postgres = connection.vendor == "postgresql"

    def at(part: str) -> str:
        """A moment, the share `part` of the span before the newest."""
        seconds = f"({part}) * {span * 86400:.1f}"
        if postgres:
            return f"timestamptz '{newest.isoformat()}' - make_interval(secs => {seconds})"
        base = newest.strftime("%Y-%m-%d %H:%M:%S")
        return f"strftime('%Y-%m-%d %H:%M:%f', '{base}', '-' || ({seconds}) || ' seconds')"

    def name(letter: str, number: str) -> str:
        if postgres:
            return f"'{letter}' || lpad(({number})::text, 31, '0')"
        return f"'{letter}' || printf('%031d', {number})"

    jobs = runs * chunks
    group, position = f"{first} + (i - 1) / {chunks}", f"(i - 1) % {chunks}"
    moment = at(f"(i - 1) / {chunks} * 1.0 / {runs}")
    result = "'gASVCgAAAAAAAACKBQDyBSoBLg=='"
    true = "true" if postgres else "1"
    return [
        (
            "compute_run",
            "task_id, computation, parameters, title, chunk_size, chunks, why, owner, state, "
            "result, trouble, created_at, finished_at, work_seconds",
            f"{name('a', f'{first} + i - 1')}, 'sum', '{{\"n\": 1000}}', 'sum 1–1,000', 100, "
            f"{chunks}, '', '', 'done', '500500', '', {at(f'(i - 1) * 1.0 / {runs}')}, "
            f"{at(f'(i - 1) * 1.0 / {runs}')}, 1.0",
            runs,
        ),
        (
            "queue_job",
            'task_id, "group", position, queue, queue_id, name, state, delivery, attempt, deaths, '
            "progress, queued_at, started_at, finished_at, result, error, error_class, payload",
            f"{name('b', f'{first} + i')}, {name('a', group)}, {position}, 'sumsite', {first} + i, "
            f"'sum 1–1,000, chunk', 'done', 1, 1, 0, 0, {moment}, {moment}, {moment}, "
            f"{result}, '', '', ''",
            jobs,
        ),
        (
            "django_q_task",
            'id, name, func, args, kwargs, "group", started, stopped, result, success, '
            "attempt_count",
            f"{name('b', f'{first} + i')}, 'sum 1–1,000, chunk', 'compute.tasks.get_sum_range', "
            f"'gASVBgAAAAAAAABLAUtkhpQu', 'gAR9lC4=', {name('a', group)}, {moment}, {moment}, "
            f"{result}, {true}, 1",
            jobs,
        ),
    ]


def age(run: Run, by: timedelta = OLD) -> None:
    """Let everything of a run have happened so much earlier."""
    then = timezone.now() - by
    run.everything().filter(finished_at__isnull=False).update(finished_at=then)
    Task.objects.filter(pk__in=run.everything().values("pk")).update(stopped=then)
    Run.objects.filter(pk=run.pk, finished_at__isnull=False).update(finished_at=then)
    Run.objects.filter(pk=run.pk).update(created_at=then)


def a_run(address: str = "/split-sum-start/", by: timedelta = OLD) -> Run:
    """A run that was done so long ago."""
    parameters: dict[str, Any] = {"chunk_size": 250} if "split" in address else {}
    run = started(address, n=1000, **parameters)
    run_jobs()
    refresh(run)
    age(run, by)
    return run


def counts() -> dict[str, int]:
    models: list[Any] = [Run, Job, Task, OrmQ, Sweep, Node]
    return {model.__name__: model.objects.count() for model in models}
