"""A whole group at a glance, however many jobs it has: a few statements, no row a job.

A page asks every second: ten thousand rows through the ORM take longer than the page may.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from .engines import engine

#: The letter of each state in `states`.
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
    def begun(self) -> bool:
        """Whether something of it is at work, or has settled."""
        return not {*self.counts} <= {"queued"}

    @property
    def fraction(self) -> float:
        """How much of the group is done, from 0 to 1."""
        total = sum(self.counts.values())
        return (self.done + self.under_way) / total if total else 1.0


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


def states(group: str) -> str:
    """A letter for each job of the group, in its order."""
    return engine().states(group)


def pace(group: str) -> Pace:
    """How the group goes."""
    rows = engine().pace(group)
    counts = {state: count for state, count, *_ in rows}
    work = {state: taken or 0.0 for state, _, _, _, taken, _ in rows}
    starts = [first for _, _, first, _, _, _ in rows if first is not None]
    ends = [last for _, _, _, last, _, _ in rows if last is not None]
    mean = work.get("done", 0.0) / counts.get("done", 1)
    running = engine().running(group) if counts.get("running") else []
    under_way = sum(
        progress or (min(taken / mean, 0.99) if mean else 0.0) for progress, taken in running
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
    return [Span(*row) for row in engine().spans(group, grain)]


def busy(spans: Iterable[Span]) -> float:
    """In how many seconds at least one worker was at work, by spans that are sorted by their
    start: without the pause until a retry, or while the group was paused."""
    found, until = 0.0, 0.0
    for span in spans:
        found += max(0.0, span.end - max(span.start, until))
        until = max(until, span.end)
    return found


class Use(NamedTuple):
    """How much of a group is done and how long that took, to tell how much is left."""

    jobs: int
    #: How many have settled, and what those at work report, each from 0 to 1, added up.
    ended: int
    under_way: float
    #: How long workers had them, up to now, added up.
    seconds: float
    #: Of these those of what has settled.
    ended_seconds: float = 0.0

    @property
    def fraction(self) -> float:
        return min(1.0, (self.ended + self.under_way) / self.jobs)


def uses(groups: Collection[str]) -> dict[str, Use]:
    """The use of each group, in one statement; a group without jobs is left out."""
    if not groups:
        return {}
    return {
        group: Use(jobs, int(ended), *(max(0.0, float(figure)) for figure in rest))
        for group, jobs, ended, *rest in engine().uses(groups)
    }
