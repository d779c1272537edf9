"""When a run will start and end, by how the workers are shared; plain numbers, and no rows.

What comes next is played through task by task, by the claims' own rule. The bulk flows: each line
has the part of the workers that this rule comes to. The end is played through again, for there it
matters that a task is one piece. Nothing new is expected to arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .fluid import NONE, Line, flowing, rates
from .play import Play


class Forecast(NamedTuple):
    """Seconds from now; None where nobody can know."""

    starts_in: float | None
    ends_in: float | None
    #: How many workers it gets, now or when it starts, on average.
    workers: float


def forecast(lines: Sequence[Line], workers: int, which: int) -> Forecast:
    """What becomes of one of the lines, by its place among them."""
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
        seconds += min(steps)
        rest = [line.after(rate * min(steps)) for line, rate in zip(rest, now, strict=True)]
        ends |= {i: seconds for i in left if not rest[i].most}
    return [
        Forecast(0.0 if line.begun else near.starts.get(i), ends.get(i), gets[i])
        for i, line in enumerate(lines)
    ]
