"""Large contents, kept in parts apart from the rows that speak of them.

A worker writes them while it runs, each part in a short transaction of its own: nobody waits for
more than one part, and no process holds more than a few. The row of a content is there from its
first part on, and has its digest when it is complete. So what a dead worker has left is found, and
no part is without its row.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone

from . import room
from .away import persistently
from .engines import engine
from .room import FullError, TooLargeError, most_bytes

__all__ = [
    "Content",
    "FullError",
    "Part",
    "Reader",
    "TooLargeError",
    "Writer",
    "remove",
    "removing",
]

#: Bytes of a part; a process that writes or reads holds a few of them.
PART_BYTES = 512 * 1024
#: Parts that are removed in one transaction.
STEP_PARTS = 20


class ContentQuerySet(models.QuerySet["Content"]):
    def give_up(self) -> int:
        """Let nobody find them from here on, and pruning remove them; how many there were."""
        with engine().turn():
            return self.exclude(holder="").update(holder="", digest="")


class Content(models.Model):
    """`size` bytes, in parts of PART_BYTES, the last one shorter."""

    id = models.CharField(primary_key=True, max_length=32)
    holder = models.CharField(
        max_length=32,
        db_index=True,
        help_text="The run or task it goes with, by its id; empty if it is to be removed.",
    )
    size = models.PositiveBigIntegerField(help_text="Bytes, as far as it is written.")
    digest = models.CharField(
        max_length=64, blank=True, help_text="SHA-256, in hexadecimal; empty until it is complete."
    )
    made_at = models.DateTimeField(
        db_default=Now(), help_text="When something of it was last written."
    )

    objects = ContentQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.size:,} bytes of {self.holder}"

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Its bytes from `start` up to `stop`, in pieces of a part at most.

        LookupError if it is removed meanwhile. Between two pieces no cursor is open and no
        transaction, however long the caller takes.
        """
        stop = self.size if stop is None else min(stop, self.size)
        while start < stop:
            number, offset = divmod(start, PART_BYTES)
            piece = self.part(number)[offset : offset + stop - start]
            yield piece
            start += len(piece)

    def part(self, number: int) -> bytes:
        """One of its parts, from 0; a database that is away is waited for, a minute at most."""
        data = persistently(partial(engine().read_part, self.pk, number))
        if data is None:
            raise LookupError(f"part {number + 1} of a result has been removed")
        return data


class Part(models.Model):
    """A piece of a content, by the id of that."""

    content = models.CharField(max_length=32)
    number = models.PositiveIntegerField(help_text="Its place, from 0.")
    data = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["content", "number"], name="one_part_a_place")
        ]

    def __str__(self) -> str:
        return f"part {self.number + 1} of {self.content}"


class Writer(io.RawIOBase):
    """A file to write a content to: `done()` completes it, `discard()` removes what there is.

    As a context manager it discards what was not completed. TooLargeError once it has more than
    `limit` bytes, MAX_RESULT_MB by default; FullError if the database holds as much as it may;
    LookupError if somebody removes it meanwhile.
    """

    def __init__(self, holder: str, limit: int | None = None) -> None:
        self.content = Content(id=uuid4().hex, holder=holder, size=0, made_at=timezone.now())
        self.limit = most_bytes() if limit is None else limit
        self.hash = hashlib.sha256()
        self.waiting = bytearray()
        self.parts = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        count = left.nbytes
        room.check_size(self.content.size + len(self.waiting) + count, self.limit)
        self.hash.update(left)
        while left:
            some = left[: PART_BYTES - len(self.waiting)]
            self.waiting += some
            left = left[len(some) :]
            if len(self.waiting) == PART_BYTES:
                self.write_part()
        return count

    def write_part(self) -> None:
        if not self.parts:
            room.check()
        self.content.size += len(self.waiting)
        persistently(partial(write, self.content, self.parts, bytes(self.waiting)))
        self.parts += 1
        self.waiting.clear()

    def done(self) -> Content:
        """The content, when the rest of it is written; it is complete from here on."""
        self.content.digest = self.hash.hexdigest()
        self.write_part()
        return self.content

    def discard(self) -> None:
        self.content.digest = ""
        remove([self.content.pk])

    def __exit__(self, *error: object) -> None:
        if not self.content.digest:
            self.discard()
        self.close()


class Reader(io.RawIOBase):
    """A content as a file that can be read from anywhere; it holds a part at a time."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.at = 0
        self.held: tuple[int, bytes] = -1, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.content.size}[whence]
        if at < 0:
            raise ValueError("there is nothing before the beginning")
        self.at = at
        return at

    def readinto(self, buffer: Any) -> int:
        place = memoryview(buffer).cast("B")
        if self.at >= self.content.size:
            return 0
        number, offset = divmod(self.at, PART_BYTES)
        if self.held[0] != number:
            self.held = number, self.content.part(number)
        piece = memoryview(self.held[1])[offset : offset + len(place)]
        place[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)


def write(content: Content, number: int, data: bytes) -> None:
    """Write a part, and what the content has come to. Done once more, where the answer of the
    first time was lost, it makes the same rows."""
    with engine().turn(), transaction.atomic():
        if not number:
            Content.objects.bulk_create([content], ignore_conflicts=True)
        mine = Content.objects.filter(pk=content.pk, holder=content.holder)
        if not mine.update(size=content.size, digest=content.digest, made_at=Now()):
            raise LookupError("what is written has been removed meanwhile")
        if data:
            engine().write_part(content.pk, number, data)


def remove(ids: Iterable[str]) -> None:
    """Remove contents, complete or not, in short steps."""
    ids = list(ids)
    Content.objects.filter(pk__in=ids).give_up()
    for _ in removing(ids):
        pass


def removing(ids: Iterable[str]) -> Iterator[None]:
    """Remove contents that were given up; each step is a transaction of a few parts."""
    for pk in ids:
        parts = Part.objects.filter(content=pk).order_by("number").values_list("pk", flat=True)
        while len(some := list(parts[:STEP_PARTS])) == STEP_PARTS:
            with engine().turn():
                Part.objects.filter(pk__in=some).delete()
            yield
        with engine().turn(), transaction.atomic():
            # The row first: one who still writes to it waits here, and then finds none.
            Content.objects.filter(pk=pk).delete()
            Part.objects.filter(content=pk).delete()
        yield
