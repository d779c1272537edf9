"""A computation's result as plain data that JSON and both databases keep.

msgspec makes plain data of dataclasses, enums, dates, UUIDs, decimals, sets and tuples.
This adds numpy, subclasses, and the refusal of what would get lost: a refusal names the
thing and its place. JSON has no NaN: it and the infinities are the words of `WORDS`, as
in protobuf's JSON mapping.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence, Set
from datetime import date, time
from typing import Any

import msgspec

#: Digits of the longest integer that is kept: as many as Python reads and writes.
MOST_DIGITS = sys.int_info.default_max_str_digits
TOO_LONG = 10**MOST_DIGITS
#: Levels of lists and dicts in each other.
MOST_LEVELS = 100
#: Bytes of JSON that are made at once; a larger result is written in pieces.
MOST_BYTES = 16 * 1024 * 1024
#: Bytes of JSON up to which a result is small: a row of a run has it, and a check's JSON.
SMALL_BYTES = 64 * 1024

WORDS = {math.inf: "Infinity", -math.inf: "-Infinity"}
BYTES = (bytes, bytearray, memoryview)

#: Plain data as JSON, in UTF-8 without blanks.
as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class NotKeptError(ValueError):
    """A value that JSON can't keep. Its text says what it is, where, and what to do."""


def kept(value: Any) -> Any:
    """The value as None, booleans, numbers, texts, lists and dicts with texts as keys.

    NotKeptError if it has no such form, or takes over MOST_BYTES. An error that the value's
    own code raises while it is read comes through.
    """
    result = plain_data(value)
    size = len(json.dumps(result))
    if size > MOST_BYTES:
        raise NotKeptError(
            f"the result takes {size:,} bytes as JSON, and {MOST_BYTES:,} are kept; return less"
        )
    return result


def plain_data(value: Any, path: Sequence[Any] = (), first: int = 0) -> Any:
    """The same of any size; a refusal says its place in what is at this path, from item `first`."""
    unknown: dict[int, tuple[bytearray, str]] = {}

    def simpler(part: Any) -> Any:
        found = simpler_form(part)
        if found is None:  # a mark that is kept apart, so that the walk tells its place
            mark = bytearray()
            unknown[id(mark)] = (mark, named(part))
            return mark
        return found[0]

    try:
        plain = msgspec.to_builtins(value, builtin_types=BYTES, enc_hook=simpler)
    except RecursionError:
        raise NotKeptError(too_deep()) from None
    if isinstance(plain, list | tuple):
        return [walked(part, [*path, at], unknown) for at, part in enumerate(plain, first)]
    return walked(plain, list(path), unknown)


def kept_or_text(value: Any) -> Any:
    """The same, or a text that says so of a value that can't be kept."""
    try:
        return kept(value)
    except Exception as error:  # whatever the value's own code may raise
        return f"<{type(value).__name__}: {type(error).__name__}>"


def simpler_form(part: Any) -> tuple[Any] | None:
    """A part that msgspec doesn't know in a form that it does, in a tuple; None without one."""
    # A subclass's value is kept, and nothing else of it.
    if isinstance(part, str):
        return (str.__getitem__(part, slice(None)),)
    if isinstance(part, int):
        return (int.__pos__(part),)
    if isinstance(part, float):
        return (float.__pos__(part),)
    if isinstance(part, date | time):  # pandas' times
        return (part.isoformat(),)
    if callable(getattr(part, "tolist", None)) and not isinstance(part, type):
        # numpy's arrays and numbers, array.array; numpy's times would become mere numbers.
        times = getattr(getattr(part, "dtype", None), "kind", "") == "M"
        simpler = part.astype(str).tolist() if times else part.tolist()
        return None if type(simpler) is type(part) else (simpler,)
    if isinstance(part, Mapping):
        return (dict(part),)
    if isinstance(part, Sequence | Set) and not isinstance(part, BYTES):
        if len(part) > MOST_BYTES:
            raise NotKeptError(f"the result has {named(part)} of {len(part):,} items; return less")
        return (list(part),)
    return None


def walked(plain: Any, path: list[Any], unknown: Mapping[int, tuple[Any, str]]) -> Any:
    """Plain data with each part looked at."""
    if len(path) > MOST_LEVELS:
        raise NotKeptError(too_deep())
    if isinstance(plain, dict):
        return {
            key_of(key, path): walked(part, [*path, key], unknown) for key, part in plain.items()
        }
    if isinstance(plain, list | tuple):
        return [walked(part, [*path, number], unknown) for number, part in enumerate(plain)]
    if isinstance(plain, BYTES):
        _, what = unknown.get(id(plain), (None, named(plain)))
        advice = "text (.hex(), base64)" if what in map(named, (b"", bytearray())) else "plain data"
        raise NotKeptError(f"{place(path)} is {what}, which JSON can't keep; return {advice}")
    if isinstance(plain, str):
        return text_of(plain, path)
    if isinstance(plain, float):
        return plain if math.isfinite(plain) else WORDS.get(plain, "NaN")
    if isinstance(plain, int) and abs(plain) >= TOO_LONG:
        digits = int(plain.bit_length() * math.log10(2)) + 1
        raise NotKeptError(
            f"{place(path)} is an integer of about {digits:,} digits, and {MOST_DIGITS:,} are "
            "kept; return hex(…) of it, or a part"
        )
    return plain


def key_of(key: Any, path: list[Any]) -> str:
    if not isinstance(key, str):
        raise NotKeptError(
            f"{place(path)} has the key {shown_key(key)}, {named(key)}, and JSON's keys are text; "
            "return str(key), or a list of pairs"
        )
    return text_of(key, path)


def text_of(text: str, path: list[Any]) -> str:
    """The text, if both databases can keep it."""
    if "\0" in text:
        raise NotKeptError(
            f"{place(path)} has a text with a NUL character; return it without (Postgres "
            "can't keep one)"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotKeptError(
            f"{place(path)} has a text with a lone surrogate, which is no character; return it "
            'without (.encode("utf-8", "replace").decode())'
        ) from None
    return text


def place(path: Sequence[Any]) -> str:
    """Where a part of the result is, as one would write it in Python."""
    return "the result" + "".join(f"[{shown_key(key)}]" for key in path)


def shown_key(key: Any) -> str:
    shown = ascii(key) if isinstance(key, str | int | float | None) else f"<{type(key).__name__}>"
    return shown if len(shown) <= 50 else f"{shown[:49]}…"


def named(part: Any) -> str:
    """A kind of thing, with its article."""
    name = type(part).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def too_deep() -> str:
    return (
        f"the result has lists or dicts in each other over {MOST_LEVELS} levels deep, or one "
        "that contains itself; return it flatter"
    )
