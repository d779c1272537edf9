"""A computation's callables: whatever they raise or return, the author gets a sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from compute.chunking import MAX_CHUNKS
from compute.computation import (
    Computation,
    ComputationError,
    described,
    the_only_one,
)
from compute.computations.primes import PRIMES
from compute.computations.sums import BUGGY_SUM
from compute.words import SHOWN_CHARS


class Index:
    """A whole number, as numpy has them."""

    def __index__(self) -> int:
        return 7


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError


def crash(*args: Any, **kwargs: Any) -> Any:
    raise ZeroDivisionError("no")


def leave(*args: Any, **kwargs: Any) -> Any:
    raise SystemExit(3)


def interrupt(*args: Any, **kwargs: Any) -> Any:
    raise KeyboardInterrupt


def having(name: str, function: Any) -> Computation:
    return replace(PRIMES, **{name: function})


def returning(name: str, value: Any) -> Computation:
    return having(name, lambda *args, **kwargs: value)


def ask(computation: Computation, name: str) -> Any:
    asked: dict[str, Any] = {
        "title": lambda: computation.titled({"n": 5}),
        "length": lambda: computation.length_of({"n": 5}),
        "cut": lambda: computation.chunks_of(2, {"n": 5}),
        "show": lambda: computation.shown_as(5),
    }
    return asked[name]()


@pytest.mark.parametrize("name", ["title", "length", "cut", "show"])
@pytest.mark.parametrize(
    ("function", "what"),
    [(crash, "ZeroDivisionError: no"), (leave, "SystemExit: 3"), (None, "TypeError: ")],
    ids=["raises", "leaves", "is none"],
)
def test_what_one_raises_is_a_sentence(name: str, function: Any, what: str) -> None:
    if function is None:
        function = lambda: 0  # noqa: E731 - it takes no parameters
    with pytest.raises(ComputationError) as error:
        ask(having(name, function), name)
    assert str(error.value).startswith(f"primes: its `{name}` raised {what}")


def test_ctrl_c_is_nobodys_mistake() -> None:
    with pytest.raises(KeyboardInterrupt):
        having("title", interrupt).titled({"n": 5})


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("title", None, "returned None (NoneType); it has to return a text"),
        ("title", " ", "returned ' ' (str); it has to return a text"),
        ("length", 1.5, "returned 1.5 (float); it has to return a whole number"),
        ("length", True, "returned True (bool); it has to return a whole number"),
        ("length", "5", "returned '5' (str); it has to return a whole number"),
        ("length", -1, "returned -1 (int); give 0 or more, below 2^63"),
        ("length", 2**63, "returned 9223372036854775808 (int); give 0 or more, below 2^63"),
        ("cut", None, "returned None (NoneType); it has to return a list of tuples"),
        ("cut", "text", "returned 'text' (str); it has to return a list of tuples"),
        ("cut", {(1, 2)}, "returned {(1, 2)} (set); it has to return a list of tuples"),
        ("cut", [(1, 2), 3], "returned 3 (int) as chunk 2; each has to be a tuple"),
        ("cut", [()] * (MAX_CHUNKS + 1), "made 10,001 chunks; at most 10,000 are allowed"),
        ("show", 5, "returned 5 (int); it has to return a text"),
        ("show", Unprintable(), "returned … (Unprintable); it has to return a text"),
    ],
)
def test_what_one_must_not_return_is_a_sentence(name: str, value: Any, what: str) -> None:
    with pytest.raises(ComputationError) as error:
        ask(returning(name, value), name)
    assert str(error.value).startswith(f"primes: its `{name}` {what}")


def test_a_generator_of_chunks_is_not_run_to_its_end() -> None:
    def endless(chunk_size: int, n: int) -> Any:
        while True:
            yield (1,)

    with pytest.raises(ComputationError, match=r"returned <generator .*; it has to return a list"):
        having("cut", endless).chunks_of(2, {"n": 5})


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("title", "two\nlines  of\ttext", "two lines of text"),
        ("title", "x" * 300, "x" * 199 + "…"),
        ("title", "a\0b", "ab"),
        ("length", 0, 0),
        ("length", 2**63 - 1, 2**63 - 1),
        ("length", Index(), 7),
        ("cut", [], []),
        ("cut", ((1, 2), (3, 4)), [(1, 2), (3, 4)]),
        ("cut", [(1,)] * MAX_CHUNKS, [(1,)] * MAX_CHUNKS),
        ("show", "<b>", "<b>"),
        ("show", "x" * 20_000, "x" * (SHOWN_CHARS - 1) + "…"),
    ],
)
def test_what_is_taken(name: str, value: Any, taken: Any) -> None:
    assert ask(returning(name, value), name) == taken


def test_what_cannot_be_cut_has_no_length() -> None:
    assert BUGGY_SUM.length_of({"n": 5}) is None
    assert str(BUGGY_SUM) == "buggy-sum"


def test_the_only_one_of_several_is_none() -> None:
    assert the_only_one(iter([5])) == 5
    with pytest.raises(ValueError, match="too many values"):
        the_only_one(iter([5, 6]))


def test_a_long_value_is_described_by_its_beginning() -> None:
    assert described("x" * 100) == f"'{'x' * 58}… (str)"
