"""Results of every shape at once, large ones too, of which all is known beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from random import Random
from typing import Any

from django import forms

from compute import chunking
from compute.canvas import Canvas
from compute.computation import Computation
from compute.fields import WholeNumberField
from compute.shapes import File, Picture, Series, Table

COLUMNS = ["number", "large", "text", "formula", "nothing", "half"]
#: Bytes of the file for each row.
PIECE = 1_000


class ShapesForm(forms.Form):
    n = WholeNumberField("Give n in plain digits.", label="n")


def row(number: int) -> list[Any]:
    text = f'"{number}", und ein Umlaut: ü; ' * 2
    return [number, 10**40 + number, text, f"=1+{number}", None, number / 2]


def rows(first: int, last: int) -> list[list[Any]]:
    return [row(number) for number in range(first, last + 1)]


def piece(number: int) -> bytes:
    return Random(number).randbytes(PIECE)  # noqa: S311 - no secret


def picture() -> bytes:
    canvas = Canvas(64)
    for line in range(64):
        canvas.draw(0, line, bytes(range(64)))
    return canvas.png(bytes(range(256)) * 3)


def together(results: Iterable[list[list[Any]]]) -> dict[str, Any]:
    numbers: list[int] = []

    def all_rows() -> Iterator[list[Any]]:
        for each in chain.from_iterable(results):
            numbers.append(each[0])
            yield each

    # In this order they are written: the numbers are there when it is the series' turn.
    return {
        "table": Table(all_rows(), COLUMNS),
        "series": Series(number / 2 for number in later(numbers)),
        "file": File(map(piece, later(numbers)), "pieces.bin"),
        "picture": Picture(picture(), alt="Stripes"),
        "count": Table([["rows", 10**40]], ["what", "large"]),
    }


def later(numbers: list[int]) -> Iterator[int]:
    """What is in the list once somebody asks."""
    yield from numbers


SHAPES = Computation(
    name="shapes",
    line="Comes to a table, a series, a file and a picture.",
    title=lambda n: f"shapes 1–{n:,}",
    form=ShapesForm,
    function=rows,
    length=lambda n: n,
    cut=lambda chunk_size, n: chunking.ranges(n, chunk_size),
    combine=together,
    partial=True,
)
