"""What is made of an output's lines: as long as it says, and any range as if all had been made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compute.models import Output
from compute.models.output import MARKED_ROWS
from compute.shapes import Table
from compute.web import recast
from compute.web.made import Made, digits, whole_lines
from tests.web.test_formats import output_of

ROWS = 2 * MARKED_ROWS + 3


@pytest.fixture
def pieces_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From where an output is read, each in pieces of 1,000 bytes."""

    def read(self: Output, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        read_from.append(start)
        held = self.held or b""
        stop = len(held) if stop is None else stop
        for at in range(start, stop, 1_000):
            yield held[at : min(stop, at + 1_000)]

    read_from: list[int] = []
    monkeypatch.setattr(Output, "read", read)
    return read_from


def table(rows: int = ROWS) -> Output:
    return output_of(Table([[number, "ü," * (number % 9)] for number in range(rows)], ["n", "t"]))


def doubled(lines: bytes) -> bytes:
    return lines.replace(b"\n", b"  \n")


@pytest.mark.parametrize("as_list", [False, True])
def test_any_range_is_as_of_the_whole(pieces_read: list[int], as_list: bool) -> None:
    make = recast.listed if as_list else doubled
    growth = (lambda rows: 0) if as_list else (lambda rows: 2 * rows)
    body = Made(table(), make, growth, as_list)
    whole = b"".join(body.read())
    assert len(whole) == body.size
    ends = (0, 1, 2, 1_000, 20_000, body.size - 2, body.size - 1, body.size)
    for start in ends:
        for stop in (*ends, body.size + 5):
            assert b"".join(body.read(start, stop)) == whole[start:stop], (start, stop)


def test_no_rows_are_an_empty_list() -> None:
    body = Made(table(0), recast.listed, lambda rows: 0, as_list=True)
    assert (b"".join(body.read()), body.size) == (b"[]", 2)


def test_a_range_is_read_from_the_last_mark_before_it(pieces_read: list[int]) -> None:
    output = table()
    body = Made(output, recast.listed, lambda rows: 0, as_list=True)
    for mark in output.marks:
        b"".join(body.read(mark + 5, mark + 6))
    assert pieces_read == output.marks
    assert len(output.marks) == 3


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 99, 100, 101, 12_345])
def test_digits_are_counted(count: int) -> None:
    assert digits(count) == len("".join(map(str, range(count))))


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([], []),
        ([b"a\n"], [b"a\n"]),
        ([b"a\nb\nc", b"d", b"", b"e\n", b"f\n"], [b"a\nb\n", b"cde\n", b"f\n"]),
        ([b"a", b"\n"], [b"a\n"]),
    ],
)
def test_lines_are_whole(pieces: list[bytes], lines: list[bytes]) -> None:
    assert list(whole_lines(pieces)) == lines
