from __future__ import annotations

import pytest

from compute import tasks


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_get_sum(n: int) -> None:
    assert tasks.get_sum(n) == sum(range(n + 1))


def test_get_sum_range_takes_both_ends_in() -> None:
    assert tasks.get_sum_range(3, 5) == 12
    assert tasks.get_sum_range(5, 4) == 0


def test_get_sum_buggy_is_right_below_the_bug() -> None:
    assert tasks.get_sum_buggy(1234566) == 1234566 * 1234567 // 2


@pytest.mark.parametrize("n", [1234567, 2_000_000])
def test_get_sum_buggy_fails_from_there_on(n: int) -> None:
    with pytest.raises(TypeError):
        tasks.get_sum_buggy(n)
