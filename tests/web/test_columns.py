"""The JSON of columns, whatever the pieces in which it is read."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from compute.models import Output
from compute.shapes import Table
from compute.web.columns import json_of_columns
from tests.web.test_formats import output_of

COLUMNS = {
    "n": list(range(300)),
    'say "ü"': [f"{number}, \\" * (number % 5) for number in range(300)],
    "none": [None] * 300,
}


@pytest.mark.parametrize("size", [1_000, 10**6])
def test_columns_are_lists(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    def read(self: Output, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        held = self.held or b""
        for at in range(start, len(held), size):
            yield held[at : at + size]

    monkeypatch.setattr(Output, "read", read)
    assert json.loads(b"".join(json_of_columns(output_of(COLUMNS)))) == COLUMNS


@pytest.mark.parametrize(
    ("columns", "text"),
    [({"a": [], "b": []}, b'{"a":[],"b":[]}'), ({}, b"{}"), ({"a": [1]}, b'{"a":[1]}')],
)
def test_few_are_lists_all_the_same(columns: dict[str, list[int]], text: bytes) -> None:
    assert b"".join(json_of_columns(output_of(Table(columns)))) == text
