"""In which states a run can be, and how far."""

from __future__ import annotations

import pytest

from compute.models import Progress


@pytest.mark.parametrize(
    ("progress", "settled"),
    [
        (Progress(0, 0, 0), True),
        (Progress(0, 0, 1), False),
        (Progress(2, 1, 4), False),
        (Progress(2, 2, 4), True),
        (Progress(4, 0, 4), True),
    ],
)
def test_progress_is_settled_when_every_chunk_is(progress: Progress, settled: bool) -> None:
    assert progress.settled == settled


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [
        (Progress(0, 0, 0), 1),  # of nothing all is done
        (Progress(0, 0, 4), 0),
        (Progress(1, 0, 4, under_way=0.5), 0.375),
        (Progress(1, 3, 4), 0.25),  # what failed is not done
        (Progress(4, 0, 4), 1),
    ],
)
def test_the_fraction_is_what_is_done_and_what_is_under_way(
    progress: Progress, fraction: float
) -> None:
    assert progress.fraction == fraction
