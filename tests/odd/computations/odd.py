"""What a hostile author declares: functions and callables that return or raise anything.

`EXPECTED` says of each how a run of it ends: with a result, with one that is kept apart, with an
error that has a text in it, or refused at the start by a sentence that has one.
"""

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
import os
import random
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.db import transaction
from django.utils.safestring import mark_safe

from compute.computation import Computation
from compute.shapes import File, Picture, Table


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


class Words(str):
    __slots__ = ()


class Evil:
    """Every way to look at it fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no attributes")


class Unreadable:
    """Can be pickled and not be read again."""

    def __reduce__(self) -> Any:
        return (int, ("no number",))


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class StopEverything(BaseException):
    pass


class Like:
    """An array as numpy has them: what counts is `tolist`."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def tolist(self) -> list[Any]:
        return list(self.values)


def itself() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


#: What a function returns, made in the worker, and what the run comes to: ("is", result),
#: or ("apart", the kind of its first output), or ("error", a part of the sentence).
RETURNED: dict[str, tuple[Callable[[], Any], tuple[str, Any]]] = {
    "nan": (lambda: math.nan, ("is", "NaN")),
    "infinities": (lambda: [math.inf, -math.inf], ("is", ["Infinity", "-Infinity"])),
    "long-integer": (lambda: 10**4_000, ("is", 10**4_000)),
    "longer-integer": (lambda: [10**10_000], ("error", "the result[0] is an integer of about 10,")),
    "longest-integer": (lambda: -(10**100_000), ("error", "100,001 digits")),
    "nul": (lambda: {"a": ["x\0y"]}, ("error", "the result['a'][0] has a text with")),
    "surrogate": (lambda: "caf\udce9", ("error", "lone surrogate")),
    "surrogate-key": (lambda: {"\ud800": 1}, ("error", "lone surrogate")),
    "bytes": (lambda: {"x": [b"1"]}, ("error", "the result['x'][0] is a bytes")),
    "bytearray": (lambda: bytearray(3), ("apart", "file")),
    "names": (lambda: {"": b"1", "a\0/../\r\n": b"2", "x" * 10_000: 1j}, ("error", "a complex")),
    "strange-names": (lambda: {"": b"1", "a\0/../\r\n": b"2", 5: 3}, ("apart", "file")),
    "page": (lambda: File(b"<script>x", "\r\nx: y.html", "text/html"), ("apart", "file")),
    "drawing": (lambda: Picture(b"<svg onload='x'/>", "image/svg+xml"), ("apart", "picture")),
    "no-table": (lambda: Table([[1], [1, 2]]), ("error", "has 2 cells for 1 column;")),
    "table": (lambda: Table([["<script>x", 10**4_000]], ["=<b>", "b"]), ("apart", "table")),
    "decimal": (lambda: decimal.Decimal("1.50"), ("is", "1.50")),
    "decimal-nan": (lambda: decimal.Decimal("NaN"), ("is", "NaN")),
    "date": (lambda: datetime.date(2020, 1, 2), ("is", "2020-01-02")),
    "time": (lambda: datetime.time(1, 2), ("is", "01:02:00")),
    "duration": (lambda: datetime.timedelta(hours=1), ("is", "PT3600S")),
    "uuid": (lambda: uuid.UUID(int=0), ("is", "00000000-0000-0000-0000-000000000000")),
    "enum": (lambda: Color.RED, ("is", "red")),
    "int-enum": (lambda: {"level": Level.HIGH}, ("is", {"level": 3})),
    "set": (lambda: {7}, ("is", [7])),
    "tuple": (lambda: (1, (2, 3)), ("is", [1, [2, 3]])),
    "dataclass": (lambda: Point(1, {2}), ("is", {"x": 1, "y": [2]})),
    "named-tuple": (lambda: collections.namedtuple, ("error", "can't keep")),
    "counter": (lambda: collections.Counter("aa"), ("is", {"a": 2})),
    "deque": (lambda: collections.deque([1]), ("is", [1])),
    "range": (lambda: range(3), ("is", [0, 1, 2])),
    "endless-range": (lambda: range(10**12), ("error", "1,000,000,000,000 items")),
    "array": (lambda: array.array("d", [0.5]), ("is", [0.5])),
    "like-numpy": (lambda: Like(1, math.nan), ("is", [1, "NaN"])),
    "number-keys": (lambda: {1: 2}, ("error", "the key 1, an int")),
    "tuple-keys": (lambda: {"a": {(1, 2): 3}}, ("error", "the result['a'] has the key")),
    "none-key": (lambda: {None: 1}, ("error", "the key None")),
    "complex": (lambda: 1j, ("error", "a complex")),
    "fraction": (lambda: fractions.Fraction(1, 2), ("error", "a Fraction")),
    "text-subclass": (lambda: Words("w"), ("is", "w")),
    "markup": (lambda: mark_safe("<script>x</script>"), ("is", "<script>x</script>")),
    "itself": (itself, ("error", "contains itself")),
    "deep": (lambda: nested(300), ("error", "levels deep")),
    "large": (lambda: "x" * 20_000_000, ("apart", "text")),
    "evil": (Evil, ("error", "")),
    "unreadable": (Unreadable, ("error", "can't be pickled")),
    "class": (lambda: Point, ("error", "can't keep")),
    "module": (lambda: sys, ("error", "can't be pickled")),
    "generator": (lambda: (number for number in range(3)), ("error", "can't be pickled")),
    "function": (lambda: lambda: 1, ("error", "can't be pickled")),
    "exception": (lambda: ValueError("as a value"), ("error", "a ValueError")),
    "nothing": (lambda: None, ("is", None)),
    "truth": (lambda: True, ("is", True)),
    "json-text": (lambda: json.dumps({"a": 1}), ("is", '{"a": 1}')),
}


def raising(error: BaseException) -> Any:
    raise error


def recurse() -> Any:
    return recurse()


#: What a function does instead of returning.
DONE: dict[str, tuple[Callable[[], Any], str]] = {
    "raises-surrogate": (lambda: raising(ValueError("caf\udce9 \0")), "ValueError"),
    "raises-speechless": (lambda: raising(SpeechlessError()), "SpeechlessError"),
    "raises-exit": (lambda: sys.exit(3), "SystemExit"),
    "raises-base": (lambda: raising(StopEverything("all")), "StopEverything"),
    "raises-long": (lambda: raising(ValueError("x" * 1_000_000)), "ValueError"),
    "raises-lines": (lambda: raising(ValueError("a\r\nb\x1b[31m")), "ValueError"),
    "recursion": (recurse, "RecursionError"),
}
#: Only where there is a worker that may die.
DEADLY: dict[str, tuple[Callable[[], Any], str]] = {
    "kills-its-worker": (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
    "exits-its-worker": (lambda: os._exit(1), "exit code 1"),
}


def returned(name: str) -> Any:
    return {**RETURNED, **DONE, **DEADLY}[name][0]()


def give(first: int) -> int:
    return first


def lazily(results: Iterable[int]) -> Any:
    return (result for result in results)


def slowly(results: Iterable[int]) -> int:
    time.sleep(1)
    return sum(results)


def endless() -> Any:
    while True:
        yield (1,)


class OddForm(forms.Form):
    n = forms.IntegerField(min_value=0)


def ordinary(**odd: Any) -> Computation:
    """A computation whose callables are right, but for those given."""
    callables: dict[str, Any] = {
        "title": lambda n: f"odd {n}",
        "form": OddForm,
        "function": give,
        "length": lambda n: n,
        "cut": lambda chunk_size, n: [(first,) for first in range(0, n, chunk_size)],
        "combine": sum,
    }
    return Computation(**{"line": "Is odd.", **callables, **odd})


#: Callables that are wrong in a computation that is cut, and how a run of it ends: refused
#: ("refused", a part of the sentence), or as above. Of four chunks the sum is 6.
WRONG: dict[str, tuple[dict[str, Any], tuple[str, Any]]] = {
    "title-raises": ({"title": lambda n: 1 / 0}, ("refused", "its `title` raised ZeroDivision")),
    "title-number": ({"title": lambda n: 3}, ("refused", "its `title` returned 3 (int)")),
    "title-exits": ({"title": lambda n: sys.exit(1)}, ("refused", "SystemExit")),
    "title-markup": ({"title": lambda n: mark_safe("<b>\0\udce9")}, ("is", 6)),
    "title-long": ({"title": lambda n: "x" * 100_000}, ("is", 6)),
    "length-fraction": ({"length": lambda n: 1.5}, ("refused", "its `length` returned 1.5")),
    "length-negative": ({"length": lambda n: -1}, ("refused", "its `length` returned -1")),
    "length-huge": ({"length": lambda n: 10**30}, ("refused", "below 2^63")),
    "length-none": ({"length": lambda n: None}, ("refused", "its `length` returned None")),
    "cut-raises": ({"cut": lambda chunk_size, n: {}[n]}, ("refused", "its `cut` raised KeyError")),
    "cut-none": ({"cut": lambda chunk_size, n: None}, ("refused", "its `cut` returned None")),
    "cut-numbers": ({"cut": lambda chunk_size, n: [1, 2]}, ("refused", "returned 1 (int)")),
    "cut-endless": ({"cut": lambda chunk_size, n: endless()}, ("refused", "(generator)")),
    "cut-many": ({"cut": lambda chunk_size, n: [(1,)] * 20_000}, ("refused", "20,000 chunks")),
    "cut-lambda": ({"cut": lambda chunk_size, n: [(lambda: 1,)]}, ("refused", "can't be queued")),
    "cut-nothing": ({"cut": lambda chunk_size, n: []}, ("is", 0)),
    "combine-raises": ({"combine": lambda results: 1 / 0}, ("error", "ZeroDivisionError")),
    "combine-exits": ({"combine": lambda results: sys.exit(1)}, ("error", "SystemExit")),
    "combine-lazily": ({"combine": lazily}, ("error", "a generator")),
    "combine-nothing": ({"combine": lambda results: None}, ("is", None)),
    "combine-slowly": ({"combine": slowly}, ("is", 6)),
    "combine-random": ({"combine": lambda results: Like(random)}, ("error", "a module")),
    "show-raises": ({"show": lambda result: 1 / 0}, ("is", 6)),
    "show-number": ({"show": lambda result: 3}, ("is", 6)),
    "show-markup": ({"show": lambda result: mark_safe("<script>x</script>")}, ("is", 6)),
    "show-long": ({"show": lambda result: "y" * 10_000_000}, ("is", 6)),
}


def then_open(value: Any) -> Any:
    """The value, with a transaction that is left open."""
    transaction.atomic().__enter__()
    return value


def then_without_autocommit(value: Any) -> Any:
    transaction.set_autocommit(False)
    return value


#: The same, only where there is a worker with connections of its own.
OPEN: dict[str, tuple[dict[str, Any], tuple[str, Any]]] = {
    "combine-opens": ({"combine": lambda results: then_open(sum(results))}, ("is", 6)),
    "combine-commits-not": (
        {"combine": lambda results: then_without_autocommit(sum(results))},
        ("is", 6),
    ),
    "show-opens": ({"show": lambda result: then_open(Table([[result]], ["a"]))}, ("is", 6)),
    "show-commits-not": ({"show": lambda result: then_without_autocommit("six")}, ("is", 6)),
}

EXPECTED: dict[str, tuple[str, Any]] = {
    **{name: outcome for name, (_, outcome) in RETURNED.items()},
    **{name: ("error", text) for name, (_, text) in (DONE | DEADLY).items()},
    **{name: outcome for name, (_, outcome) in (WRONG | OPEN).items()},
}


class NameForm(forms.Form):
    name = forms.CharField()


for _name in RETURNED | DONE | DEADLY:
    globals()[f"ODD_{_name}"] = Computation(
        name=_name,
        line="Is odd.",
        title=lambda name: f"odd {name}",
        form=NameForm,
        function=returned,
    )
for _name, (_odd, _) in (WRONG | OPEN).items():
    globals()[f"ODD_{_name}"] = ordinary(name=_name, **_odd)
