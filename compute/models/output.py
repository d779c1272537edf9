"""An output: what a run came to, or a part of that by its name, apart from the run's row.

Its bytes are a content of the queue's (`queue.contents`), read in pieces. A small plain value needs
none: the run's row has it (`Run.result`), and an output beside it if it has a shape to be shown as.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice
from typing import Any

from django.db import models
from django.template.defaultfilters import filesizeformat

from ..queue.contents import Content
from .run import Run

#: Rows from one mark to the next: as many as are read in vain at most to find one.
MARKED_ROWS = 1_000
#: Rows that are read at a time.
BATCH_ROWS = 500
#: Characters of a name, of a column's too; longer ones are shortened.
NAME_CHARS = 200


class Kind(models.TextChoices):
    VALUE = "value"  # its content is JSON
    TEXT = "text"  # UTF-8
    TABLE = "table"  # JSON lines: a list of cells each
    SERIES = "series"  # the same, of numbers; the first is x
    PICTURE = "picture"
    FILE = "file"


class Output(models.Model):
    """One of a run's; written in the transaction that notes its result, and never changed."""

    Kind = Kind
    #: The bytes of one that is in no table: of a small value, or of a chunk's.
    held: bytes | None = None

    run = models.ForeignKey(
        Run,
        on_delete=models.CASCADE,
        related_name="outputs",
        db_index=False,  # `output_place` begins with it
        # Code of the version before, which knows no outputs, may remove the run.
        db_constraint=False,
    )
    position = models.PositiveIntegerField(default=0, help_text="Its place among others, from 0.")
    name = models.CharField(
        max_length=NAME_CHARS, blank=True, help_text="Empty for one that has no others beside it."
    )
    kind = models.CharField(max_length=7, choices=Kind)
    content_id = models.CharField(max_length=32, help_text="The content that has its bytes.")
    size = models.PositiveBigIntegerField(help_text="Bytes of it.")
    rows = models.PositiveBigIntegerField(null=True, help_text="Of a table or a series.")
    columns = models.JSONField(default=list, help_text="Names of the columns, in order.")
    form = models.CharField(
        max_length=7,
        blank=True,
        help_text="How a table's JSON is written: records, rows, columns or numbers.",
    )
    marks = models.JSONField(
        default=list, help_text="At which byte each thousandth row begins, the first at 0."
    )
    media_type = models.CharField(max_length=100, blank=True)
    filename = models.CharField(max_length=NAME_CHARS, blank=True)
    alt = models.TextField(blank=True, help_text="What a picture shows, in words.")

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["run", "position"], name="output_place"),
            models.UniqueConstraint(fields=["run", "name"], name="output_name"),
        ]

    def __str__(self) -> str:
        """What it is and how large, as a list of runs says it."""
        if self.rows is not None:
            size = f"{self.rows:,} row{'' if self.rows == 1 else 's'}"
            if self.kind == Kind.TABLE:
                size += f" × {len(self.columns):,} column{'' if len(self.columns) == 1 else 's'}"
        else:
            size = bytes_in_words(self.size)
        what = self.filename if self.kind == Kind.FILE else self.get_kind_display().lower()
        return f"{self.name or what}, {size}"

    @property
    def content(self) -> Content:
        """DoesNotExist if it has been removed, with the run."""
        return Content.objects.get(pk=self.content_id)

    @property
    def digest(self) -> str:
        """SHA-256 of its bytes."""
        return self.content.digest if self.held is None else sha256(self.held).hexdigest()

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Its bytes from `start` up to `stop`, in pieces; LookupError if it is removed."""
        if self.held is None:
            yield from self.content.read(start, stop)
        else:
            yield self.held[start:stop]

    def lines(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The lines of a table's content that have the rows from `start` up to `stop`."""
        last = self.rows or 0
        stop = last if stop is None else min(stop, last)
        if not 0 <= start < stop:
            return
        mark, skipped = divmod(start, MARKED_ROWS)
        yield from islice(lines_of(self.read(self.marks[mark])), skipped, skipped + stop - start)

    def read_rows(self, start: int = 0, stop: int | None = None) -> Iterator[list[Any]]:
        """The rows from `start` up to `stop`, from 0, each a list of plain cells. NaN and the
        infinities are the words of `values.WORDS`."""
        for rows in self.batches(start, stop):
            yield from rows

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[list[list[Any]]]:
        """The same, some at a time."""
        lines = self.lines(start, stop)
        while some := list(islice(lines, BATCH_ROWS)):
            yield json.loads(b"[%b]" % b",".join(some))


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, without their ends, of bytes that come in pieces of any length."""
    rest = b""
    for piece in pieces:
        first, newline, others = piece.partition(b"\n")
        if not newline:
            rest += first
            continue
        yield rest + first
        *whole, rest = others.split(b"\n")
        yield from whole
    if rest:
        yield rest


def bytes_in_words(size: int) -> str:
    """As templates have it: a megabyte is 2^20 bytes, as in MAX_UPLOAD_MB and MAX_RESULT_MB."""
    return filesizeformat(size).replace("\xa0", " ")
