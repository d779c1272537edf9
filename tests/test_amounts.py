"""Times and numbers as people read them."""

from __future__ import annotations

import pytest

from compute.templatetags.amounts import amount, duration, percent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (12.3, "12 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_duration_has_two_places_at_most(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(7, "7"), (1234.4, "1,234"), (25_312_000, "25.3 million"), (10**7, "10 million")],
)
def test_an_amount(number: float, text: str) -> None:
    assert amount(number) == text


@pytest.mark.parametrize(("fraction", "text"), [(0, "0 %"), (0.999, "99 %"), (1, "100 %")])
def test_nothing_is_whole_before_it_is(fraction: float, text: str) -> None:
    assert percent(fraction) == text
