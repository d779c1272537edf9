"""A result too large for its rows: its pickle put aside, kept as a content, and referred to."""

from __future__ import annotations

import datetime
import io
import pickle
from base64 import b64encode
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from picklefield.fields import dbsafe_decode, dbsafe_encode

from compute.queue import large, room
from compute.queue.contents import Content, Part, remove
from compute.queue.large import (
    REFERENCE_CHARS,
    SHORT_BYTES,
    SHORT_CHARS,
    Reference,
    plain,
    put_aside,
    reference_in,
    restored,
)
from compute.queue.room import FullError, TooLargeError
from tests.queue import functions

LARGE = bytes(range(256)) * 1000


def kept(result: Any) -> Reference:
    return put_aside(result).keep("holder")


# --- put aside ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result", [0, "é", [1, {"a": (2, None)}], b"x" * 40_000, int, functions.Box(1)], ids=type
)
def test_a_short_one_is_stored_as_it_always_was(result: Any) -> None:
    aside = put_aside(result)
    assert aside.is_short
    assert isinstance(aside.file, io.BytesIO)
    stored = dbsafe_encode(result, pickle_protocol=pickle.HIGHEST_PROTOCOL, copy=False)
    assert aside.short() == stored
    assert type(aside.short()) is type(stored)


def test_how_long_is_short() -> None:
    pickled = len(pickle.dumps(b"x" * 1000, protocol=pickle.HIGHEST_PROTOCOL))
    fits = SHORT_BYTES - (pickled - 1000) - 3  # a longer length takes more bytes
    for size, is_short in ((fits, True), (SHORT_BYTES, False)):
        aside = put_aside(b"x" * size)
        assert aside.is_short == is_short
        aside.close()
    assert len(put_aside(b"x" * fits).short()) <= SHORT_CHARS


@pytest.mark.parametrize(
    "result",
    [LARGE, bytearray(LARGE), LARGE.hex(), [*range(100_000)], pickle.PickleBuffer(LARGE)],
    ids=type,
)
def test_a_long_one_is_put_into_a_file(result: Any) -> None:
    aside = put_aside(result)
    assert not aside.is_short
    assert not isinstance(aside.file, io.BytesIO)
    assert aside.size == aside.file.seek(0, io.SEEK_END)
    made = aside.read()
    assert made == (LARGE if isinstance(result, pickle.PickleBuffer) else result)
    aside.close()


def test_plain_data_is_not_made_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(large.Aside, "read", lambda aside: made.append(aside.size))
    plain_data: list[Any] = [
        None,
        True,
        1.5,
        2**100,
        "a",
        b"b",
        bytearray(b"c"),
        {"d": ({1}, frozenset())},
    ]
    put_aside([plain_data, LARGE]).close()
    assert made == []
    for other in (functions.Box(LARGE), [LARGE, datetime.date(2026, 1, 1)], [LARGE, len], {1: 1j}):
        put_aside(other).close()
    assert len(made) == 4


@pytest.mark.parametrize("size", [10, 100_000])
def test_what_cannot_be_read_again_is_said_so(size: int) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        put_aside([bytes(size), functions.WriteOnly()])


def test_what_cannot_be_pickled_leaves_no_file_open() -> None:
    """An open one would warn, which is an error here."""
    with pytest.raises((AttributeError, pickle.PicklingError)):
        put_aside([LARGE, lambda: None])


def test_more_than_the_limit_is_refused_before_it_is_copied(settings: Any) -> None:
    settings.MAX_RESULT_MB = 0.1
    most = room.most_bytes()
    with pytest.raises(TooLargeError, match=f"over {most:,} bytes, and MAX_RESULT_MB"):
        put_aside([bytes(most)])
    put_aside(bytes(most - 100)).close()


# --- kept ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (LARGE, "bytes"),
        ([LARGE], "list"),
        (functions.Box(LARGE), "tests.queue.functions.Box"),
        (type("N" * 999, (str,), {"__reduce__": lambda self: (str, (str.__str__(self),))})
         (LARGE.hex()), f"{__name__}.{'N' * 999}"[:99] + "…"),
    ],
    ids=["bytes", "list", "class", "long name"],
)  # fmt: skip
def test_a_reference_is_the_result_when_it_is_read(db: None, result: Any, kind: str) -> None:
    reference = kept(result)
    assert (reference.kind, reference.size) == (kind, Content.objects.get().size)
    stored = reference.stored()
    assert len(stored) < REFERENCE_CHARS
    assert dbsafe_decode(stored) == result
    assert reference_in(stored) == reference


def test_it_is_kept_for_its_task_and_its_file_is_closed(db: None) -> None:
    aside = put_aside(LARGE)
    reference = aside.keep("task")
    row = Content.objects.get()
    assert (row.pk, row.holder) == (reference.content, "task")
    assert row.digest
    assert aside.file.closed
    assert str(reference) == f"bytes of {row.size:,} bytes"


def test_what_cannot_be_kept_leaves_nothing(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "used", lambda: 1.0)
    aside = put_aside(LARGE)
    with pytest.raises(FullError):
        aside.keep("task")
    assert aside.file.closed
    assert not Content.objects.exists()


def test_a_result_that_was_removed_says_so(db: None) -> None:
    reference = kept(LARGE)
    Content.objects.give_up()
    with pytest.raises(LookupError, match="the result has been removed"):
        dbsafe_decode(reference.stored())
    remove([reference.content])
    with pytest.raises(LookupError, match="the result has been removed"):
        restored(reference.content)


def test_a_reference_may_say_more_one_day(db: None) -> None:
    """So that this version reads what a later one has written."""
    assert restored(kept(LARGE).content, 1, "kind", "something", "new") == LARGE


def test_the_name_in_stored_references_stays() -> None:
    """Rows have it: it is not to be renamed, or moved, while there may be any."""
    assert b"compute.queue.large" in pickle.dumps(Reference("id", 1, "kind"))
    assert (restored.__module__, restored.__qualname__) == ("compute.queue.large", "restored")


# --- read without its content ----------------------------------------------------------------


def test_to_find_a_reference_reads_no_content(db: None) -> None:
    stored = kept(functions.Box(LARGE)).stored()
    functions.ran.clear()
    with CaptureQueriesContext(connection) as queries:
        assert reference_in(stored)
        assert isinstance(plain(stored), Reference)
    assert not queries.captured_queries
    assert functions.ran == []
    assert Part.objects.exists()


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "",
        "no pickle",
        dbsafe_encode([1, 2]),
        dbsafe_encode(functions.Box(1)),
        dbsafe_encode("x" * REFERENCE_CHARS),
        b64encode(pickle.dumps(Reference("i", 1, "k"))).decode() + " " * REFERENCE_CHARS,
    ],
)
def test_what_is_no_reference(stored: str | None) -> None:
    assert reference_in(stored) is None


def test_of_what_is_not_plain_nothing_is_made() -> None:
    functions.ran.clear()
    with pytest.raises(pickle.UnpicklingError, match=r"functions\.Box is no plain data"):
        plain(dbsafe_encode(functions.Box(1), copy=False))
    assert functions.ran == []
