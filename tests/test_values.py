"""What a computation may return: kept as plain data, or refused with what and where."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import math
import pathlib
import types
import uuid
from typing import Any

import pytest

from compute.values import (
    MOST_BYTES,
    MOST_DIGITS,
    MOST_LEVELS,
    NotKeptError,
    kept,
    kept_or_text,
)


@dataclasses.dataclass
class Point:
    x: int
    y: object


class Color(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    YES = "yes"


class Flags(enum.Flag):
    A = 1
    B = 2


class Text(str):
    __slots__ = ()


class Integer(int):
    pass


class Fraction(float):
    pass


class Timestamp(datetime.datetime):
    """As pandas' is."""


class Dictionary(dict):  # type: ignore[type-arg]
    pass


class Pair(collections.namedtuple("Pair", "a b")):
    __slots__ = ()


class Array:
    """As numpy's arrays and numbers are, which are no requirement."""

    def __init__(self, plain: Any, kind: str = "f") -> None:
        self.plain = plain
        self.dtype = types.SimpleNamespace(kind=kind)

    def tolist(self) -> Any:
        return self.plain

    def astype(self, kind: type) -> Array:
        return Array([kind(each) for each in self.plain], "U")


class Endless:
    def tolist(self) -> Any:
        return Endless()


class Odd:
    """Its own code fails while it is read."""

    def tolist(self) -> Any:
        raise ZeroDivisionError("odd")


def nested(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


UTC = datetime.UTC
KEPT: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (0, 0),
    (2**64, 2**64),
    (-(2**100), -(2**100)),
    (1.5, 1.5),
    ("é 😀 <b>", "é 😀 <b>"),
    ([], []),
    ({}, {}),
    # --- no numbers of JSON's
    (math.nan, "NaN"),
    (math.inf, "Infinity"),
    (-math.inf, "-Infinity"),
    ([1.0, {"a": math.nan}], [1.0, {"a": "NaN"}]),
    (Fraction("nan"), "NaN"),
    (Array([1.0, math.inf]), [1.0, "Infinity"]),
    (decimal.Decimal("NaN"), "NaN"),
    (decimal.Decimal("-Infinity"), "-Infinity"),
    # --- long ones
    (10**999, 10**999),
    (10**MOST_DIGITS - 1, 10**MOST_DIGITS - 1),
    (1 - 10**MOST_DIGITS, 1 - 10**MOST_DIGITS),
    # --- kinds with a text of their own
    (decimal.Decimal("1.10"), "1.10"),
    (datetime.date(2026, 11, 25), "2026-11-25"),
    (datetime.time(1, 2), "01:02:00"),
    (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00Z"),
    (datetime.datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00"),
    (datetime.timedelta(seconds=90), "PT90S"),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    # --- enums
    (Color.RED, "red"),
    (Number.ONE, 1),
    (Word.YES, "yes"),
    (Flags.A | Flags.B, 3),
    # --- collections
    ({3}, [3]),
    (frozenset("a"), ["a"]),
    ((1, (2,)), [1, [2]]),
    (Pair(1, "b"), [1, "b"]),
    (Point(1, Point(2, math.nan)), {"x": 1, "y": {"x": 2, "y": "NaN"}}),
    (range(3), [0, 1, 2]),
    (collections.deque([1]), [1]),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (array.array("i", [1, 2]), [1, 2]),
    # --- numpy's
    (Array(5), 5),
    (Array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    (Array([datetime.date(2026, 1, 2)], kind="M"), ["2026-01-02"]),
    ({"a": [Array(True)]}, {"a": [True]}),
    # --- subclasses
    (Text("a"), "a"),
    (Integer(5), 5),
    (Fraction(2.5), 2.5),
    (Dictionary(a=1), {"a": 1}),
    (Timestamp(2026, 1, 2, 3), "2026-01-02T03:00:00"),
    # --- keys
    ({Text("a"): 1}, {"a": 1}),
    ({Word.YES: 1, Color.RED: 2}, {"yes": 1, "red": 2}),
    ({datetime.date(2026, 1, 2): 1}, {"2026-01-02": 1}),
    # --- depth
    (nested(MOST_LEVELS), nested(MOST_LEVELS)),
]


@pytest.mark.parametrize(("value", "expected"), KEPT, ids=lambda value: type(value).__name__)
def test_what_is_kept(value: Any, expected: Any) -> None:
    plain = kept(value)
    assert plain == expected
    assert type(plain) is type(expected)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert kept(plain) == plain


REFUSED: list[tuple[Any, str]] = [
    # --- bytes
    (b"a", "the result is a bytes, which JSON can't keep; return text (.hex(), base64)"),
    ({"a": [0, bytearray(b"x")]}, "the result['a'][1] is a bytearray, which JSON can't keep; "),
    (memoryview(b"x"), "the result is a memoryview, which JSON can't keep; return plain data"),
    # --- text
    ("a\0b", "the result has a text with a NUL character; return it without"),
    (["\ud800"], "the result[0] has a text with a lone surrogate, which is no character"),
    ({"a\0": 1}, "the result has a text with a NUL character"),
    ({"k": {"\udfff": 1}}, "the result['k'] has a text with a lone surrogate"),
    (Text("\0"), "the result has a text with a NUL character"),
    # --- keys
    ({1: 2}, "the result has the key 1, an int, and JSON's keys are text; return str(key), or"),
    ({"a": {(1, 2): 3}}, "the result['a'] has the key <tuple>, a tuple, and JSON's keys"),
    ({None: 1}, "the result has the key None, a NoneType, "),
    ({1.5: 1}, "the result has the key 1.5, a float, "),
    ({True: 1}, "the result has the key True, a bool, "),
    ({Integer(5): 1}, "the result has the key 5, an int, "),
    ({b"a": 1}, "the result has the key <bytes>, a bytes, "),
    # --- no data
    (object(), "the result is an object, which JSON can't keep; return plain data"),
    ({"a": [0, {"b": object()}]}, "the result['a'][1]['b'] is an object, which JSON can't keep"),
    ([1j], "the result[0] is a complex, "),
    (fractions.Fraction(1, 2), "the result is a Fraction, "),
    (pathlib.PurePosixPath("/a"), "the result is a PurePosixPath, "),
    (Point, "the result is a type, "),
    (Array, "the result is a type, "),
    (len, "the result is a builtin_function_or_method, "),
    ((each for each in "ab"), "the result is a generator, "),
    (Point(1, Point(2, ...)), "the result['y']['y'] is an ellipsis, "),
    (Endless(), "the result is an Endless, "),
    (Array([object()]), "the result[0] is an object, "),
    ({"x" * 100: object()}, f"the result['{'x' * 48}…] is an object, "),
    # --- too much of it
    (10**MOST_DIGITS, "the result is an integer of about 4,301 digits, and 4,300 are kept"),
    ([-(10**30_000)], "the result[0] is an integer of about 30,001 digits, "),
    (nested(MOST_LEVELS + 1), "the result has lists or dicts in each other over 100 levels deep"),
    (nested(100_000), "the result has lists or dicts in each other over 100 levels deep"),
    ("x" * MOST_BYTES, "the result takes 16,777,218 bytes as JSON, and 16,777,216 are kept"),
    (range(10**9), "the result has a range of 1,000,000,000 items; return less"),
]


@pytest.mark.parametrize(("value", "sentence"), REFUSED, ids=lambda value: type(value).__name__)
def test_a_refusal_names_what_and_where(value: Any, sentence: str) -> None:
    with pytest.raises(NotKeptError) as error:
        kept(value)
    assert str(error.value).startswith(sentence)
    assert "; return " in str(error.value)
    assert kept_or_text(value) == f"<{type(value).__name__}: NotKeptError>"


def test_a_list_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append({"a": endless})
    with pytest.raises(NotKeptError, match="one that contains itself"):
        kept(endless)


def test_what_the_values_own_code_raises_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        kept([Odd()])
    assert kept_or_text(Odd()) == "<Odd: ZeroDivisionError>"
    assert kept_or_text([1, math.nan]) == [1, "NaN"]


def test_the_longest_integer_is_read_and_written() -> None:
    longest = 10**MOST_DIGITS - 1
    assert json.loads(json.dumps(kept(longest))) == longest
