"""Faults of a form that come out only where somebody fills it in: two of its fields would be sent
under one name, or none under its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from django import forms

from .given import names_of


def faults_of(form: forms.Form) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to do about it: a sentence each."""
    if form.prefix:
        why = f"`form` has the prefix {form.prefix!r}, so that its fields are sent by other names"
        yield why, "Leave it out: a page has one form."
    sent = Counter(
        each for name, field in form.fields.items() for each in names_of(name, field.widget)
    )
    for name, times in sent.items():
        if times > 1:
            why = f"`form` has {name!r} twice: as a field, and as a part of another one's widget"
            yield why, "Give the field another name."
