"""The JSON of large values, in pieces: of what is large no second form is ever there whole.

What it may hold, and how a refusal says its place, is as `values` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any

from .values import MOST_LEVELS, NotKeptError, as_json, plain_data, too_deep

#: Items of a list whose JSON is made at a time.
BLOCK = 1_000
#: Plain as they are, but for a few numbers and texts.
BASIC = {type(None), bool, int, float, str}


def pieces(value: Any, path: Sequence[Any] = ()) -> Iterator[str]:
    """The JSON of a value of any size; NotKeptError as from `values.kept`, perhaps after some."""
    if len(path) > MOST_LEVELS:
        raise NotKeptError(too_deep())
    if type(value) in (list, tuple) or is_array(value):
        yield from pieces_of_list(value, path)
    elif type(value) is dict:
        yield "{"
        for number, (key, part) in enumerate(value.items()):
            (name,) = plain_data({key: None}, path)
            yield f"{',' if number else ''}{as_json(name)}:"
            yield from pieces(part, [*path, key])
        yield "}"
    else:
        yield as_json(plain_data(value, path))


def pieces_of_list(items: Any, path: Sequence[Any]) -> Iterator[str]:
    """The same of a list, a tuple or an array: a block of items each, one that is large alone."""
    yield "["
    start = 0
    while start < len(items):
        block = items[start : start + BLOCK]
        if is_array(items):
            block = block.tolist()
        small = list(takewhile(is_small, block))
        if start:
            yield ","
        if small:
            yield json_of(small, path, start)[1:-1]
        else:
            yield from pieces(block[0], [*path, start])
        start += max(1, len(small))
    yield "]"


def is_small(item: Any) -> bool:
    return type(item) not in (list, tuple, dict) or len(item) <= BLOCK


def is_array(value: Any) -> bool:
    """Whether it is an array of numpy's, of numbers, which can be read a block at a time."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind in ("i", "u", "f", "b") and getattr(value, "ndim", 0) > 0


def json_of(items: list[Any], path: Sequence[Any] = (), first: int = 0) -> str:
    """The JSON of a list, whose place is told as by `plain_data`."""
    if BASIC.issuperset(map(type, items)) and (text := written(as_json, items)):
        return text
    return as_json(plain_data(items, path, first))


def json_lines(rows: list[list[Any]], first: int = 0) -> str:
    """A line of JSON for each row; `first` is the place of the first of them."""
    if all(BASIC.issuperset(map(type, row)) for row in rows) and (text := written(lines, rows)):
        return text
    return lines(plain_data(rows, first=first))


def lines(rows: list[Any]) -> str:
    return "".join([f"{as_json(row)}\n" for row in rows])


def written(write: Callable[[Any], str], basic: Any) -> str | None:
    """What is basic as it is, a hundred times as quick; None for what has no form as it is, or
    none that can be kept: an infinity, an integer of 5,000 digits, a NUL, a surrogate."""
    try:
        text = write(basic)
        text.encode()
    except ValueError:
        return None
    return None if "\\u0000" in text else text
