"""Contents that come in pieces: exact however they are cut, and never two writers' at once."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import pytest
from django.db import connection

from compute.queue import contents
from compute.queue.appending import ConflictError, append, begun, complete
from compute.queue.contents import Content, Part, remove

#: Three parts and a half.
TEXT = bytes(range(35))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "PART_BYTES", 10)


def parts() -> list[bytes]:
    return [bytes(part.data) for part in Part.objects.order_by("content", "number")]


@pytest.mark.parametrize(
    "sizes", [[35], [1] * 35, [10, 10, 10, 5], [9, 20, 6], [0, 35, 0], [3, 3, 3, 3, 23], [11, 24]]
)
@pytest.mark.parametrize("at_once", [True, False])
def test_it_is_exact_however_it_comes(db: None, sizes: list[int], at_once: bool) -> None:
    content, left = begun("upload"), TEXT
    pieces = []
    for size in sizes:
        pieces.append(left[:size])
        left = left[size:]
    for some in [pieces] if at_once else [[piece] for piece in pieces]:
        append(Content.objects.get(pk=content.pk), some)
    content.refresh_from_db()
    assert (content.size, content.digest) == (35, "")
    assert parts() == [TEXT[:10], TEXT[10:20], TEXT[20:30], TEXT[30:]]
    complete(content)
    assert content.digest == hashlib.sha256(TEXT).hexdigest()
    assert Content.objects.get().digest == content.digest
    assert b"".join(content.read()) == TEXT


def test_one_without_bytes_is_complete_as_soon_as_somebody_says_so(db: None) -> None:
    content = begun("upload")
    append(content, [])
    append(content, [b""])
    complete(content)
    assert content.digest == hashlib.sha256().hexdigest()
    assert not Part.objects.exists()


def test_who_is_at_another_place_is_told_and_writes_nothing(db: None) -> None:
    content = begun("upload")
    other = Content.objects.get(pk=content.pk)
    append(content, [TEXT[:15]])
    with pytest.raises(ConflictError):
        append(other, [b"x" * 5])
    assert parts() == [TEXT[:10], TEXT[10:15]]
    append(Content.objects.get(pk=content.pk), [TEXT[15:]])
    with pytest.raises(ConflictError):
        append(content, [b"x"])
    assert b"".join(Content.objects.get().read()) == TEXT


def test_what_is_complete_or_removed_is_not_written_on(db: None) -> None:
    content = begun("upload")
    append(content, [TEXT])
    complete(content)
    with pytest.raises(ConflictError):
        append(content, [b"x"])
    remove([content.pk])
    with pytest.raises(ConflictError):
        append(content, [b"x"])
    with pytest.raises(LookupError):
        complete(content)
    assert not Part.objects.exists()


def test_it_is_not_completed_while_another_writes(db: None) -> None:
    content = begun("upload")
    append(content, [TEXT[:20]])
    older = Content.objects.get(pk=content.pk)
    append(content, [TEXT[20:]])
    with pytest.raises(LookupError, match="removed meanwhile"):
        complete(older)


def test_of_two_at_the_same_place_one_writes(transactional_db: None) -> None:
    """Each sends all of it; whichever is first, the bytes are those of one."""
    content = begun("upload")
    barrier, conflicts = threading.Barrier(2), []

    def write(letter: bytes) -> None:
        mine = Content.objects.get(pk=content.pk)
        barrier.wait(20)
        try:
            append(mine, [letter * 35])
        except ConflictError:
            conflicts.append(letter)
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=[letter]) for letter in (b"a", b"b")]
    for each in writers:
        each.start()
    for each in writers:
        each.join(30)
    assert len(conflicts) == 1
    (winner,) = {b"a", b"b"} - set(conflicts)
    assert b"".join(Content.objects.get().read()) == winner * 35


def test_each_piece_is_a_transaction_of_its_own(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others write between two of them, however long the next takes to come."""
    content = begun("upload")
    seen: list[Any] = []

    def slowly() -> Any:
        for number in range(3):
            yield TEXT[10 * number : 10 * number + 10]
            seen.append((connection.in_atomic_block, Content.objects.get().size))

    append(content, slowly())
    assert seen == [(False, 10), (False, 20), (False, 30)]
