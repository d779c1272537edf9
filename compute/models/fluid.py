"""Work that flows, as if it could be cut anywhere, to workers that are shared; no rows in here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import ceil, inf
from typing import NamedTuple

#: How many tasks each of a line's workers has still to do when it flows no more.
TAIL = 4
#: Seconds, or workers, that are none.
NONE = 1e-9
#: How many tasks never end.
ENDLESS = 1e15
#: More lines than these end a few at a time: those that do so within the next second, or within
#: the next twentieth of the time until then.
MANY, TOGETHER_S, TOGETHER = 64, 1.0, 0.05


class Line(NamedTuple):
    """A flow that has unfinished tasks."""

    client: str
    #: Seconds that one of its tasks takes; over 0.
    mean: float
    #: How many of them wait.
    waiting: float
    #: Seconds that are left of each that is at work.
    at_work: tuple[float, ...] = ()
    weight: float = 1.0
    #: How many may be at work at once, with those of others in the pool; None for any number.
    at_once: int | None = None
    pool: str = ""
    #: Whether something of it has started.
    begun: bool = True
    #: Worker seconds ÷ weight that it had beside others of its client, and its client beside
    #: others; None for a newcomer, who comes first.
    served: float | None = 0.0
    had: float | None = 0.0
    #: Of the worker seconds that it had, those that are not in `served` yet.
    unbilled: float = 0.0

    @property
    def work(self) -> float:
        """Worker seconds that are left of it."""
        return self.mean * self.waiting + sum(self.at_work)

    @property
    def most(self) -> float:
        """How many workers it can use."""
        return ceil(self.waiting - NONE) + len(self.at_work)

    def after(self, worked: float) -> Line:
        left = max(0.0, self.work - worked)
        return self._replace(
            waiting=left / self.mean, at_work=(), served=0.0, had=0.0, unbilled=0.0
        )

    def in_pieces(self) -> Line:
        """The same work in a whole number of tasks that wait."""
        count = ceil(self.waiting - NONE)
        return self._replace(
            waiting=count, mean=self.mean * self.waiting / count if count else self.mean
        )


def rates(lines: Sequence[Line], workers: float) -> list[float]:
    """How many workers each line has at a time, on average; all together, or fewer.

    The least served client has the next worker, and of that its least served line. So all clients
    are served at the same rate, in worker seconds ÷ weight added up over their lines, and all
    lines of a client. A client whose k lines weigh w together has workers as w ÷ k, the mean, and
    each line of them as its weight. What a line can't use, others have.
    """
    found = [0.0] * len(lines)
    room = [line.most for line in lines]
    slots = {line.pool: float(line.at_once) for line in lines if line.at_once is not None}
    open_ = [i for i, most in enumerate(room) if most]
    free = float(workers)
    while open_ and free > NONE:
        of_client = Counter([lines[i].client for i in open_])
        grows = [(i, lines[i].weight / of_client[lines[i].client]) for i in open_]
        of_pool: dict[str, float] = defaultdict(float)
        if slots:
            for i, grown in grows:
                if lines[i].at_once is not None:
                    of_pool[lines[i].pool] += grown
        step = free / sum([grown for _, grown in grows])
        step = min(step, *[room[i] / grown for i, grown in grows])
        step = min([step, *(slots[pool] / grown for pool, grown in of_pool.items())])
        for i, grown in grows:
            found[i] += step * grown
            room[i] -= step * grown
            free -= step * grown
        for pool, grown in of_pool.items():
            slots[pool] -= step * grown
        full = {pool for pool, left in slots.items() if left <= NONE}
        open_ = [
            i
            for i in open_
            if room[i] > NONE and not (lines[i].at_once is not None and lines[i].pool in full)
        ]
    return found


def until_next(ends: Sequence[float], seconds: float) -> float:
    """Seconds until the next line ends, of those that do in so many seconds each; or until the
    next few do, after so many seconds already. With each for itself, the time that the whole takes
    would grow as the square of their number."""
    if len(ends) <= MANY:
        return min(ends)
    return max(min(ends), TOGETHER_S, TOGETHER * seconds)


def flowing(lines: Sequence[Line], workers: int, which: int) -> tuple[float, list[Line]]:
    """Let the work flow until little is left of one line; after how many seconds, and what is
    left of all, in whole tasks."""
    seconds, rest = 0.0, list(lines)
    while True:
        now = rates(rest, workers)
        mine = rest[which]
        spare = mine.work - TAIL * mine.mean * max(1.0, now[which])
        # As a part of the work: of a year of it a nanosecond could not be taken away.
        if spare <= NONE * max(1.0, mine.work) or now[which] <= NONE:
            return seconds, [line.in_pieces() for line in rest]
        ends = [line.work / rate for line, rate in zip(rest, now, strict=True) if rate > NONE]
        step = min(spare / now[which], until_next(ends, seconds))
        seconds += step
        rest = [line.after(rate * step) for line, rate in zip(rest, now, strict=True)]


def curve(lines: Sequence[Line], workers: int, newcomer: Line) -> list[tuple[float, float]]:
    """How many workers a line without end would have beside these: from which second on, and how
    many, until all others have ended."""
    rest = [*lines, newcomer._replace(waiting=ENDLESS)]
    seconds, found = 0.0, []
    while True:
        *now, gets = rates(rest, workers)
        found.append((seconds, gets))
        ends = [line.work / rate for line, rate in zip(rest, now, strict=False) if rate > NONE]
        if not ends:
            return found
        step = until_next(ends, seconds)
        seconds += step
        rest = [line.after(rate * step) for line, rate in zip(rest, now, strict=False)]
        rest.append(newcomer._replace(waiting=ENDLESS))


def along(curve: Sequence[tuple[float, float]], work: float) -> float | None:
    """After how many seconds so many worker seconds are done, by a curve; None for never."""
    for (since, gets), (until, _) in zip(curve, [*curve[1:], (inf, 0.0)], strict=True):
        if gets > NONE and work <= gets * (until - since):
            return since + work / gets
        if until < inf:
            work -= gets * (until - since)
    return None
