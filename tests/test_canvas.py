"""Pictures of indexed colours, laid upon each other."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.canvas import ABSENT, Canvas, gradient, laid

PALETTE = bytes(range(256)) * 3


def read(data: bytes) -> list[bytes]:
    """The lines of a PNG whose every block is as it has to be."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    blocks: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        blocks[kind] = data[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert check == zlib.crc32(kind + blocks[kind])
        at += 12 + length
    assert list(blocks) == [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">2I5B", blocks[b"IHDR"])
    assert (height, rest) == (width, [8, 3, 0, 0, 0])
    assert blocks[b"PLTE"] == PALETTE
    assert blocks[b"tRNS"] == b"\xff" * 255 + b"\0"
    raw = zlib.decompress(blocks[b"IDAT"])
    lines = [raw[at : at + width + 1] for at in range(0, len(raw), width + 1)]
    assert len(lines) == height
    assert {line[0] for line in lines} == {0}
    return [line[1:] for line in lines]


def test_nothing_is_there_until_it_is_drawn() -> None:
    canvas = Canvas(3)
    assert read(canvas.png(PALETTE)) == [bytes([ABSENT] * 3)] * 3
    canvas.draw(1, 2, bytes([7, 8]))
    canvas.draw(0, 0, bytes([0]))
    assert read(canvas.png(PALETTE)) == [
        bytes([0, 255, 255]),
        bytes([255, 255, 255]),
        bytes([255, 7, 8]),
    ]


@given(side=st.integers(1, 40), pixels=st.data())
def test_layers_make_one_picture_whatever_is_on_which(side: int, pixels: st.DataObject) -> None:
    whole = [pixels.draw(st.binary(min_size=side, max_size=side)) for _ in range(side)]
    layers = [Canvas(side) for _ in range(3)]
    for top, line in enumerate(whole):
        for left in range(side):
            layers[(top + left) % 3].draw(left, top, line[left : left + 1])
    assert read(laid((layer.png(PALETTE) for layer in layers), PALETTE)) == whole
    assert read(laid([layers[0].png(PALETTE)], PALETTE))


def test_a_layer_with_little_on_it_is_small() -> None:
    assert len(Canvas(1024).png(PALETTE)) < 5_000


@pytest.mark.parametrize(
    ("count", "colours"),
    [(2, [0, 0, 0, 100, 10, 0]), (4, [0, 0, 0, 50, 5, 0, 100, 10, 0, 50, 5, 100])],
)
def test_a_gradient_goes_from_stop_to_stop(count: int, colours: list[int]) -> None:
    stops = ((0.0, (0, 0, 0)), (0.5, (100, 10, 0)), (1.0, (0, 0, 200)))
    assert list(gradient(stops, count)) == colours
