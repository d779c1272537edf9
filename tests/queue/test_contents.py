"""Contents: written in parts, read from anywhere, there when they are complete, and gone whole."""

from __future__ import annotations

import hashlib
import io
import pickle
import threading
from contextlib import suppress
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from compute.queue import contents, room
from compute.queue.contents import Content, Part, Reader, Writer, remove
from compute.queue.engines import engine
from compute.queue.room import FullError, TooLargeError
from tests.queue.conftest import failing

#: Three parts and a half.
TEXT = bytes(range(35))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "PART_BYTES", 10)


def kept(data: bytes = TEXT, holder: str = "holder") -> Content:
    with Writer(holder) as writer:
        writer.write(data)
        return writer.done()


def parts() -> list[bytes]:
    return [bytes(part.data) for part in Part.objects.order_by("content", "number")]


# --- written ------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[35], [1] * 35, [10, 10, 10, 5], [9, 20, 6], [0, 35, 0]])
def test_it_is_written_in_parts_however_it_comes(db: None, sizes: list[int]) -> None:
    left = TEXT
    with Writer("holder") as writer:
        for size in sizes:
            assert writer.write(left[:size]) == size
            left = left[size:]
        content = writer.done()
    assert parts() == [TEXT[:10], TEXT[10:20], TEXT[20:30], TEXT[30:]]
    row = Content.objects.get()
    assert (row.pk, row.holder, row.size) == (content.pk, "holder", 35)
    assert row.digest == content.digest == hashlib.sha256(TEXT).hexdigest()
    assert str(row) == "35 bytes of holder"
    assert str(Part.objects.order_by("number")[0]) == f"part 1 of {row.pk}"


@pytest.mark.parametrize("size", [0, 10, 20])
def test_no_part_is_empty(db: None, size: int) -> None:
    content = kept(TEXT[:size])
    assert parts() == [TEXT[at : at + 10] for at in range(0, size, 10)]
    assert b"".join(content.read()) == TEXT[:size]


@pytest.mark.parametrize("data", [bytearray(TEXT), memoryview(TEXT), memoryview(TEXT).cast("b")])
def test_it_takes_any_bytes(db: None, data: Any) -> None:
    assert b"".join(kept(data).read()) == TEXT


def test_a_part_is_written_as_soon_as_it_is_full(db: None) -> None:
    writer = Writer("holder")
    writer.write(TEXT[:25])
    assert parts() == [TEXT[:10], TEXT[10:20]]
    row = Content.objects.get()
    assert (row.size, row.digest) == (20, ""), "it is not complete"
    writer.discard()


def test_what_was_not_completed_is_discarded(db: None) -> None:
    writer = Writer("holder")
    with suppress(RuntimeError), writer:
        writer.write(TEXT)
        raise RuntimeError
    assert writer.closed
    assert not Content.objects.exists()
    assert not Part.objects.exists()


def test_more_than_the_limit_is_refused(db: None) -> None:
    writer = Writer("holder", limit=34)
    writer.write(TEXT[:34])
    with pytest.raises(TooLargeError, match=r"over 34 bytes, and MAX_RESULT_MB \(100\) allows no"):
        writer.write(TEXT[34:])
    writer.discard()
    assert not Part.objects.exists()


def test_the_limit_is_that_of_a_result(db: None, settings: Any) -> None:
    settings.MAX_RESULT_MB = 1
    assert Writer("holder").limit == room.most_bytes() == 2**20 + 2**16


def test_nothing_is_written_into_a_full_database(
    db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "used", lambda: 1.0)
    with pytest.raises(FullError, match="make room, and retry"), Writer("holder") as writer:
        writer.write(TEXT)
    assert not Content.objects.exists()


def test_one_that_has_begun_is_written_to_its_end(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer("holder")
    writer.write(TEXT[:10])
    monkeypatch.setattr(room, "used", lambda: 1.0)
    writer.write(TEXT[10:])
    assert b"".join(writer.done().read()) == TEXT


def test_a_part_of_which_no_answer_came_is_there_once(
    transactional_db: None, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = contents.write
    lost: list[int] = []

    def losing(content: Content, number: int, data: bytes) -> None:
        written(content, number, data)
        if number not in lost:
            lost.append(number)
            raise OperationalError("the answer is lost")

    monkeypatch.setattr(contents, "write", losing)
    content = kept()
    assert lost == [0, 1, 2, 3]
    assert len(pauses) == 4
    assert parts() == [TEXT[:10], TEXT[10:20], TEXT[20:30], TEXT[30:]]
    assert Content.objects.get().digest == content.digest


def test_a_database_that_is_away_is_waited_for(
    transactional_db: None, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "write", failing(2, contents.write))
    content = kept()
    monkeypatch.setattr(engine(), "read_part", failing(1, engine().read_part))
    assert b"".join(content.read()) == TEXT
    assert len(pauses) == 3


def test_it_is_a_part_of_the_callers_transaction(transactional_db: None) -> None:
    with suppress(RuntimeError), transaction.atomic():
        kept()
        raise RuntimeError
    assert not Content.objects.exists()
    assert not Part.objects.exists()
    with transaction.atomic():
        content = kept()
    assert b"".join(content.read()) == TEXT


def test_what_is_removed_meanwhile_is_not_written_on(db: None) -> None:
    writer = Writer("holder")
    writer.write(TEXT[:20])
    remove([writer.content.pk])
    with pytest.raises(LookupError, match="removed meanwhile"):
        writer.write(TEXT[20:])
    assert not Part.objects.exists()


def test_what_is_given_up_is_not_completed(db: None) -> None:
    writer = Writer("holder")
    writer.write(TEXT[:20])
    assert Content.objects.give_up() == 1
    assert Content.objects.give_up() == 0, "each once"
    with pytest.raises(LookupError):
        writer.done()
    assert Content.objects.get().digest == ""


# --- read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, None), (0, 35), (7, 12), (10, 20), (29, 31), (34, 99), (35, None), (5, 5), (20, 3)],
)
def test_any_piece_of_it_can_be_read(db: None, start: int, stop: int | None) -> None:
    pieces = list(kept().read(start, stop))
    assert b"".join(pieces) == TEXT[start:stop]
    assert all(0 < len(piece) <= 10 for piece in pieces)


def test_one_that_is_removed_while_it_is_read_says_so(db: None) -> None:
    content = kept()
    pieces = content.read()
    assert next(pieces) == TEXT[:10]
    remove([content.pk])
    with pytest.raises(LookupError, match="part 2 of a result has been removed"):
        next(pieces)


def test_between_two_pieces_nothing_is_held(transactional_db: None) -> None:
    pieces = kept().read()
    next(pieces)
    assert not connection.in_atomic_block
    connection.close()
    assert next(pieces) == TEXT[10:20]


def test_a_part_is_found_by_an_index(db: None) -> None:
    content = kept()
    with CaptureQueriesContext(connection) as queries:
        content.part(2)
    (query,) = queries.captured_queries
    assert "ORDER BY" not in query["sql"]


def test_it_is_a_file(db: None) -> None:
    file = Reader(kept())
    assert file.readable()
    assert file.seekable()
    assert not file.writable()
    assert file.read(4) == TEXT[:4]
    assert file.tell() == 4
    assert file.seek(2, io.SEEK_CUR) == 6
    assert file.read(10) == TEXT[6:10], "a part at a time, as a raw file may"
    assert file.seek(-5, io.SEEK_END) == 30
    assert file.read() == TEXT[30:]
    assert file.read(1) == b""
    assert file.seek(100) == 100
    assert file.read(1) == b""
    with pytest.raises(ValueError, match="before the beginning"):
        file.seek(-1)


def test_it_can_be_read_through_a_buffer(db: None) -> None:
    with io.BufferedReader(Reader(kept()), 7) as file:
        assert file.read(17) == TEXT[:17]
        file.seek(31)
        assert file.read() == TEXT[31:]
        file.seek(0)
        assert file.read() == TEXT
    assert file.closed


def test_a_part_is_asked_for_once(db: None) -> None:
    file = Reader(kept())
    with CaptureQueriesContext(connection) as queries:
        assert [file.read(1)[0] for _ in range(20)] == list(range(20))
    assert len(queries) == 2


def test_a_pickle_goes_in_and_comes_out_as_a_stream(db: None) -> None:
    value = {"numbers": list(range(100)), "bytes": b"x" * 100_000}
    assert Writer("holder").writable()
    with Writer("holder") as writer:
        pickle.Pickler(writer).dump(value)
        content = writer.done()
    assert pickle.load(io.BufferedReader(Reader(content))) == value


# --- removed ------------------------------------------------------------------------------


def test_it_goes_whole_and_nothing_else_does(db: None) -> None:
    lost, stays = kept(), kept(b"stays")
    remove([lost.pk, "unknown"])
    remove([])
    assert Content.objects.get() == stays
    assert parts() == [b"stays"]


def test_it_goes_in_short_steps(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "STEP_PARTS", 2)
    content = kept(bytes(45))
    left = []
    assert Content.objects.give_up() == 1
    for _ in contents.removing([content.pk]):
        assert not connection.in_atomic_block
        left.append(Part.objects.count())
    assert left == [3, 1, 0]
    assert not Content.objects.exists()


def test_no_part_stays_of_one_that_is_written_while_it_is_removed(transactional_db: None) -> None:
    """The writer in a process of its own, as it were: on another connection."""
    writer = Writer("holder")
    writer.write(TEXT[:20])
    outcomes: list[str] = []

    def write_on() -> None:
        try:
            for _ in range(1000):
                writer.write(bytes(10))
        except LookupError as error:
            outcomes.append(str(error))
        finally:
            connection.close()

    thread = threading.Thread(target=write_on)
    thread.start()
    remove([writer.content.pk])
    thread.join(60)
    assert outcomes == ["what is written has been removed meanwhile"]
    assert not Content.objects.exists()
    assert not Part.objects.exists()


def test_there_is_one_part_at_a_place(db: None) -> None:
    content = kept()
    with pytest.raises(IntegrityError), transaction.atomic():
        Part.objects.create(content=content.pk, number=0, data=b"another")
