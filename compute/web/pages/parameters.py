"""The parameters of a run, as its page shows them: a row each, by the label of its field."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

from django import forms

from ...computation import Computation, ComputationError
from ...computations import all_computations
from ...models import Run
from ...models.output import bytes_in_words
from ...queue.text import shorten

log = logging.getLogger(__name__)

#: Characters of a value in its row, and of one that is unfolded.
CUT_CHARS, MOST_CHARS = 200, 100_000
NOTHING = "–"


class Parameter(NamedTuple):
    label: str
    text: str
    #: All of it, if that is too long for a row.
    whole: str = ""


def parameters_context(run: Run) -> dict[str, Any]:
    """Words for what a run was started with. They are its row's, and no code of an author's
    cleans them again; what that says of labels and choices is done without if it fails."""
    computation = all_computations().get(run.computation)
    try:
        found = labelled(computation, run.parameters)
    except ComputationError as error:
        log.error("%s", error)
        found = labelled(None, run.parameters)
    return {"parameters": [in_a_row(label, text) for label, text in found]}


def labelled(computation: Computation | None, parameters: dict[str, Any]) -> list[tuple[str, str]]:
    """The label of each and its value in words; ComputationError if the form fails."""
    if computation is None:
        return [(name, in_words(value)) for name, value in parameters.items()]
    found = []
    with computation.running("form"):
        form = computation.form()
        for name, value in parameters.items():
            field = form.fields.get(name)
            label = str(form[name].label) if field else name
            found.append((label, of_field(field, value) if field else in_words(value)))
    return found


def in_a_row(label: str, text: str) -> Parameter:
    if len(text) <= CUT_CHARS and "\n" not in text:
        return Parameter(label, text)
    return Parameter(label, shorten(" ".join(text.split()), CUT_CHARS), shorten(text, MOST_CHARS))


def of_field(field: forms.Field, value: Any) -> str:
    if isinstance(field.widget, forms.PasswordInput):
        return "not shown"
    if isinstance(field, forms.DurationField):
        return in_words(field.prepare_value(field.to_python(value)))
    if isinstance(field, forms.DateTimeField | forms.SplitDateTimeField):
        return in_words(value).replace("T", " ").replace("Z", " UTC")
    if field.widget.needs_multipart_form:
        return ", ".join(map(file_in_words, value if isinstance(value, list) else [value]))
    if isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
        words = dict(choices_of(field.choices))
        several = value if isinstance(value, list) else [value]
        return in_words([words.get(str(each), each) for each in several])
    return in_words(value)


def file_in_words(value: Any) -> str:
    """A file as a run's row has it."""
    if not (isinstance(value, dict) and {"name", "size"} <= value.keys()):
        return in_words(value)
    return f"{value['name']}, {bytes_in_words(value['size'])}"


def choices_of(choices: Any) -> Iterator[tuple[str, str]]:
    """Each choice's text and its words; those of a group as those outside of one."""
    for value, words in choices:
        if isinstance(words, list | tuple):
            yield from choices_of(words)
        else:
            yield str(value), str(words)


def in_words(value: Any) -> str:
    """A value of JSON as people read it."""
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and not any(isinstance(each, list | dict) for each in value):
        return ", ".join(map(in_words, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
