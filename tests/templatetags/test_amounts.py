"""Times, numbers and longer texts as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from compute.templatetags.amounts import (
    amount,
    duration,
    moment,
    paragraphs,
    percent,
    portion,
    soon,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (-1, "1 ms"),
        (0.0123, "12 ms"),
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
    [
        *((7, "7"), (1234.4, "1,234"), (25_312_000, "25.3 million"), (10**7, "10 million")),
        *((0, "0"), (0.6, "0.6"), (1.26, "1.3"), (2.0, "2"), (9.96, "10"), (0.00012, "0.00012")),
        *((0.00001, "under 0.0001"), (12.6, "13")),
    ],
)
def test_an_amount(number: float, text: str) -> None:
    assert amount(number) == text


@pytest.mark.parametrize(("fraction", "text"), [(0, "0 %"), (0.999, "99 %"), (1, "100 %")])
def test_nothing_is_whole_before_it_is(fraction: float, text: str) -> None:
    assert percent(fraction) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "not known yet"),
        (0.9, "at once"),
        (4, "in about 4.0 s"),
        (100, "in about 1 min 40 s"),
    ],
)
def test_when_something_starts(seconds: float | None, text: str) -> None:
    assert soon(seconds) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (1, "all"),
        (0.75, "three quarters"),
        (0.66, "two thirds"),
        (0.5, "half"),
        (0.34, "a third"),
        (0.25, "a quarter"),
        (0.8, "about 80 %"),
        (0.004, "under 1 %"),
    ],
)
def test_a_part_of_the_workers_has_a_name_if_one_is_usual(part: float, text: str) -> None:
    assert portion(part) == text


def test_a_moment_says_that_it_is_in_utc() -> None:
    at = datetime(2026, 11, 5, 23, 4, 5, tzinfo=UTC)
    assert moment(at) == (
        '<time datetime="2026-11-05T23:04:05+00:00">2026-11-05 23:04:05 UTC</time>'
    )
    elsewhere = at.astimezone(timezone(timedelta(hours=9)))
    assert moment(elsewhere, "Y-m-d H:i") == (
        '<time datetime="2026-11-06T08:04:05+09:00">2026-11-05 23:04 UTC</time>'
    )


def test_a_longer_text_has_the_paragraphs_of_a_docstring() -> None:
    text = """
    What it is
    good for: a < b.

      \t
    And a second.
    """
    assert paragraphs(text) == "<p>What it is good for: a &lt; b.</p>\n<p>And a second.</p>"
    assert paragraphs("one line") == "<p>one line</p>"
