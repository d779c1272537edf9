"""Files that people have uploaded: whose they are, and which runs use them.

The bytes are a content of the queue's (`queue.contents`), held by the upload. It is complete when
that has its digest. A run uses the uploads that its form names, and one may serve several runs: it
goes with the last of them, or a day after anybody has touched it, if no run uses it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now

from .. import files
from ..computations import all_computations
from ..files import StoredFile
from ..given import listed
from ..queue import appending
from ..queue.contents import PART_BYTES, Content, Writer
from .keeping import FILE_TYPE, MEDIA_TYPE, safe_filename
from .output import NAME_CHARS, bytes_in_words
from .run import Run

#: How long an upload is kept that no run uses.
UNUSED = timedelta(days=1)
#: Characters of a name's ending, with its dot, that stay if the name is shortened.
ENDING_CHARS = 20
#: Bytes that an upload may have of those whom no limit holds.
MOST_BYTES = 2**62


class UploadQuerySet(models.QuerySet["Upload"]):
    def stored(self, ids: Collection[str]) -> dict[str, StoredFile]:
        """Those of them that are complete, by id, as computations get them."""
        whole = Content.objects.filter(holder=models.OuterRef("pk")).exclude(digest="")
        found = self.filter(models.Exists(whole), pk__among=ids)
        return {each.pk: each.stored for each in found}

    def touch(self) -> int:
        """Keep them for a day from now at least; how many there are."""
        return self.update(touched_at=Now())

    def unused(self) -> UploadQuerySet:
        return self.exclude(models.Exists(Run.objects.filter(uploads=models.OuterRef("pk"))))

    def stale(self) -> UploadQuerySet:
        """Those that no run uses, and that nobody has touched for a day."""
        return self.unused().filter(touched_at__lt=Now() - UNUSED)

    def remove_unused(self) -> int:
        """Remove those of them that no run uses; how many. Pruning removes their bytes.

        They are locked before it is asked who uses them: a run that is started at this moment
        touches its uploads first.
        """
        with transaction.atomic():
            locked = list(self.order_by("pk").select_for_update().values_list("pk", flat=True))
            gone = list(
                Upload.objects.filter(pk__among=locked).unused().values_list("pk", flat=True)
            )
            Content.objects.filter(holder__among=gone).give_up()
            Upload.objects.filter(pk__among=gone).delete()
        return len(gone)


class Upload(models.Model):
    """A file, or as much of it as has arrived."""

    id = models.CharField(primary_key=True, max_length=32)
    name = models.CharField(max_length=NAME_CHARS)
    media_type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField(help_text="Bytes that it has when it is complete.")
    client = models.CharField(
        max_length=32,
        blank=True,
        default="",
        help_text="For whom it counts: a session, or a hash of an address.",
    )
    address = models.CharField(
        max_length=32,
        blank=True,
        default="",
        help_text="A hash of the address that it counts for as well.",
    )
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,  # code of the version before may delete the user
        help_text="Who was signed in.",
    )
    made_at = models.DateTimeField(db_default=Now())
    touched_at = models.DateTimeField(
        db_default=Now(), help_text="When something of it came, or it was last asked for."
    )
    runs = models.ManyToManyField(Run, related_name="uploads", db_constraint=False)

    objects = UploadQuerySet.as_manager()

    class Meta:
        ordering = ["made_at", "id"]

    def __str__(self) -> str:
        return f"{self.name}, {bytes_in_words(self.size)}"

    @property
    def content(self) -> Content:
        """DoesNotExist if it has been removed."""
        return Content.objects.get(holder=self.pk)

    @property
    def stored(self) -> StoredFile:
        return StoredFile(self.pk, self.name, self.size, self.media_type)


def begin(name: str, size: int, media_type: str = "", **whose: Any) -> Upload:
    """An upload of so many bytes, of which none has come yet: its row, and an empty content."""
    with transaction.atomic():
        upload = described(name, size, media_type, **whose)
        upload.save(force_insert=True)
        content = appending.begun(upload.pk)
        if not size:
            appending.complete(content)
    return upload


def described(name: str, size: int, media_type: str, **whose: Any) -> Upload:
    known = MEDIA_TYPE.fullmatch(media_type)
    media_type = known[0] if known and len(known[0]) <= 100 else FILE_TYPE
    return Upload(id=uuid4().hex, name=safe_name(name), size=size, media_type=media_type, **whose)


def keep(
    file: Any, name: str, media_type: str = "", limit: int = MOST_BYTES, **whose: Any
) -> Upload:
    """An upload of all that a file still has, written in parts; nothing is left of one that fails.

    TooLargeError if that is more than `limit` bytes, FullError if the database is full.
    """
    upload = described(name, 0, media_type, **whose)
    with Writer(upload.pk, limit) as writer:
        shutil.copyfileobj(file, writer, PART_BYTES)
        upload.size = writer.done().size
        upload.save(force_insert=True)
    return upload


def of_path(path: str) -> str:
    """The id of an upload of a file on this machine; OSError if it can't be read."""
    with open(path, "rb") as file:
        return keep(file, path).pk


def safe_name(name: str) -> str:
    """A file's own name without its folders, and without what some system refuses. If it is
    shortened, its ending stays."""
    name = name.replace("\\", "/").rpartition("/")[2]
    stem, ending = os.path.splitext(name)
    ending = ending[:ENDING_CHARS]
    return safe_filename(f"{stem[: NAME_CHARS - len(ending)]}{ending}", "upload.bin")


# --- which runs use them ------------------------------------------------------------------


def use(run: Run) -> bool:
    """Note the uploads that a run was given; they stay as long as the run does. Whether all are
    there: one may have been removed meanwhile, with the last run that used it.

    Within the transaction that starts it, so nothing of an author's is called here.
    """
    ids = {each for each in ids_of(run) if files.ID.fullmatch(each)}
    if not ids:
        return True
    with transaction.atomic():
        found = Upload.objects.filter(pk__among=ids)
        count = found.touch()
        run.uploads.add(*found)
    return count == len(ids)


def ids_of(run: Run) -> set[str]:
    """The uploads that its form was filled in with, and that its parameters tell of. Either may be
    all there is, where a form makes something else of a file, or has fields from code."""
    computation = all_computations().get(run.computation)
    fields = computation.form.base_fields if computation else {}
    names = [name for name, field in fields.items() if field.widget.needs_multipart_form]
    texts = {text for name in names for text in (run.given or {}).get(name, ())}
    told = (each for value in run.parameters.values() for each in listed(value))
    ids = (each["file"] for each in told if isinstance(each, dict) and each.keys() == files.TOLD)
    return texts | {each for each in ids if isinstance(each, str)}
