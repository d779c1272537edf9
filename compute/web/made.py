"""What is made of an output's lines while they are sent: so many bytes, of which any range is read.

It is the same whenever it is made, so a download that was broken off goes on with the rest. A
process holds a piece of it at a time. How long it will be is told by arithmetic; what has no such
length is `spooled`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from ..models import Output
from ..models.output import MARKED_ROWS


class Body(Protocol):
    """What can be sent, whole or a range of it; an `Output` is one, too."""

    @property
    def size(self) -> int: ...

    def read(self, start: int = 0, stop: int | None = None, /) -> Iterator[bytes]: ...


class Place(NamedTuple):
    """Where a line begins: at which byte of what is kept, and of what is made of the lines."""

    kept: int
    made: int


class Made:
    """Lines made into others. `make` gives for some of them what stands for these; the same,
    wherever they are cut. `growth` tells by how much so many rows are longer than as they are kept.

    As a list it has brackets, and the last item has no comma.
    """

    def __init__(
        self,
        output: Output,
        make: Callable[[bytes], bytes],
        growth: Callable[[int], int],
        as_list: bool = False,
    ) -> None:
        self.output, self.make = output, make
        rows = output.rows or 0
        counts = range(0, rows, MARKED_ROWS)
        marked = zip(output.marks, counts, strict=True)
        self.places = [Place(mark, mark + growth(count)) for mark, count in marked]
        self.inner = output.size + growth(rows)
        self.places.append(Place(output.size, self.inner))
        self.head = self.tail = b""
        if as_list:
            self.head, self.tail, self.inner = b"[", b"]", max(0, self.inner - 1)

    @property
    def size(self) -> int:
        return len(self.head) + self.inner + len(self.tail)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        stop = self.size if stop is None else min(stop, self.size)
        begins, ends = len(self.head), len(self.head) + self.inner
        yield self.head[start:stop]
        yield from self.read_inner(max(0, start - begins), min(stop, ends) - begins)
        yield self.tail[max(0, start - ends) : max(0, stop - ends)]

    def read_inner(self, start: int, stop: int) -> Iterator[bytes]:
        if start >= stop:
            return
        kept, at = self.places[bisect_right(self.places, start, key=made_at) - 1]
        end = self.places[bisect_left(self.places, stop, key=made_at)].kept
        for lines in whole_lines(self.output.read(kept, end)):
            made = self.make(lines)
            yield made[max(0, start - at) : max(0, stop - at)]
            at += len(made)


def made_at(place: Place) -> int:
    return place.made


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Of bytes in pieces of any length as many whole lines at a time."""
    begun: list[bytes] = []
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, piece[:end]])
            begun.clear()
        if end < len(piece):
            begun.append(piece[end:])


def digits(count: int) -> int:
    """How many digits the numbers from 0 up to `count` have in all."""
    found, first, length = 0, 0, 1
    while first < count:
        last = min(count, 10**length)
        found += (last - first) * length
        first, length = last, length + 1
    return found
