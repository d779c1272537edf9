"""Files that a command is given by their paths."""

from __future__ import annotations

from django import forms
from django.core.management import CommandError

from .. import files
from ..given import Given
from ..models.upload import of_path
from ..queue.room import FullError


def uploaded(form: forms.BaseForm, data: Given) -> Given:
    """A form's texts, with the id of an upload for each file that is given as `@path`.

    CommandError if a file can't be read, or the database is full.
    """
    found = dict(data)
    for name in set(files.names_in(form)) & data.keys():
        try:
            found[name] = [
                of_path(text[1:]) if text.startswith("@") else text for text in data[name]
            ]
        except OSError as error:
            raise CommandError(f"{name}: this file can't be read: {error}") from error
        except FullError as error:
            raise CommandError(f"{name}: {error}") from error
    return found
