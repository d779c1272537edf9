"""Rows by the hundred thousand, made by the database itself, as old as one likes."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone


def make_old_runs(runs: int, chunks: int, days: float = 60, span: float = 20) -> None:
    """Runs that are done, each with its chunks and their tasks, ended over `span` days."""
    newest = timezone.now() - timedelta(days=days)
    postgres = connection.vendor == "postgresql"
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
    numbers = "generate_series(1, {}) AS n(i)" if postgres else "n"
    with connection.cursor() as cursor:
        for table, columns, values, rows in statements(runs, chunks, newest, span):
            start = "" if postgres else count.format(rows)
            cursor.execute(
                f"INSERT INTO {table} ({columns}) {start} SELECT {values} "  # noqa: S608
                f"FROM {numbers.format(rows)}"
            )
        if postgres:
            cursor.execute("ANALYZE")


def statements(
    runs: int, chunks: int, newest: datetime, span: float
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
    group, position = f"(i - 1) / {chunks}", f"(i - 1) % {chunks}"
    moment = at(f"(i - 1) / {chunks} * 1.0 / {runs}")
    result = "'gASVCgAAAAAAAACKBQDyBSoBLg=='"
    true = "true" if postgres else "1"
    return [
        (
            "compute_run",
            "task_id, computation, parameters, title, chunk_size, chunks, why, owner, state, "
            "result, trouble, created_at, finished_at, work_seconds",
            f"{name('a', 'i - 1')}, 'sum', '{{\"n\": 1000}}', 'sum 1–1,000', 100, {chunks}, "
            f"'', '', 'done', '500500', '', {at(f'(i - 1) * 1.0 / {runs}')}, "
            f"{at(f'(i - 1) * 1.0 / {runs}')}, 1.0",
            runs,
        ),
        (
            "queue_job",
            'task_id, "group", position, queue, queue_id, name, state, delivery, attempt, deaths, '
            "progress, queued_at, started_at, finished_at, result, error, error_class, payload",
            f"{name('b', 'i')}, {name('a', group)}, {position}, 'sumsite', NULL, "
            f"'sum 1–1,000, chunk', 'done', 1, 1, 0, 0, {moment}, {moment}, {moment}, "
            f"{result}, '', '', ''",
            jobs,
        ),
        (
            "django_q_task",
            'id, name, func, args, kwargs, "group", started, stopped, result, success, '
            "attempt_count",
            f"{name('b', 'i')}, 'sum 1–1,000, chunk', 'compute.tasks.get_sum_range', "
            f"'gASVBgAAAAAAAABLAUtkhpQu', 'gAR9lC4=', {name('a', group)}, {moment}, {moment}, "
            f"{result}, {true}, 1",
            jobs,
        ),
    ]
