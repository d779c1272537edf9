"""The JSON of large values: the same as of small ones, a block at a time."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from compute.values import NotKeptError, kept
from compute.writing import json_lines, json_of, pieces
from tests.test_values import KEPT, REFUSED, Array, Text

# --- in pieces ----------------------------------------------------------------------------


class Grid(Array):
    """As numpy's arrays of numbers are."""

    ndim = 1

    def __len__(self) -> int:
        return len(self.plain)

    def __getitem__(self, place: slice) -> Grid:
        return Grid(self.plain[place])


@pytest.mark.parametrize(("value", "plain"), KEPT, ids=lambda value: type(value).__name__)
def test_the_pieces_are_the_same(value: Any, plain: Any) -> None:
    assert json.loads("".join(pieces(value))) == plain


@pytest.mark.parametrize(
    "value",
    [
        list(range(2_500)),
        tuple("é" for _ in range(1_001)),
        [[number] * 2_000 for number in range(3)],
        [1, list(range(1_001)), 2, {str(number): number for number in range(1_001)}, 3],
        {"a": {"b": list(range(3_000))}, "c": []},
    ],
)
def test_what_is_large_is_written_in_blocks(value: Any) -> None:
    found = list(pieces(value))
    assert json.loads("".join(found)) == json.loads(json.dumps(value))
    assert max(map(len, found)) < 10_000


def test_an_array_is_read_a_block_at_a_time() -> None:
    assert json.loads("".join(pieces(Grid(list(range(2_500)))))) == list(range(2_500))
    assert json.loads("".join(pieces(Grid([[1, 2], [3, 4]])))) == [[1, 2], [3, 4]]


@pytest.mark.parametrize(("value", "sentence"), REFUSED, ids=lambda value: type(value).__name__)
def test_pieces_refuse_the_same_but_for_size(value: Any, sentence: str) -> None:
    if "bytes as JSON" in sentence:
        assert "".join(pieces(value)) == json.dumps(value)
        return
    with pytest.raises(NotKeptError) as error:
        list(pieces(value))
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([0] * 1_500 + [b"x"], "the result[1500] is a bytes"),
        ({"a": [[0] * 1_500 + [{5: 1}]]}, "the result['a'][0][1500] has the key 5, an int"),
        ({"a": {"b": {5: 1}}}, "the result['a']['b'] has the key 5, an int"),
    ],
)
def test_pieces_say_the_place_of_what_they_refuse(value: Any, sentence: str) -> None:
    with pytest.raises(NotKeptError) as error:
        list(pieces(value))
    assert str(error.value).startswith(sentence)


def test_what_contains_itself_is_refused_in_pieces_too() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    large: list[Any] = [0] * 1_001
    large[0] = large
    for value in (endless, large):
        with pytest.raises(NotKeptError, match="one that contains itself"):
            list(pieces(value))


# --- quickly --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        5,
        -0.5,
        "ü",
        None,
        True,
        10**999,
        "\\u0000",
        math.nan,
        -math.inf,
        (1, 2),
        {"a": 1},
        Text("a"),
    ],
)
def test_lines_are_the_same_by_either_way(cell: Any) -> None:
    rows = [[1, "a"], [cell, "b"]]
    assert [json.loads(line) for line in json_lines(rows).splitlines()] == kept(rows)
    assert json.loads(json_of([cell])) == kept([cell])


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("a\0", "the result[1001][1] has a text with a NUL"),
        ("\udce9", "the result[1001][1] has a text with a lone surrogate"),
        (10**5_000, "the result[1001][1] is an integer of about 5,001 digits"),
        (object(), "the result[1001][1] is an object"),
        ({5: 1}, "the result[1001][1] has the key 5, an int"),
    ],
    ids=["nul", "surrogate", "long", "object", "key"],
)
def test_a_line_that_cannot_be_kept_says_its_place(cell: Any, sentence: str) -> None:
    with pytest.raises(NotKeptError) as error:
        json_lines([[1, 2], [3, cell]], 1_000)
    assert str(error.value).startswith(sentence)
    with pytest.raises(NotKeptError) as error:
        json_of([3, cell], ["a"], 7)
    assert str(error.value).startswith(sentence.replace("[1001][1]", "['a'][8]"))
