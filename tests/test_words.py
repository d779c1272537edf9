"""A result as people read it, where its author says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from compute.words import plain


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (1234567, "1,234,567"),
        (1234.5, "1,234.5"),
        (True, "True"),
        ("1234", "1234"),
        (None, "None"),
        (
            {"heads": 12345, "fair": True, "by": "Ann", 3: None},
            "heads: 12,345\nfair: True\nby: Ann\n3: None",
        ),
        (["Ann", "Bob Ä."], "Ann\nBob Ä."),
        (("Ann",), "Ann"),
    ],
)
def test_what_is_short_of_itself_is_read_line_by_line(result: Any, words: str) -> None:
    assert plain(result) == words


@pytest.mark.parametrize(
    "result",
    [
        {},
        [],
        {"a": [1]},
        {"a": {"b": 1}},
        {"a": "two\nlines"},
        {"a": ""},
        ["a", 1],
        ["a", "two\nlines"],
        ["a", " "],
        [1, 2],
    ],
)
def test_anything_else_is_as_python_prints_it(result: Any) -> None:
    assert plain(result) == str(result)
