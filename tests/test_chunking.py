from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.chunking import MAX_CHUNKS, default_chunk_size, ranges, smallest_chunk_size


@given(n=st.integers(0, 5000), chunk_size=st.integers(1, 6000))
def test_ranges_cover_every_number_once_in_order(n, chunk_size):
    covered = [i for first, last in ranges(n, chunk_size) for i in range(first, last + 1)]
    assert covered == list(range(1, n + 1))


@given(n=st.integers(1, 10**18), chunks=st.integers(1, 50))
def test_ranges_of_any_size_fit_together(n, chunks):
    cut = ranges(n, -(-n // chunks))
    assert len(cut) <= chunks
    assert cut[0][0] == 1
    assert cut[-1][1] == n
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(cut))


@given(n=st.integers(1, 5000), chunk_size=st.integers(1, 6000))
def test_all_but_the_last_have_the_chunk_size(n, chunk_size):
    sizes = [last - first + 1 for first, last in ranges(n, chunk_size)]
    assert all(size == chunk_size for size in sizes[:-1])
    assert 1 <= sizes[-1] <= chunk_size


@pytest.mark.parametrize("chunk_size", [0, -1])
def test_a_chunk_size_under_one_is_refused(chunk_size):
    with pytest.raises(ValueError, match="1 or more"):
        ranges(10, chunk_size)


@given(n=st.integers(0, 10**18))
def test_the_smallest_chunk_size_is_the_smallest_that_fits(n):
    def chunks(size):
        return -(-n // size)

    size = smallest_chunk_size(n)
    assert chunks(size) <= MAX_CHUNKS
    assert size == 1 or chunks(size - 1) > MAX_CHUNKS


@given(n=st.integers(0, 10**18))
def test_the_default_chunk_size_makes_no_too_many_chunks(n):
    assert default_chunk_size(n) >= smallest_chunk_size(n)


@pytest.mark.parametrize(
    ("n", "size"),
    [(1000, 1_000_000), (200_000_000, 10_000_000), (3 * 10**9, 10**8), (10**12, 10**8)],
)
def test_the_default_chunk_size(n, size):
    assert default_chunk_size(n) == size
