from __future__ import annotations

import pytest

from compute.computations.sums import BUGGY_SUM, SUM
from tests.computations.checks import check


@pytest.mark.parametrize(
    ("n", "total"), [("0", 0), ("1", 1), ("1000", 500500), ("99999", 4999950000)]
)
def test_sums(n: str, total: int) -> None:
    check(SUM, {"n": n}, expected=total)


def test_the_buggy_sum_is_right_below_its_bug() -> None:
    check(BUGGY_SUM, {"n": "1000"}, expected=500500)
    with pytest.raises(TypeError):
        BUGGY_SUM.function(1234567)
