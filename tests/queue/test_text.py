"""Texts of what people and their code bring, and numbers of things in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.queue.text import number_of, one_line, traceback_of


@given(message=st.text(max_size=2000))
def test_an_error_in_one_line(message: str) -> None:
    line = one_line(ValueError(message))
    assert line.startswith("ValueError")
    assert len(line) <= 500
    assert "\0" not in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\n  b\tc\0"), "ValueError: a b c"),
        (ValueError(), "ValueError"),
        (KeyError("x"), "KeyError: 'x'"),
    ],
)
def test_some_errors_in_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 chunks"), (1, "1 chunk"), (2, "2 chunks"), (1000, "1,000 chunks")]
)
def test_words_fit_one_and_many(count: int, words: str) -> None:
    assert number_of(count, "chunk") == words


def test_a_traceback_ends_with_what_was_raised() -> None:
    try:
        raise ValueError("no luck\0")
    except ValueError as error:
        lines = traceback_of(error)
    assert lines.startswith("Traceback")
    assert lines.endswith("ValueError: no luck\n")
