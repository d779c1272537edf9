"""Files that a command is given by their paths."""

from __future__ import annotations

from django import forms
from django.core.management import CommandError

from .. import files
from ..given import Given
from ..models.upload import of_path
from ..queue.room import FullError
from .fields import check_file


def uploaded(form: forms.BaseForm, data: Given) -> Given:
    """A form's texts, with the id of an upload for each file that is given as `@path`.

    CommandError if a text is neither that nor an id, a file can't be read, or the database is full.
    """
    found = dict(data)
    for name in set(files.names_in(form)) & data.keys():
        try:
            found[name] = [id_of(name, text) for text in data[name]]
        except OSError as error:
            raise CommandError(f"{name}: this file can't be read: {error}") from error
        except FullError as error:
            raise CommandError(f"{name}: {error}") from error
    return found


def id_of(name: str, text: str) -> str:
    """The id of the upload that a field's text means; an empty text means none."""
    if text.startswith("@"):
        check_file(name, text[1:])
        return of_path(text[1:])
    if text and not files.ID.fullmatch(text):
        raise CommandError(f"{name}: give a file as @ and its path: @{text}")
    return text
