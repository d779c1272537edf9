"""What a run came to, apart from its row: read in pieces, and a table by its rows."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from compute.models import Output
from compute.models.keeping import Keeper, held
from compute.models.output import bytes_in_words, lines_of
from compute.queue.contents import Content
from compute.shapes import File, Picture, Series, Shape, Table, Value
from tests.conftest import started

ROWS = [[number, "é" * (number % 7), 10**30 + number] for number in range(2_500)]


def written(shape: Shape | Value, name: str = "") -> Output:
    run = started("/sum-start/", n=10)
    keeper = Keeper(run)
    keeper.keep({name: shape})
    (output,) = keeper.outputs
    output.save()
    return Output.objects.get()


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, None),
        (0, 10),
        (999, 1_001),
        (1_000, 1_000),
        (2_000, 2_001),
        (2_499, None),
        (2_499, 9_999),
        (2_500, None),
        (-1, 5),
    ],
)
def test_rows_are_read_from_any_place(db: None, start: int, stop: int | None) -> None:
    output = written(Table(ROWS, ["n", "text", "long"]))
    assert (output.rows, len(output.marks)) == (2_500, 3)
    expected = ROWS[start:stop] if start >= 0 else []
    assert list(output.read_rows(start, stop)) == expected


def test_a_mark_is_where_a_row_begins(db: None) -> None:
    output = written(Table(ROWS))
    whole = b"".join(output.read())
    for number, mark in enumerate(output.marks):
        assert whole[mark:].startswith(f"[{number * 1_000},".encode())


def test_no_rows_are_none(db: None) -> None:
    output = written(Table([], ["a"]))
    assert (output.rows, output.marks, output.size) == (0, [], 0)
    assert list(output.read_rows()) == []
    assert b"".join(output.read()) == b""


def test_what_is_no_table_has_no_rows(db: None) -> None:
    assert list(written(File(b"a\nb\n")).read_rows()) == []


def test_its_bytes_and_their_digest_are_the_contents(db: None) -> None:
    output = written(File([b"abc", b"def"]))
    content = Content.objects.get()
    assert (output.content, output.size, content.holder) == (content, 6, output.run.task_id)
    assert output.digest == content.digest == hashlib.sha256(b"abcdef").hexdigest()
    assert b"".join(output.read(1, 5)) == b"bcde"


def test_one_in_memory_is_read_as_well() -> None:
    (output,) = held([[1, 2], [3, 4]])
    assert list(output.read_rows(1)) == [[3, 4]]
    assert b"".join(output.read(0, 5)) == b"[1,2]"
    assert output.digest == hashlib.sha256(b"[1,2]\n[3,4]\n").hexdigest()


def test_it_goes_with_its_run(db: None) -> None:
    output = written(Value(5))
    output.run.delete()
    assert not Output.objects.exists()


@pytest.mark.parametrize(
    ("shape", "name", "text"),
    [
        (Table([[1, 2], [3, 4]]), "", "table, 2 rows × 2 columns"),
        (Table([[1]]), "prices", "prices, 1 row × 1 column"),
        (Series([1, 2, 3]), "", "series, 3 rows"),
        (Series([1]), "", "series, 1 row"),
        (Picture(b"\xff\xd8\xff"), "", "picture, 3 bytes"),
        (File(b"x" * 2_500, "data.bin"), "", "data.bin, 2.4 KB"),
        (File(b"x"), "dump", "dump, 1 byte"),
        (Value("text"), "", "text, 4 bytes"),
    ],
)
def test_what_it_is_in_short(db: None, shape: Any, name: str, text: str) -> None:
    assert str(written(shape, name)) == text


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1_023, "1023 bytes"),
        (5 * 10**7, "47.7 MB"),
        (2**31, "2.0 GB"),
    ],
)
def test_bytes_in_words(size: int, words: str) -> None:
    assert bytes_in_words(size) == words


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_come_whole_from_pieces_of_any_length(size: int) -> None:
    text = b"ab\n\ncde\nf"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert list(lines_of(pieces)) == [b"ab", b"", b"cde", b"f"]
    assert list(lines_of([])) == []
