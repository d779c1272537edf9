"""The rows of a table, kept as lines of JSON, as lines of another format: bytes in, bytes out.

No cell becomes an object of Python's, so all is exact, and many times as quick. Lines come as
`writing` has written them: each a list of cells without blanks, in UTF-8, with its line's end.
What is made of some is the same wherever they are cut. Pure: no Django.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

ENCODER = msgspec.json.Encoder()
#: Bytes that UTF-8 has not stand for an escaped quotation mark and an escaped backslash: so each
#: quotation mark that is left begins or ends a text.
QUOTE, BACKSLASH = b"\xfe", b"\xff"
#: The characters that a backslash and a letter stand for.
ESCAPES = {b"\\n": b"\n", b"\\r": b"\r", b"\\t": b"\t", b"\\b": b"\b", b"\\f": b"\f"}
ESCAPED = re.compile(rb"\\u([0-9a-fA-F]{4})")
#: A number as JSON or we write it: in a spreadsheet it is one, however it begins.
NUMBER = r"[+-]?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|Infinity)"
#: Beginnings that make a formula of a text in a spreadsheet, their full-width forms too.
FORMULA = "=+-@\t\r\n＝＋－＠"
#: The quotation mark before a text that a spreadsheet would compute, as JSON has it.
COMPUTED = re.compile(
    rb'"(?=[=+\-@]|\\[trn]|\xef\xbc[\x9d\x8b\x8d\xa0])(?!%b")' % NUMBER.encode(), re.ASCII
)
#: Words for what is no number of JSON's.
WORDS = (b"NaN", b"Infinity", b"-Infinity")

Lines = Callable[[bytes], bytes]


# --- JSON -------------------------------------------------------------------------------


def records(names: Sequence[str]) -> Lines:
    """Makes lists of cells objects with these names."""
    fields = fields_of(len(names))
    try:
        record: Any = struct(fields, rename=dict(zip(fields, names, strict=True)))
    except ValueError:  # of a name that JSON writes otherwise

        def record(*cells: Any) -> Any:
            return dict(zip(names, cells, strict=True))

    cells = msgspec.structs.astuple
    return lambda lines: written([record(*cells(row)) for row in rows(lines, len(names))])


def numbers(lines: bytes) -> bytes:
    """The second cell of each row, of two."""
    return written([row.cell1 for row in rows(lines, 2)])


def columns(lines: bytes, width: int) -> list[bytes]:
    """The cells of each column, with commas between them."""
    found = rows(lines, width)
    return [ENCODER.encode(list(map(attrgetter(field), found)))[1:-1] for field in fields_of(width)]


def rows(lines: bytes, width: int) -> list[Any]:
    """Each a struct of its cells, of which none is read."""
    return decoder(width).decode_lines(lines)


@lru_cache(100)
def decoder(width: int) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(struct(fields_of(width), array_like=True))


def fields_of(width: int) -> list[str]:
    return [f"cell{place}" for place in range(width)]


def struct(fields: list[str], **options: Any) -> type[msgspec.Struct]:
    """Without a part in the collection of garbage, which would look at each again and again."""
    return msgspec.defstruct("Row", [(name, msgspec.Raw) for name in fields], gc=False, **options)


def written(items: list[Any]) -> bytes:
    return ENCODER.encode_lines(items)


def listed(lines: bytes) -> bytes:
    """Lines as items of a JSON list, each with a comma behind it. (In a text no line ends.)"""
    return lines.replace(b"\n", b",")


# --- CSV --------------------------------------------------------------------------------


def csv(lines: bytes, width: int) -> bytes:
    """As RFC 4180 has it: texts in quotation marks, an empty one too, and nothing where nothing is.

    A list or dict is a text, its JSON. An apostrophe goes before what a spreadsheet would compute.
    """
    made = lines
    if b"\\" in made:
        made = made.replace(b"\\\\", BACKSLASH).replace(b'\\"', QUOTE)
    if has_more_brackets(made) and has_more_brackets(b"".join(made.split(b'"')[::2])):
        return csv(flat(lines, width), width)
    made = made[1:-2].replace(b"]\n[", b"\r\n")
    if b"null" in made:
        # A line without anything would be taken for no row.
        made = without_null(made, b"" if width > 1 else QUOTE)
    made = COMPUTED.sub(b"\"'", made)
    if b'NaN"' in made or b'Infinity"' in made:
        for word in WORDS:
            made = made.replace(b'"%b"' % word, word)
    if b"\\" in made:
        for escape, meant in ESCAPES.items():
            made = made.replace(escape, meant)
        made = ESCAPED.sub(lambda found: chr(int(found[1], 16)).encode(), made)
    return made.replace(BACKSLASH, b"\\").replace(QUOTE, b'""') + b"\r\n"


def has_more_brackets(lines: bytes) -> bool:
    """Whether there is one that does not begin a line: in a text, or for a list or dict."""
    return b"{" in lines or lines.count(b"[") != lines.count(b"\n")


def without_null(made: bytes, nothing: bytes) -> bytes:
    """The same with nothing where there is null, but for that in texts."""
    parts = made.split(b'"')
    parts[::2] = b'"'.join(parts[::2]).replace(b"null", nothing).split(b'"')
    return b'"'.join(parts)


def flat(lines: bytes, width: int) -> bytes:
    """The same lines, in which each list or dict is a text: its JSON."""
    cells = msgspec.structs.astuple
    return b"".join(
        [b"[%b]\n" % b",".join(map(flat_cell, cells(row))) for row in rows(lines, width)]
    )


def flat_cell(cell: msgspec.Raw) -> bytes:
    data = bytes(cell)
    return ENCODER.encode(data.decode()) if data[0] in b"[{" else data


# --- a text -----------------------------------------------------------------------------

#: Bytes that JSON writes otherwise in a text; UTF-8 has none of them for anything else.
IN_TEXT = {b"\\": b"\\\\", b'"': b'\\"', **{meant: escape for escape, meant in ESCAPES.items()}}
CONTROL = re.compile(rb"[\x00-\x1f]")


def in_json(text: bytes) -> bytes:
    """A part of a text, cut anywhere, as it is written in JSON."""
    for plain, meant in IN_TEXT.items():
        text = text.replace(plain, meant)
    return CONTROL.sub(lambda found: b"\\u%04x" % found[0][0], text)
