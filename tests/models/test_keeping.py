"""Outputs as a worker writes them: of every shape, in MAX_RESULT_MB, and gone if none counts."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from pytest_django import Settings

from compute.models import Output, keeping
from compute.models.keeping import (
    Keeper,
    beginning,
    held,
    in_short,
    safe_filename,
    small,
)
from compute.queue.contents import PART_BYTES, Content, Part
from compute.queue.room import TooLargeError, most_bytes
from compute.shapes import SVG, File, Picture, Series, Shape, Table, Value
from compute.values import SMALL_BYTES, NotKeptError
from tests.conftest import started
from tests.test_shapes import PNG


@pytest.fixture
def keeper(db: None) -> Keeper:
    return Keeper(started("/sum-start/", n=10))


def kept(keeper: Keeper, shape: Shape | Value, name: str = "") -> tuple[Output, bytes]:
    keeper.keep({name: shape})
    output = keeper.outputs[-1]
    return output, b"".join(output.read())


# --- each shape ---------------------------------------------------------------------------


def test_a_table_is_json_lines(keeper: Keeper) -> None:
    rows = [{"n": 2**70, "text": 'a "quote"'}, {"n": None, "text": "=ü"}]
    output, data = kept(keeper, Table(rows))
    assert data.decode() == f'[{2**70},"a \\"quote\\""]\n[null,"=ü"]\n'
    assert (output.kind, output.columns, output.rows) == ("table", ["n", "text"], 2)
    assert (output.form, output.size, output.marks) == ("records", len(data), [0])


def test_what_is_no_number_of_jsons_is_a_word(keeper: Keeper) -> None:
    output, data = kept(keeper, Series([1.5, float("nan"), float("-inf")]))
    assert data == b'[0,1.5]\n[1,"NaN"]\n[2,"-Infinity"]\n'
    assert (output.kind, output.columns) == ("series", ["x", "y"])


def test_columns_of_one_name_are_kept_apart_as_lists(keeper: Keeper) -> None:
    output, _ = kept(keeper, Table([[1, 2]], ["a", "a"]))
    assert (output.columns, output.form) == (["a", "a"], "rows")


def test_a_picture_says_what_it_shows(keeper: Keeper) -> None:
    output, data = kept(keeper, Picture(PNG, alt="a square"))
    assert data == PNG
    assert (output.kind, output.media_type) == ("picture", "image/png")
    assert (output.alt, output.filename) == ("a square", "picture.png")


def test_an_svg_is_kept_as_it_is(keeper: Keeper) -> None:
    svg = b"<svg><script>alert(1)</script></svg>"
    output, data = kept(keeper, Picture(svg, SVG))
    assert (data, output.media_type) == (svg, SVG)


@pytest.mark.parametrize(
    ("media_type", "said"),
    [
        ("text/csv", "text/csv"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("text/html\r\nX: y", "application/octet-stream"),
        ("nothing", "application/octet-stream"),
        (None, "application/octet-stream"),
    ],
)
def test_a_files_media_type_is_one(keeper: Keeper, media_type: Any, said: str) -> None:
    output, _ = kept(keeper, File(b"", media_type=media_type))
    assert output.media_type == said


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("data.csv", "data.csv"),
        ("Müller, 1–10.csv", "Müller, 1–10.csv"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ('a"b\r\nX: y\0.csv', "a_b_X_ y.csv"),
        ("c:\\x\u202egnp.exe", "c_x_gnp.exe"),
        ("..", "result.bin"),
        ("", "result.bin"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_a_files_name_is_safe(name: str, safe: str) -> None:
    assert safe_filename(name) == safe


def test_large_bytes_are_written_a_part_at_a_time(keeper: Keeper) -> None:
    data = bytes(range(256)) * 5_000
    output, read = kept(keeper, File(data))
    assert read == data
    assert Part.objects.filter(content=output.content_id).count() == 3


def test_texts_and_values(keeper: Keeper) -> None:
    output, data = kept(keeper, Value("ü" * 5))
    assert (output.kind, data.decode()) == ("text", "ü" * 5)
    output, data = kept(keeper, Value({"a": [1, {"b": None}]}), "value")
    assert (output.kind, json.loads(data)) == ("value", {"a": [1, {"b": None}]})


def test_rows_are_written_as_they_come(keeper: Keeper) -> None:
    seen = []

    def rows() -> Iterator[list[Any]]:
        for number in range(3_000):
            if number == 2_500:
                seen.append(Part.objects.count())
            yield [number, "x" * 1_000]

    kept(keeper, Table(rows()))
    assert seen[0] >= 3


# --- several --------------------------------------------------------------------------------


def test_names_are_short_and_each_is_there_once(keeper: Keeper) -> None:
    long = "x" * 300
    keeper.keep({long: Value(1)})
    keeper.keep({long: Value(2), " a\0\r\n": Value(3), "a": Value(4)})
    names = [output.name for output in keeper.outputs]
    assert names == ["x" * 195 + "…", "x" * 195 + "… 2", "a", "a 2"]
    assert [output.position for output in keeper.outputs] == [0, 1, 2, 3]


def test_in_short(keeper: Keeper) -> None:
    keeper.keep({"a": Series([1]), "b": File(b"abc", "b.bin")})
    assert in_short(keeper.outputs[:1]) == "a, 1 row"
    assert in_short(keeper.outputs) == "2 results: a, 1 row; b, 3 bytes"


# --- refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "error"),
    [
        ("prices", Table([[1], [b"x"]]), "the table 'prices': the result[1][0] is a bytes"),
        ("", Table([[1], [b"x"]]), "the result[1][0] is a bytes"),
        ("", Table([[0]] * 1_500 + [[object()]]), "the result[1500][0] is an object"),
        ("", Value("a\0"), "the result has a text with a NUL"),
    ],
)
def test_what_cannot_be_kept_is_named_and_leaves_nothing(
    keeper: Keeper, name: str, shape: Any, error: str
) -> None:
    with pytest.raises(NotKeptError) as refused:
        keeper.keep({name: shape})
    assert str(refused.value).startswith(error)
    assert not Content.objects.exists()
    assert not Part.objects.exists()


def test_all_of_a_run_share_the_limit(keeper: Keeper, settings: Settings) -> None:
    settings.MAX_RESULT_MB = 1
    keeper = Keeper(keeper.run)
    keeper.keep({"first": File(b"x" * 600_000)})
    with pytest.raises(TooLargeError) as refused:
        keeper.keep({"second": File(b"x" * 600_000)})
    assert str(refused.value) == (
        f"the file 'second' has over {most_bytes():,} bytes with what stands beside it, and "
        "MAX_RESULT_MB (1) allows no more; return less"
    )
    assert [output.name for output in keeper.outputs] == ["first"]
    with pytest.raises(TooLargeError, match=r"the table has over 1,\d+,\d+ bytes, and"):
        Keeper(keeper.run).keep({"": Table([["x" * 2_000]] * 1_000)})


def test_an_error_of_what_is_written_leaves_nothing(keeper: Keeper) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 1_000_000
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError):
        keeper.keep({"": File(pieces())})
    assert not Part.objects.exists()


# --- discarded ------------------------------------------------------------------------------


def test_what_counts_is_not_discarded(keeper: Keeper) -> None:
    keeper.keep({"a": Value(1), "b": Value(2)})
    counts, lost = keeper.outputs
    counts.save()
    keeper.discard()
    assert list(Content.objects.exclude(holder="").values_list("pk", flat=True)) == [
        counts.content_id
    ]
    assert keeper.outputs == []
    keeper.discard()
    assert b"".join(counts.read()) == b"1"
    assert not Part.objects.filter(content=lost.content_id).exists()


def test_what_cannot_be_discarded_is_told(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(ids: list[str]) -> None:
        raise OperationalError("the disk is away")

    keeper.keep({"a": Value(1)})
    monkeypatch.setattr(keeping, "remove", fail)
    with caplog.at_level(logging.WARNING):
        keeper.discard()
    assert "outputs that do not count stay: OperationalError: the disk is away" in caplog.text


# --- in memory --------------------------------------------------------------------------------


def test_a_small_result_is_an_output_in_memory() -> None:
    (output,) = held([{"a": 1}, {"a": 2}])
    assert (output.kind, output.rows, output.size) == ("table", 2, 8)
    (value,) = held(5)
    assert (value.kind, b"".join(value.read())) == ("value", b"5")
    assert [(each.name, each.kind) for each in held({"a": b"x", "b": 5})] == [
        ("a", "file"),
        ("b", "value"),
    ]
    with pytest.raises(NotKeptError):
        held({5: 1})


# --- small or not -----------------------------------------------------------------------------


def test_what_is_small_is_plain_data() -> None:
    assert small((1, 2**80, "ü")) == ([1, 2**80, "ü"],)
    assert small(None) == (None,)
    assert small("x" * (SMALL_BYTES - 2)) == ("x" * (SMALL_BYTES - 2),)
    assert small("x" * (SMALL_BYTES - 1)) is None
    assert small(list(range(100_000))) is None
    with pytest.raises(NotKeptError):
        small(object())


def test_the_beginning_of_what_is_large() -> None:
    assert beginning("x" * 100, 10) == "x" * 9 + "…"
    assert beginning("text", 10) == "text"
    assert beginning(list(range(100_000)), 10) == "[0,1,2,3,…"
    assert beginning([1, 2], 10) == "[1,2]"


def test_parts_in_a_transaction_that_is_left_open_are_lost_and_told_of(
    transactional_db: None,
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"1" * PART_BYTES
        transaction.atomic().__enter__()
        yield b"2" * PART_BYTES

    keeper = Keeper(started("/sum-start/", n=10))
    with pytest.raises(LookupError, match="what makes the file left a transaction open"):
        keeper.keep({"": File(pieces(), "numbers.txt")})
    assert connection.get_autocommit()
    assert not keeper.outputs
    assert not Content.objects.exists()
