"""Why a form was refused, in words that a program can show."""

from __future__ import annotations

import re
from typing import NamedTuple

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS


class Refusal(NamedTuple):
    """One sentence, which names its field, and the sentence of every field that is wrong."""

    detail: str
    fields: dict[str, str]
    #: Whether the form has several fields beside `chunk_size`.
    several: bool


def refusal_of(form: forms.Form) -> Refusal | None:
    """The errors of a form that was filled in; None if it has none."""
    if not form.errors:
        return None
    sentences = {name: str(errors[0]) for name, errors in form.errors.items()}
    several = len(form.fields.keys() - {"chunk_size"}) > 1
    name, sentence = next(iter(sentences.items()))
    named = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", sentence)
    if name != NON_FIELD_ERRORS and (several or not named):
        sentence = f"{name}: {sentence}"
    sentences.pop(NON_FIELD_ERRORS, None)
    return Refusal(sentence, sentences, several)
