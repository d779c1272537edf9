"""Texts of what people and their code bring, and numbers of things in words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.queue.text import number_of, one_line, report_of, traceback_of


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


# --- groups of errors -----------------------------------------------------------------------


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class MuteGroup(ExceptionGroup):
    exceptions = ()

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_of_a_task_group_is_named() -> None:
    async def fail() -> None:
        raise ValueError("no such place")

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(together())
    said = "unhandled errors in a TaskGroup (1 sub-exception): ValueError: no such place"
    assert one_line(raised.value) == f"ExceptionGroup: {said}"
    assert report_of(raised.value).startswith(f"{said} : ")


INNER = ExceptionGroup("inner", [KeyError("a"), ValueError("b")])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            ExceptionGroup("outer", [INNER, OSError("c")]),
            "ExceptionGroup: outer (2 sub-exceptions): KeyError: 'a'; ValueError: b; OSError: c",
        ),
        (
            BaseExceptionGroup("many", [KeyboardInterrupt(), *[INNER] * 600]),
            "BaseExceptionGroup: many (601 sub-exceptions): KeyboardInterrupt; KeyError: 'a'; "
            "ValueError: b; and 1,198 more",
        ),
        (
            ExceptionGroup("odd\0", [Mute(), ValueError("\udce9\0\n x")]),
            "ExceptionGroup: odd (2 sub-exceptions): Mute; ValueError: \\udce9 x",
        ),
        (MuteGroup("mute", [TypeError("d")]), "MuteGroup: TypeError: d"),
    ],
)
def test_a_group_in_one_line(error: BaseException, line: str) -> None:
    assert one_line(error) == line


@given(own=st.text(max_size=3_000), messages=st.lists(st.text(max_size=3_000), min_size=1))
def test_a_group_tells_how_many_errors_it_has_however_long_they_are(
    own: str, messages: list[str]
) -> None:
    line = one_line(ExceptionGroup(own, [ValueError(each) for each in messages]))
    assert len(line) <= 500
    assert "\0" not in line
    assert len(line.splitlines()) == 1
    assert "ValueError" in line
    assert len(messages) <= 3 or line.endswith(f"; and {len(messages) - 3} more")


def test_groups_in_groups_have_no_end_that_stops_it() -> None:
    error: Any = ValueError("deep")
    for _ in range(10_000):
        error = ExceptionGroup("g", [error])
    assert one_line(error) == "ExceptionGroup: g (1 sub-exception): ValueError: deep"
    while isinstance(error, ExceptionGroup):  # let go of them one by one
        (error,) = error.exceptions


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
