"""What is made once into a file, and read from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import pytest
from pytest_django import Settings

from compute.models import Output
from compute.web import spooled as module
from compute.web.pacing import LateError
from compute.web.spooled import READ_BYTES, Spooled, TooLongError, spooled, the_last
from tests.web.test_formats import output_of

DATA = bytes(range(256)) * 3_000


def pieces() -> Iterator[bytes]:
    for at in range(0, len(DATA), 100_000):
        yield DATA[at : at + 100_000]


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, None), (0, len(DATA)), (1, 2), (READ_BYTES - 1, READ_BYTES + 1), (700_000, 10**9), (5, 5)],
)
def test_any_range_is_read(start: int, stop: int | None) -> None:
    found = Spooled(pieces())
    assert found.size == len(DATA)
    assert b"".join(found.read(start, stop)) == DATA[start:stop]


def test_the_last_one_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(output: Output) -> Iterator[bytes]:
        made.append(output.columns[0])
        yield output.columns[0].encode()

    monkeypatch.setattr(module, "_last", None)
    first, second = (output_of([{name: 1}]) for name in "ab")
    kept = spooled(first, "csv", make)
    assert spooled(first, "csv", make) is kept
    reading = kept.read()
    assert b"".join(spooled(second, "csv", make).read()) == b"b", "of the same bytes"
    assert b"".join(reading) == b"a", "one that is being read stays until its end"
    spooled(first, "csv", make)
    spooled(first, "parquet", make)
    assert made == ["a", "b", "a", "a"]


def test_it_must_not_take_too_long(settings: Settings) -> None:
    settings.WEB_TIMEOUT = 1e-9
    with pytest.raises(LateError):
        Spooled(pieces())


def test_it_may_be_no_longer_than_it_is_said() -> None:
    assert Spooled(pieces(), most=len(DATA)).size == len(DATA)
    with pytest.raises(TooLongError):
        Spooled(pieces(), most=len(DATA) - 1)


def test_its_digest_is_that_of_its_bytes() -> None:
    first, second = Spooled(pieces()), Spooled([DATA])
    assert first.digest == second.digest == sha256(DATA).hexdigest()


def test_one_of_another_key_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_last", None)
    kept = the_last(("a",), pieces)
    assert the_last(("a",), pieces) is kept
    assert the_last(("b",), pieces) is not kept
    with pytest.raises(TooLongError):
        the_last(("a",), pieces, most=1)
    assert the_last(("a",), pieces, most=len(DATA)).size == len(DATA)
