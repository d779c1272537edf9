"""The shapes that a result can have, said by an author or found."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest

from compute.shapes import SVG, File, Picture, Series, Shape, Table, Value, shape_of
from compute.values import NotKeptError
from tests.frames import Array, Pandas, Polars

PNG = b"\x89PNG\r\n\x1a\n0123"
JPEG = b"\xff\xd8\xff\xe0"
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 "


# --- pictures and files -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture", "media_type", "name"),
    [
        (Picture(PNG), "image/png", "picture.png"),
        (Picture(JPEG, "image/png"), "image/jpeg", "picture.jpg"),
        (Picture(WEBP), "image/webp", "picture.webp"),
        (Picture(b'<?xml version="1.0"?><svg/>', SVG), SVG, "picture.svg"),
    ],
)
def test_a_picture_is_what_its_bytes_say(picture: Picture, media_type: str, name: str) -> None:
    assert (picture.media_type, picture.name) == (media_type, name)
    assert b"".join(picture.pieces()) == picture.data


@pytest.mark.parametrize(
    ("data", "media_type"), [(b"GIF89a", "image/gif"), (b"<svg/>", "image/png"), (b"<p>", SVG)]
)
def test_what_is_no_picture_is_refused(data: bytes, media_type: str) -> None:
    with pytest.raises(NotKeptError, match="is no PNG, JPEG or WebP"):
        Picture(data, media_type)


def test_a_file_is_made_of(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"abc")

    class Downloaded:
        def read(self, size: int) -> bytes:
            return pieces.pop(0)

    pieces = [b"abc", b""]
    given = [b"abc", bytearray(b"abc"), [b"a", memoryview(b"bc")], io.BytesIO(b"abc")]
    for data in (*given, str(path), path, path.open("rb"), Downloaded()):
        assert b"".join(File(data).pieces()) == b"abc"  # type: ignore[arg-type]


def test_what_is_no_bytes_is_refused() -> None:
    with pytest.raises(NotKeptError, match=r"the file is given a str; give bytes \(.encode\(\)\)"):
        list(File(["a"]).pieces())  # type: ignore[list-item]


# --- found ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (5, Value),
        ("text", Value),
        (None, Value),
        ([], Value),
        ({}, Value),
        ([1, 2], Value),
        ([1, 2, 3], Series),
        ((1, 2.5, 10**30), Series),
        ([1, 2, 10**400], Series),
        ([1, 2, math.nan], Value),
        ([1, 2, True], Value),
        ([1, 2, "3"], Value),
        (Array([1.0, 2.0, 3.0]), Series),
        (Array([1.0, 2.0]), Value),
        (Array([1.0, 2.0, 3.0], "M"), Value),
        (Array([[1, 2], [3, 4]]), Table),
        ([{"a": 1}], Table),
        ([{"a": 1}, {"a": 2}], Table),
        ([{"a": 1}, {"b": 2}], Value),
        ([{"a": 1}, 5], Value),
        ([{}], Value),
        ([{1: 1}], Value),
        ([[1, 2]], Value),
        ([[1, 2], [3, 4]], Table),
        ([(1, 2), [3, 4]], Table),
        ([[1, 2], [3]], Value),
        ([[], []], Value),
        ([[1], 2], Value),
        ({"a": [1, 2], "b": [3, 4]}, Table),
        ({"a": Array([1, 2]), "b": [3, 4]}, Table),
        ({"a": [1, 2], "b": [3]}, Value),
        ({"a": [1]}, Value),
        ({1: [1, 2]}, Value),
        ({"a": 1}, Value),
        (Pandas(["a"], [(1,)]), Table),
        (Polars(["a"], [(1,)]), Table),
        (PNG, Picture),
        (bytearray(JPEG), Picture),
        (b"abc", File),
        (Series([1]), Series),
        ((each for each in [1, 2, 3]), Value),
    ],
)
def test_the_shape_is_found(result: Any, kind: type) -> None:
    assert type(shape_of(result)) is kind


def test_several_are_found_by_name() -> None:
    found = shape_of({"a": Table([[1]]), "b": PNG, "c": "text", 4: [1, 2, 3]})
    assert isinstance(found, dict)
    assert {name: type(each) for name, each in found.items()} == {
        "a": Table,
        "b": Picture,
        "c": Value,
        "4": Series,
    }


def test_more_than_twenty_are_one_value() -> None:
    assert isinstance(shape_of({str(number): b"" for number in range(21)}), Value)


def test_a_list_of_numbers_is_json_again_as_a_list() -> None:
    found = shape_of([1, 2, 3])
    assert isinstance(found, Series)
    assert found.form == "numbers"


def test_each_class_is_a_shape() -> None:
    assert all(isinstance(each, Shape) for each in (Table([]), Series([]), Picture(PNG), File(b"")))
