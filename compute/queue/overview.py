"""A whole group at a glance, however many jobs it has: a few statements, no row a job.

As SQL, because a page asks every second: ten thousand rows through the ORM take longer
than the page may.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from django.db import connection

#: What stands for a state in `states`.
LETTERS = {"q": "queued", "r": "running", "d": "done", "f": "failed", "c": "cancelled"}


class Pace(NamedTuple):
    """How quickly a group goes; times in seconds."""

    #: How many jobs are in each state that occurs.
    counts: dict[str, int]
    #: How much of the jobs at work is done, each from 0 to 1, added up: what they report,
    #: and else what the time that the finished ones took lets expect.
    under_way: float
    #: Since its first job started, to its last end or now; None if none has started.
    elapsed: float | None
    #: How long its finished jobs took, added up.
    work: float

    @property
    def done(self) -> int:
        return self.counts.get("done", 0)

    @property
    def fraction(self) -> float:
        """How much of the group is done, from 0 to 1."""
        total = sum(self.counts.values())
        return (self.done + self.under_way) / total if total else 1.0

    @property
    def left(self) -> float | None:
        """Seconds until it will have ended, if it goes on as it went; None if none can say."""
        if self.elapsed is None or not self.fraction:
            return None
        return self.elapsed * (1 - self.fraction) / self.fraction


class Span(NamedTuple):
    """When a worker ran jobs of one state, one after another; seconds since 1970."""

    node: str
    worker: int
    start: float
    end: float
    state: str
    jobs: int
    first: int  # position
    attempt: int  # the highest


def epoch(column: str) -> str:
    if connection.vendor == "postgresql":
        return f"extract(epoch FROM {column})::float8"
    return f"((julianday({column}) - 2440587.5) * 86400)"


def now() -> str:
    return epoch("clock_timestamp()" if connection.vendor == "postgresql" else "'now'")


def fetch(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def states(group: str) -> str:
    """A letter for each job of the group, in its order."""
    postgres = connection.vendor == "postgresql"
    letters = "string_agg(letter, '' ORDER BY place)" if postgres else "group_concat(letter, '')"
    ((found,),) = fetch(
        f"""
        SELECT {letters} FROM (
            SELECT substr(state, 1, 1) AS letter, position AS place FROM queue_job
            WHERE "group" = %s ORDER BY position
        ) AS jobs
        """,  # noqa: S608 - put together from this file alone
        group,
    )
    return found or ""


def pace(group: str) -> Pace:
    """How the group goes."""
    begin, end = epoch("started_at"), epoch("finished_at")
    rows = fetch(
        f"""
        SELECT state, count(*), min({begin}), max({end}), sum({end} - {begin}), {now()}
        FROM queue_job WHERE "group" = %s GROUP BY state
        """,  # noqa: S608
        group,
    )
    counts = {state: count for state, count, *_ in rows}
    work = {state: taken or 0.0 for state, _, _, _, taken, _ in rows}
    starts = [first for _, _, first, _, _, _ in rows if first is not None]
    ends = [last for _, _, _, last, _, _ in rows if last is not None]
    mean = work.get("done", 0.0) / counts.get("done", 1)
    running = counts.get("running") and fetch(
        f"""
        SELECT progress, {now()} - {begin} FROM queue_job
        WHERE "group" = %s AND state = 'running'
        """,  # noqa: S608
        group,
    )
    under_way = sum(
        progress or (min(taken / mean, 0.99) if mean else 0.0) for progress, taken in running or ()
    )
    elapsed = None
    if starts:
        over = not {"queued", "running"} & set(counts)
        elapsed = max(0.0, (max(ends) if over and ends else rows[0][-1]) - min(starts))
    return Pace(counts, under_way, elapsed, work.get("done", 0.0))


def spans(group: str, grain: float = 0) -> list[Span]:
    """When each worker ran what, oldest first: the last attempt of each job.

    With a `grain`, in seconds, jobs of a worker that started within the same grain and
    are in the same state make one span, from the first start to the last end.
    """
    begin = epoch("started_at")
    bucket = f"floor({begin} / {float(grain)})" if grain else "position"
    if connection.vendor != "postgresql":
        bucket = bucket.replace("floor(", "round(-0.5 + ")  # older ones know no floor
    return [
        Span(*row)
        for row in fetch(
            f"""
            SELECT node_id, worker, min({begin}), max(coalesce({epoch("finished_at")}, {now()})),
                state, count(*), min(position), max(attempt)
            FROM queue_job
            WHERE "group" = %s AND node_id IS NOT NULL AND started_at IS NOT NULL
                AND state <> 'queued'
            GROUP BY node_id, worker, state, {bucket}
            ORDER BY 3
            """,  # noqa: S608
            group,
        )
    ]


class Use(NamedTuple):
    """What has been done of a group and what it took, to tell how much is left."""

    jobs: int
    #: How many have settled, and what those at work report, each from 0 to 1, added up.
    ended: int
    under_way: float
    #: How long workers had them, up to now, added up.
    seconds: float

    @property
    def fraction(self) -> float:
        return min(1.0, (self.ended + self.under_way) / self.jobs)


def uses(groups: Collection[str]) -> dict[str, Use]:
    """The use of each group, in one statement; a group without jobs is left out."""
    if not groups:
        return {}
    took = f"coalesce({epoch('finished_at')}, {now()}) - {epoch('started_at')}"
    rows = fetch(
        f"""
        SELECT "group", count(*),
            sum(CASE WHEN state IN ('queued', 'running') THEN 0 ELSE 1 END),
            sum(CASE WHEN state = 'running' THEN progress ELSE 0 END),
            sum(CASE WHEN state = 'queued' OR started_at IS NULL THEN 0 ELSE {took} END)
        FROM queue_job WHERE "group" IN ({", ".join(["%s"] * len(groups))}) GROUP BY "group"
        """,  # noqa: S608
        *groups,
    )
    return {
        group: Use(jobs, int(ended), float(under_way), max(0.0, float(seconds)))
        for group, jobs, ended, under_way, seconds in rows
    }
