"""When a run will start and end, by how the workers are shared; plain numbers, and no rows.

What comes next is played through task by task, by the claims' own rule. The bulk flows: each line
has the part of the workers that this rule comes to. The end is played through again, for there it
matters that a task is one piece. Nothing new is expected to arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from statistics import mean
from typing import NamedTuple

from .fluid import NONE, Line, flowing, rates, until_next
from .play import Play

#: How many plays make a mean, and among how many lines at most.
PLAYS, FEW = 5, 32


class Forecast(NamedTuple):
    """Seconds from now; None where nobody can know."""

    starts_in: float | None
    ends_in: float | None
    #: How many workers it gets, now or when it starts, on average.
    workers: float


def forecast(lines: Sequence[Line], workers: int, which: int) -> Forecast:
    """What becomes of one of the lines, by its place among them.

    Among few lines it is chance whether one more task of another comes before the last of a small
    one: it starts and ends at the mean of some plays, in each of which all had a little more or
    less than they had.
    """
    found = played(lines, workers, which)
    if found.ends_in is None or not 1 < len(lines) <= FEW:
        return found
    chance = Random(0)  # noqa: S311 - so that who asks twice is told the same
    plays = [played(varied(lines, chance), workers, which) for _ in range(PLAYS - 1)]
    starts, ends, _ = zip(found, *plays, strict=True)
    return found._replace(starts_in=middle(starts), ends_in=middle(ends))


def middle(seconds: Iterable[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return mean(known) if known else None


def varied(lines: Sequence[Line], chance: Random) -> list[Line]:
    """As if each line, and each client, that had something had had half a task more, or less, at
    most."""
    clients = {line.client: line.mean * chance.uniform(-0.5, 0.5) for line in lines}
    return [
        line._replace(
            served=line.served and line.served + line.mean * chance.uniform(-0.5, 0.5),
            had=line.had and line.had + clients[line.client],
        )
        for line in lines
    ]


def played(lines: Sequence[Line], workers: int, which: int) -> Forecast:
    """The same by the lines as they are."""
    gets = rates(lines, workers)[which]
    near = Play(lines, workers)
    near.play(which)
    starts, ends = near.starts.get(which), near.ends.get(which)
    if ends is None and gets > NONE:
        seconds, rest = flowing(near.left(), workers, which)
        tail = Play(rest, workers)
        tail.play(which)
        # If not even then: so many small tasks of others meanwhile that these flow, too.
        ends = near.now + seconds + tail.ends.get(which, rest[which].work / gets)
    return Forecast(0.0 if lines[which].begun else starts, ends, gets)


def forecasts(lines: Sequence[Line], workers: int) -> list[Forecast]:
    """What becomes of each of the lines, told a little less exactly, in the time that one takes."""
    gets = rates(lines, workers)
    near = Play(lines, workers)
    near.play()
    ends = near.ends
    rest, seconds = near.left(), near.now
    while left := [i for i, line in enumerate(rest) if line.most]:
        now = rates(rest, workers)
        steps = [rest[i].work / now[i] for i in left if now[i] > NONE]
        if not steps:
            break
        step = until_next(steps, seconds)
        seconds += step
        rest = [line.after(rate * step) for line, rate in zip(rest, now, strict=True)]
        ends |= {i: seconds for i in left if not rest[i].most}
    return [
        Forecast(0.0 if line.begun else near.starts.get(i), ends.get(i), gets[i])
        for i, line in enumerate(lines)
    ]
