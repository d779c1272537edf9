"""Contents that come in pieces, each from another process: uploads.

A piece is a short transaction, which finds the content as long as its writer believes it to be. Of
two who write at the same place one does, and the other is told; so no bytes are ever mixed. Nobody
has seen all of it when it is complete: its digest is made by reading it once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from uuid import uuid4

from django.db import transaction
from django.db.models.functions import Now

from . import contents
from .contents import Content
from .engines import engine


class ConflictError(Exception):
    """The content is not as long as the writer believes, or complete, or removed."""


def begun(holder: str) -> Content:
    """A content without bytes, to be appended to; it goes with this holder."""
    return Content.objects.create(id=uuid4().hex, holder=holder, size=0, digest="")


def append(content: Content, pieces: Iterable[bytes]) -> None:
    """Write these behind what there is, part by part as they come; `content.size` grows with it.

    ConflictError if somebody else has written meanwhile; what was written before that stays.
    """
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= (fits := contents.PART_BYTES - content.size % contents.PART_BYTES):
            append_some(content, bytes(waiting[:fits]))
            del waiting[:fits]
    if waiting:
        append_some(content, bytes(waiting))


def append_some(content: Content, data: bytes) -> None:
    """The same for what fits into the part that the content ends with."""
    number, offset = divmod(content.size, contents.PART_BYTES)
    size = content.size + len(data)
    mine = Content.objects.filter(pk=content.pk, holder=content.holder, digest="")
    with engine().turn(), transaction.atomic():
        if not mine.filter(size=content.size).update(size=size, made_at=Now()):
            raise ConflictError
        if offset:
            data = content.part(number)[:offset] + data
        engine().write_part(content.pk, number, data)
    content.size = size


def complete(content: Content) -> None:
    """Give it its digest, if nothing was written meanwhile. LookupError if it is removed."""
    found = hashlib.sha256()
    for piece in content.read():
        found.update(piece)
    mine = Content.objects.filter(pk=content.pk, holder=content.holder, size=content.size)
    with engine().turn():
        if not mine.update(digest=found.hexdigest()):
            raise LookupError("what is written has been removed meanwhile")
    content.digest = found.hexdigest()
