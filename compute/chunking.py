"""How a range of numbers is cut into chunks. Pure: no Django in here."""

MAX_CHUNKS = 10_000


def ranges(n: int, chunk_size: int) -> list[tuple[int, int]]:
    """Cut 1..n into (first, last) pairs, both ends included, `chunk_size` numbers each.

    The last may be shorter; together they cover every number once, in order. n = 0
    has no chunks. ValueError if chunk_size is under 1.
    """
    if chunk_size < 1:
        raise ValueError("chunk_size has to be 1 or more")
    return [(first, min(first + chunk_size - 1, n)) for first in range(1, n + 1, chunk_size)]


def smallest_chunk_size(n: int) -> int:
    """The smallest chunk size that cuts 1..n into no more than MAX_CHUNKS chunks."""
    return max(1, -(-n // MAX_CHUNKS))


def default_chunk_size(n: int, smallest: int = 1_000_000, largest: int = 100_000_000) -> int:
    """About twenty chunks, so that every worker has some and none waits long for the last.

    But none under `smallest`, where queueing would cost more than the work (for sums: a
    million numbers), and none over `largest`, which takes some seconds (100 million
    numbers; the tutorial advises 5 to 30 s), unless there would be over MAX_CHUNKS.
    """
    return max(smallest, min(largest, -(-n // 20)), smallest_chunk_size(n))
