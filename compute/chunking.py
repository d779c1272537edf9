"""How a range of numbers is cut into chunks. Pure: no Django in here."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, sqrt
from typing import BinaryIO

MAX_CHUNKS = 10_000

#: Seconds that a chunk costs beside its work: to queue, claim and settle it.
OVERHEAD_S = 0.008
#: How many chunks a worker gets at most, unless each took over LONGEST_S.
CHUNKS_EACH = 20
LONGEST_S = 30


def ranges(n: int, chunk_size: int) -> list[tuple[int, int]]:
    """Cut 1..n into (first, last) pairs, both ends included, `chunk_size` numbers each.

    The last may be shorter; together they cover every number once, in order. n = 0
    has no chunks. ValueError if chunk_size is under 1.
    """
    if chunk_size < 1:
        raise ValueError("chunk_size has to be 1 or more")
    return [(first, min(first + chunk_size - 1, n)) for first in range(1, n + 1, chunk_size)]


def lines(text: BinaryIO, first: int, last: int) -> Iterator[bytes]:
    """The lines of a file that begin from byte `first` to byte `last`, both included, the first
    byte being 1: so in `ranges(size, chunk_size)` each line is in one chunk, however long."""
    text.seek(max(0, first - 2))
    if first > 1:
        text.readline()  # what began before
    while text.tell() < last and (line := text.readline()):
        yield line


def smallest_chunk_size(n: int) -> int:
    """The smallest chunk size that cuts 1..n into no more than MAX_CHUNKS chunks."""
    return max(1, -(-n // MAX_CHUNKS))


def best_chunk_size(length: int, speed: float | None, workers: int) -> tuple[int, str]:
    """The chunk size with which a run ends soonest, and why, in a sentence.

    `speed` is how much of the length one worker does in a second, None if nobody knows.

    Every worker gets the same number of chunks, k, so that none is left with a straggler
    while chunks cost about the same. More of them cost more overhead, k·o; fewer let the
    others wait longer for the last one, on average half a chunk, T/2k, where T is what
    one worker has to do. The two together are least at k = √(T/2o). Beyond CHUNKS_EACH
    nothing is gained; a chunk of over LONGEST_S loses too much when its worker dies.
    """
    workers = max(workers, 1)
    if not speed:
        each = CHUNKS_EACH // 2
        why = "Nothing is known of its speed yet"
    else:
        if length / speed < 2 * OVERHEAD_S:  # not worth cutting
            workers = 1
        seconds = length / speed / workers
        each = max(1, min(CHUNKS_EACH, round(sqrt(seconds / (2 * OVERHEAD_S)))))
        each = max(each, ceil(seconds / LONGEST_S))
        why = f"Each takes {in_seconds(seconds / each)}, as fast as this was lately"
    size = max(-(-length // (each * workers)), smallest_chunk_size(length))
    count = -(-length // size)
    chunks = f"{count:,} chunk{'' if count == 1 else 's'}"
    of_workers = f"{workers:,} worker{'' if workers == 1 else 's'}"
    return size, f"Chosen by the site: {chunks} for {of_workers}. {why}."


def in_seconds(seconds: float) -> str:
    if seconds < 0.05:
        return "under 0.1 s"
    return f"about {seconds:.0f} s" if seconds >= 10 else f"about {seconds:.2g} s"


def sizes_to_try(length: int, workers: int) -> list[int]:
    """Five to seven chunk sizes between the two ends, the largest first: from one chunk to
    thousands. Fewer if `length` is too short to be cut so finely."""
    counts = [1, workers, 4 * workers, 20 * workers, 100 * workers, 1_000, 5_000]
    counts = [min(count, MAX_CHUNKS, length) for count in counts]
    return sorted({-(-length // count) for count in counts if count}, reverse=True)
