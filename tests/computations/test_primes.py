from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.computations import primes
from compute.computations.primes import PRIMES, count_primes, primes_up_to
from tests.computations.checks import check


@pytest.mark.parametrize(
    ("n", "count"), [(0, 0), (1, 0), (2, 1), (10, 4), (100, 25), (1000, 168), (10**4, 1229)]
)
def test_known_counts(n: int, count: int) -> None:
    check(PRIMES, {"n": str(n)}, expected=count)


def test_pi_of_a_million() -> None:
    assert count_primes(1, 10**6) == 78498


@pytest.mark.thorough
@given(first=st.integers(0, 3000), length=st.integers(0, 300), segment=st.integers(1, 100))
def test_any_range_in_segments_of_any_size(first: int, length: int, segment: int) -> None:
    last = first + length
    expected = [
        number
        for number in range(max(2, first), last + 1)
        if all(number % divisor for divisor in range(2, number) if divisor * divisor <= number)
    ]
    with pytest.MonkeyPatch.context() as context:
        context.setattr(primes, "SEGMENT", segment)
        assert count_primes(first, last) == len(expected)
    assert [p for p in primes_up_to(last) if p >= first] == expected


def test_a_number_over_the_limit_is_refused() -> None:
    assert PRIMES.form({"n": str(primes.MAX_N)}).is_valid()
    assert PRIMES.form({"n": str(primes.MAX_N + 1)}).errors == {
        "n": ["Give a n of at most 100,000,000,000."]
    }
