"""Square pictures of indexed colours, as PNG, laid upon each other. Pure: no Django in here.

Each pixel is a place in a palette of 256 colours, of which one looks through the last: where a
layer has that, another may have drawn. Standard library only, and quick enough for a megapixel.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from struct import pack, unpack

#: The place of what is not drawn: all bits set, so that "and" of two layers is what either has.
ABSENT = 255
BEGINNING = b"\x89PNG\r\n\x1a\n"
#: Bytes behind the data: their check, and the block that ends a PNG.
END = 4 + 12


class Canvas:
    """A picture of `side` × `side` pixels, all absent until they are drawn."""

    def __init__(self, side: int) -> None:
        self.side = side
        # As a PNG has it: each line behind a byte that says that it is written plainly.
        self.lines = bytearray((b"\0" + bytes([ABSENT]) * side) * side)

    def draw(self, left: int, top: int, places: bytes) -> None:
        """Draw a part of a line, from `left` on, with a place in the palette for each pixel."""
        start = top * (self.side + 1) + 1 + left
        self.lines[start : start + len(places)] = places

    def png(self, palette: bytes) -> bytes:
        """`palette`: red, green and blue of each place, 768 bytes."""
        return written(self.side, bytes(self.lines), palette)


def laid(layers: Iterable[bytes], palette: bytes) -> bytes:
    """One PNG of several of the same size that `Canvas.png` has made: one at least, of which no two
    have drawn the same pixel."""
    side, canvas, size = 0, 0, 0
    for layer in layers:
        (side,) = unpack(">I", layer[16:20])
        lines = zlib.decompress(layer[layer.index(b"IDAT") + 4 : -END])
        drawn = int.from_bytes(lines, "big")
        canvas, size = (canvas & drawn if size else drawn), len(lines)
    return written(side, canvas.to_bytes(size, "big"), palette)


def written(side: int, lines: bytes, palette: bytes) -> bytes:
    blocks = (
        (b"IHDR", pack(">2I5B", side, side, 8, 3, 0, 0, 0)),
        (b"PLTE", palette),
        (b"tRNS", b"\xff" * ABSENT + b"\0"),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    )
    return BEGINNING + b"".join(
        pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))
        for kind, data in blocks
    )


def gradient(stops: Sequence[tuple[float, tuple[int, int, int]]], count: int) -> bytes:
    """So many colours, three bytes each, between those that stand at a part of the way: the first
    at 0, the last at 1, which is not reached."""
    found = bytearray()
    for place in range(count):
        way = place / count
        number = next(number for number, (at, _) in enumerate(stops) if at > way)
        (start, before), (end, after) = stops[number - 1 : number + 1]
        part = (way - start) / (end - start)
        found += bytes(round(a + (b - a) * part) for a, b in zip(before, after, strict=True))
    return bytes(found)
