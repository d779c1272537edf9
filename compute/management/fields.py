"""A computation's fields as options of a command: `--since 2026-03-01 --kinds a --kinds c`.

What can be said is known only when the words have named a computation, so its options are added
then. A name that is an option of the command itself is written with `--field-` before it.
"""

from __future__ import annotations

import os
import stat
from argparse import SUPPRESS, ArgumentError, Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.core.management import CommandError, CommandParser

from ..computation import Computation, ComputationError
from ..computations import all_computations
from ..given import names_of, takes_several, typed
from ..models.output import bytes_in_words

#: Before a field's name, where the command finds what was given for it.
OPTION = "field "


class FieldsParser(CommandParser):
    """Takes the fields of the computation that one of the words names as options, too, and
    options in any place."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> Namespace:
        words = list(args or ())
        known = all_computations()
        named = next((known[word] for word in words if word in known), None)
        if named:
            try:
                add_fields(self, named)
            except ComputationError as error:
                self.error(str(error))
        return self.parse_intermixed_args(words, namespace)


def add_fields(parser: CommandParser, computation: Computation) -> None:
    """ComputationError if its form fails."""
    group = parser.add_argument_group(f"fields of {computation}")
    with computation.running("form"):
        form = computation.form()
        for name, field in form.fields.items():
            box = isinstance(field.widget, forms.CheckboxInput)
            more = {"nargs": "?", "const": "true"} if box else {}
            add_option(group, name, help=help_of(form, name, field), **more)
            for part in names_of(name, field.widget):
                if part != name:
                    add_option(group, part, help=SUPPRESS)


def add_option(group: Any, name: str, **more: Any) -> None:
    option, more = name, {"action": "append", "metavar": "VALUE", **more}
    while True:
        try:
            group.add_argument(f"--{option}", dest=f"{OPTION}{name}", **more)
        except ArgumentError:  # the command has it itself
            option = f"field-{option}"
        else:
            return


def help_of(form: forms.Form, name: str, field: forms.Field) -> str:
    """What a field means, and what it is if it is left out."""
    said = [str(form[name].label)]
    if field.help_text:
        said.append(str(field.help_text))
    initial = form.get_initial_for_field(field, name)
    texts = [text for _, each in typed(name, field, initial) for text in each]
    if texts:
        said.append(f"by default {', '.join(texts)}")
    if takes_several(field.widget):
        said.append("may be repeated")
    return "; ".join(each.rstrip(".") for each in said).replace("%", "%%")


def words_of(options: Mapping[str, Any], of_files: Collection[str] = ()) -> dict[str, list[str]]:
    """What was given as an option for each field, or part of one, by its name; for the fields
    `of_files` as it was written."""
    return dict(given_as_options(options, of_files))


def given_as_options(
    options: Mapping[str, Any], of_files: Collection[str]
) -> Iterator[tuple[str, list[str]]]:
    for option, words in options.items():
        if option.startswith(OPTION) and words is not None:
            name = option.removeprefix(OPTION)
            yield name, words if name in of_files else [meant(name, word) for word in words]


def meant(name: str, word: str) -> str:
    """The word, or the text in a file (`@path`); `@@` stands for an @ that begins a text."""
    if not word.startswith("@"):
        return word
    if word.startswith("@@"):
        return word[1:]
    check_file(name, word[1:])
    try:
        text = Path(word[1:]).read_text(encoding="utf-8")
    except UnicodeError as error:
        raise CommandError(f"{name}: {word[1:]} is no text in UTF-8.") from error
    except (OSError, ValueError) as error:
        raise CommandError(f"{name}: {word[1:]} can't be read: {error}.") from error
    return text.removesuffix("\n")


def check_file(name: str, path: str) -> None:
    """CommandError for what has no end, as a pipe or a device may, or is longer than a file may
    be; what is not there at all is for who reads it to tell."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise CommandError(
            f"{name}: {path} is no file; write what comes from there to one first, and give that."
        )
    most = settings.MAX_UPLOAD_MB
    if most and found.st_size > most * 1024 * 1024:
        raise CommandError(
            f"{name}: {path} has {bytes_in_words(found.st_size)}, and a file may have {most:g} MB "
            "here (MAX_UPLOAD_MB); give a smaller one."
        )
