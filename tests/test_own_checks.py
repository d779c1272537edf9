"""`check`, which any computation's own test calls: what it lets pass, and what it tells."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from django import forms

from compute import chunking, files
from compute.computation import the_only_one
from compute.computations.primes import PRIMES
from compute.shapes import File, Table
from tests.computations.checks import check, close, equal

pytestmark = pytest.mark.once

GIVEN = {"n": "1000"}
PLAIN = replace(PRIMES, sample=None)


def tenths(first: int, last: int) -> float:
    """A sum of floats, which hangs on the order."""
    total = 0.0
    for _ in range(first, last + 1):
        total += 0.1
    return total


def darts(first: int, last: int, seed: int) -> float:
    chance = Random(seed)  # noqa: S311
    return sum(chance.random() for _ in range(first, last + 1))


def moods(first: int, last: int) -> float:
    return Random().random()  # noqa: S311


def array(first: int, last: int) -> Any:
    return np.arange(first, last + 1) / 7


def megabytes(count: int) -> Iterator[bytes]:
    return (bytes(2**20) for _ in range(count))


def boxed(first: int, last: int) -> list[int]:
    return [last - first + 1]


async def later(first: int, last: int) -> int:
    return last - first + 1


def test_what_hangs_on_the_cut_has_to_say_so() -> None:
    floats = replace(PLAIN, function=tenths)
    with pytest.raises(AssertionError, match=r"make 99.9\d+, and 100 is expected; .*exact=False"):
        check(floats, GIVEN, expected=100)
    check(floats, GIVEN, expected=100, exact=False)
    with pytest.raises(AssertionError, match=r"chunk.* make "):
        check(floats, GIVEN, expected=101, exact=False)


def test_of_a_wrong_expectation_the_cut_is_not_blamed() -> None:
    with pytest.raises(AssertionError, match=r"^\d+ chunk\(s\) make 168, and 169 is expected$"):
        check(PLAIN, GIVEN, expected=169)


class TwoForm(forms.Form):
    n = forms.IntegerField(max_value=9)

    def clean(self) -> None:
        raise forms.ValidationError("Not so.")


def test_what_a_form_refuses_is_said_as_text() -> None:
    with pytest.raises(AssertionError) as refused:
        check(replace(PLAIN, form=TwoForm), GIVEN, expected=168)
    said = "n: Ensure this value is less than or equal to 9. Not so."
    assert str(refused.value).endswith(f"the check's own parameters: {said}")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"function": lambda first, last: 1}, "no worker can find `function`, <lambda>."),
        ({"combine": the_only_one}, "it has `cut` and no `combine`."),
        ({"combine": lambda results: sum(results) + 1j}, "is a complex, which JSON can't keep"),
        ({"combine": lambda results: {1: sum(results)}}, "and JSON's keys are text"),
        ({"combine": lambda results: (each for each in results)}, "the result can't be kept: "),
        ({"combine": lambda results: Table([(1, 2), (3,)], ["a", "b"])}, "can't be kept: row 2"),
        ({"combine": lambda results: File(megabytes(101), "a.bin")}, "MAX_RESULT_MB (100)"),
        ({"show": lambda result: result + "x"}, "primes: its `show` raised TypeError"),
    ],
)
def test_what_the_site_refuses_is_found(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(said)):
        check(replace(PLAIN, **fields), GIVEN, expected=168, alike=lambda *_: True)


def test_what_combine_does_to_the_results_is_its_own() -> None:
    def emptied(results: Iterable[list[int]]) -> int:
        return sum(each.pop() for each in results)

    check(replace(PLAIN, function=boxed, combine=emptied), GIVEN, expected=1000)


def test_chance_has_a_tolerance() -> None:
    chance = replace(PLAIN, function=darts, seed=True)
    check(chance, GIVEN, expected=500, exact=False, tolerance=0.1)
    with pytest.raises(AssertionError, match=r"chunk.* make "):
        check(chance, GIVEN, expected=500, exact=False, tolerance=1e-6)
    check(chance, GIVEN, expected=(450, 550), alike=lambda found, ends: ends[0] < found < ends[1])


def test_chance_that_is_not_the_seeds_is_found_out() -> None:
    with pytest.raises(AssertionError, match="a chunk that runs twice differs"):
        check(replace(PLAIN, function=moods), GIVEN, 1, exact=False, tolerance=9)


def test_what_is_awaited_passes() -> None:
    check(replace(PLAIN, function=later), GIVEN, expected=1000)


def test_results_of_arrays_and_shapes_are_compared_whole() -> None:
    def joined(parts: Iterable[Any]) -> Any:
        return np.concatenate(list(parts))

    def rows(parts: Iterable[Any]) -> Table:
        return Table(([float(each)] for part in parts for each in part), ["seventh"])

    def alike(table: Table, expected: list[list[float]]) -> bool:
        return list(table.rows) == expected

    arrays = replace(PLAIN, function=array, combine=joined, show=lambda result: str(len(result)))
    check(arrays, GIVEN, expected=np.arange(1, 1001) / 7)
    expected = [[number / 7] for number in range(1, 1001)]
    as_table = replace(arrays, combine=rows, show=lambda result: "rows")
    check(as_table, GIVEN, expected, alike=alike)


class TextForm(forms.Form):
    text = forms.FileField()
    least = forms.IntegerField()


def long_lines(text: files.StoredFile, least: int, first: int, last: int) -> int:
    with files.open(text) as opened, text.open() as again:
        assert again.read() == b"one\ntwo\nthree"
        return sum(len(line.strip()) >= least for line in chunking.lines(opened, first, last))


def test_files_are_given_as_their_bytes_and_need_no_database() -> None:
    def cut(chunk_size: int, text: files.StoredFile, least: int) -> list[tuple[Any, ...]]:
        return [(text, least, *ends) for ends in chunking.ranges(text.size, chunk_size)]

    lines = replace(
        PLAIN,
        form=TextForm,
        title=lambda text, least: f"{text.name} {least}",
        function=long_lines,
        length=lambda text, least: text.size,
        cut=cut,
    )
    check(lines, {"text": b"one\ntwo\nthree", "least": "4"}, expected=1)
    with pytest.raises(AssertionError, match="the form refuses the check's own parameters"):
        check(lines, {"text": b"", "least": "4"}, expected=0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        ([1, 2], (1, 2), False),
        (math.nan, math.nan, True),
        (np.arange(3), np.arange(3), True),
        (np.arange(3), np.arange(1, 4), False),
        ([np.arange(3)], [np.arange(3)], True),
        (object, 5, False),
        (iter([]), iter([1]), False),
    ],
)
def test_what_is_the_same(one: Any, other: Any, same: bool) -> None:
    assert equal(one, other) == same


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        (1.0, 1.01, True),
        (1.0, 1.2, False),
        ({"a": [1, "x"], "b": 2}, {"a": (1.05, "x"), "b": 2}, True),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, 1, False),
        ([1], [1, 2], False),
        (["x"], ["y"], False),
    ],
)
def test_what_differs_little(one: Any, other: Any, near: bool) -> None:
    assert close(one, other, 0.1) == near
