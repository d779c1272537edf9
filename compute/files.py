"""Files that a computation is given: in its form, in the queue, and in the hands of a worker.

Who fills in a form has uploaded a file before; the form's text for it is the upload's id, which a
run keeps like any other text. The form cleans it to a `StoredFile`, which any worker on any node
opens: the file is in the database, in parts, and is read a part at a time.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from django import forms
from django.apps import apps
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict

from .queue.away import persistently

#: The id of an upload.
ID = re.compile("[0-9a-f]{32}")
#: Bytes that are read of a part at a time.
BUFFER_BYTES = 64 * 1024
#: The keys of a file in a run's parameters.
TOLD = {"file", "name", "size"}
#: Said of a text that names no upload.
UNKNOWN = "No upload of yours that is complete has this id; upload the file first, and give its id."


@dataclass(frozen=True)
class StoredFile:
    """A file as `title`, `length`, `cut` and `function` get it: small, whatever is in it."""

    #: That of its upload.
    id: str
    name: str
    #: Bytes.
    size: int
    #: As whoever uploaded it says: "text/csv".
    media_type: str

    def __str__(self) -> str:
        return self.name

    def open(self) -> BinaryIO:
        """The file to read from, as `files.open` gives it."""
        return open(self)


def open(stored: StoredFile) -> BinaryIO:
    """A file to read bytes from, seekable; it holds one part of half a megabyte at a time.

    For lines of text: `io.TextIOWrapper(files.open(stored), encoding="utf-8", newline="")`.
    LookupError if the file has been removed.
    """
    # Here, for a computation can be imported without Django's apps.
    from .queue.contents import Content, Reader

    complete = Content.objects.filter(holder=stored.id).exclude(digest="")
    found = persistently(complete.first)
    if found is None:
        raise LookupError(f"the file {stored.name!r} has been removed")
    return cast(BinaryIO, io.BufferedReader(Reader(found), BUFFER_BYTES))


# --- in a form ----------------------------------------------------------------------------


class KeptFile(UploadedFile):  # type: ignore[type-arg]
    """An upload as a form's field, validators and `clean` methods see it: Django's own kind of
    file, read from the database once somebody reads it."""

    def __init__(self, stored: StoredFile) -> None:
        super().__init__(None, stored.name, stored.media_type, stored.size)
        self.stored = stored
        self.opened: BinaryIO | None = None

    @property
    def file(self) -> BinaryIO:
        if self.opened is None or self.opened.closed:
            self.opened = open(self.stored)
        return self.opened

    @file.setter
    def file(self, value: Any) -> None:
        """Django's class sets what it was given, which is nothing here."""

    @property
    def closed(self) -> bool:
        return self.opened is None or self.opened.closed

    def open(self, *how: Any, **named: Any) -> KeptFile:
        """From its beginning."""
        self.file.seek(0)
        return self

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()


class Missing:
    """Stands for a file that is not there; a field refuses it, for it has no name and no size."""


def names_in(form: forms.BaseForm) -> list[str]:
    """The names of the fields that take a file."""
    return [name for name, field in form.fields.items() if field.widget.needs_multipart_form]


def attached(form: forms.BaseForm) -> Any:
    """The form with the files that its texts name, as if they had come with it. A text that names
    none is refused as its field's error."""
    names = names_in(form) if form.is_bound else []
    texts = {name: texts_of(form, name) for name in names}
    if ids := {text for each in texts.values() for text in each if ID.fullmatch(text)}:
        found = apps.get_model("compute", "Upload").objects.stored(ids)
    else:
        found = {}
    files: MultiValueDict[str, Any] = MultiValueDict()
    for name, given in texts.items():
        kept = [found.get(text) for text in given]
        if None in kept:
            form.fields[name].error_messages["invalid"] = UNKNOWN
        if kept:
            files.setlist(
                form.add_prefix(name), [KeptFile(each) if each else Missing() for each in kept]
            )
    if files:
        form.files = files
    return form


def texts_of(form: forms.BaseForm, name: str) -> list[str]:
    """What was given for a field, but for what is empty."""
    given = form.data.get(form.add_prefix(name))
    if hasattr(form.data, "getlist"):
        given = form.data.getlist(form.add_prefix(name))
    several = given if isinstance(given, list | tuple) else [given]
    return [str(each) for each in several if each]


def settled(form: forms.BaseForm) -> Any:
    """What a form has cleaned, with its files as the callables get them."""
    cleaned: Any = form.cleaned_data
    if isinstance(cleaned, dict):
        cleaned.update(stored_in(cleaned))
    return cleaned


def stored_in(cleaned: dict[str, Any]) -> dict[str, Any]:
    """The same fields, with a StoredFile for each upload."""
    return {name: stored(value) for name, value in cleaned.items()}


def stored(value: Any) -> Any:
    if isinstance(value, KeptFile):
        return value.stored
    if isinstance(value, list | tuple) and any(isinstance(each, KeptFile) for each in value):
        return [stored(each) for each in value]
    return value


def kept_for(form: forms.BaseForm, name: str) -> list[StoredFile]:
    """The files that a field was filled in with and does not refuse, for its page."""
    given = form.files.getlist(form.add_prefix(name))
    found = [each.stored for each in given if isinstance(each, KeptFile)]
    return [] if name in form.errors else found


# --- in a run's row -----------------------------------------------------------------------


def told(value: Any) -> Any:
    """A parameter as a run's row tells it: a file as its id, name and size."""
    if isinstance(value, StoredFile):
        return {"file": value.id, "name": value.name, "size": value.size}
    if isinstance(value, list | tuple) and any(isinstance(each, StoredFile) for each in value):
        return [told(each) for each in value]
    return value
