from __future__ import annotations

from io import BytesIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.chunking import (
    MAX_CHUNKS,
    best_chunk_size,
    lines,
    ranges,
    sizes_to_try,
    smallest_chunk_size,
)


@given(n=st.integers(0, 5000), chunk_size=st.integers(1, 6000))
def test_ranges_cover_every_number_once_in_order(n: int, chunk_size: int) -> None:
    covered = [i for first, last in ranges(n, chunk_size) for i in range(first, last + 1)]
    assert covered == list(range(1, n + 1))


@given(n=st.integers(1, 10**18), chunks=st.integers(1, 50))
def test_ranges_of_any_size_fit_together(n: int, chunks: int) -> None:
    cut = ranges(n, -(-n // chunks))
    assert len(cut) <= chunks
    assert cut[0][0] == 1
    assert cut[-1][1] == n
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(cut))


@given(n=st.integers(1, 5000), chunk_size=st.integers(1, 6000))
def test_all_but_the_last_have_the_chunk_size(n: int, chunk_size: int) -> None:
    sizes = [last - first + 1 for first, last in ranges(n, chunk_size)]
    assert all(size == chunk_size for size in sizes[:-1])
    assert 1 <= sizes[-1] <= chunk_size


@pytest.mark.parametrize("chunk_size", [0, -1])
def test_a_chunk_size_under_one_is_refused(chunk_size: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        ranges(10, chunk_size)


@given(n=st.integers(0, 10**18))
def test_the_smallest_chunk_size_is_the_smallest_that_fits(n: int) -> None:
    def chunks(size: int) -> int:
        return -(-n // size)

    size = smallest_chunk_size(n)
    assert chunks(size) <= MAX_CHUNKS
    assert size == 1 or chunks(size - 1) > MAX_CHUNKS


@given(
    n=st.integers(0, 10**18),
    speed=st.none() | st.floats(1, 1e10),
    workers=st.integers(0, 1000),
)
def test_the_best_chunk_size_makes_neither_too_many_chunks_nor_none(
    n: int, speed: float | None, workers: int
) -> None:
    size, _ = best_chunk_size(n, speed, workers)
    assert size >= smallest_chunk_size(n) >= 1


@pytest.mark.parametrize(
    ("n", "speed", "workers", "chosen"),
    [
        (3 * 10**9, 25e6, 2, "40 chunks for 2 workers. Each takes about 3 s"),
        (10**9, 10e6, 2, "40 chunks for 2 workers. Each takes about 2.5 s"),
        (10**7, 25e6, 2, "8 chunks for 2 workers. Each takes about 0.05 s"),
        (10**6, 25e6, 2, "2 chunks for 2 workers. Each takes under 0.1 s"),
        (425_000, 25e6, 2, "2 chunks for 2 workers. Each takes under 0.1 s"),
        (375_000, 25e6, 2, "1 chunk for 1 worker. Each takes under 0.1 s"),
        (1, 25e6, 2, "1 chunk for 1 worker. Each takes under 0.1 s"),
        (0, 25e6, 2, "0 chunks for 1 worker. Each takes under 0.1 s"),
        (10**12, 25e6, 4, "1,336 chunks for 4 workers. Each takes about 30 s"),
    ],
)
def test_the_best_chunk_size(n: int, speed: float, workers: int, chosen: str) -> None:
    size, why = best_chunk_size(n, speed, workers)
    assert f"{-(-n // size):,} chunk" in chosen
    assert why == f"Chosen by the site: {chosen}, as fast as this was lately."


def test_without_a_speed_each_worker_gets_some_chunks() -> None:
    assert best_chunk_size(1000, None, 1) == (
        100,
        "Chosen by the site: 10 chunks for 1 worker. Nothing is known of its speed yet.",
    )


@given(length=st.integers(0, 10**18), workers=st.integers(1, 20_000))
def test_sizes_to_try_go_from_one_chunk_to_thousands(length: int, workers: int) -> None:
    sizes = sizes_to_try(length, workers)
    assert sizes == sorted(set(sizes), reverse=True)
    assert len(sizes) <= 7
    assert all(size >= smallest_chunk_size(length) for size in sizes)
    assert sizes[:1] == [length][: len(sizes)]
    if length > 10**6:
        assert 4900 < length / sizes[-1] <= MAX_CHUNKS


def test_the_sizes_to_try_for_two_workers() -> None:
    assert [10**8 // size for size in sizes_to_try(10**8, 2)] == [1, 2, 8, 40, 200, 1000, 5000]


LINES = st.lists(st.binary(max_size=8).map(lambda line: line.replace(b"\n", b"")), max_size=8)


@given(parts=LINES, ended=st.booleans(), size=st.integers(1, 30))
def test_each_line_is_in_one_chunk(parts: list[bytes], ended: bool, size: int) -> None:
    data = b"\n".join(parts) + b"\n" * ended
    found = [
        line
        for first, last in ranges(len(data), size)
        for line in lines(BytesIO(data), first, last)
    ]
    assert found == list(BytesIO(data))


def test_a_line_is_in_the_chunk_in_which_it_begins() -> None:
    data = b"one\ntwo\nthree"
    assert list(lines(BytesIO(data), 1, 4)) == [b"one\n"]
    assert list(lines(BytesIO(data), 1, 5)) == [b"one\n", b"two\n"]
    assert list(lines(BytesIO(data), 2, 4)) == []
    assert list(lines(BytesIO(data), 5, 5)) == [b"two\n"]
    assert list(lines(BytesIO(data), 9, 13)) == [b"three"]
