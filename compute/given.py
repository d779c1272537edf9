"""What a form was filled in with: lists of texts by name, as a browser sends them.

A run keeps them, for they say more than what the form made of them: JSON has no dates, and
an empty field is not the word "None". Whatever needs a run's parameters later cleans them
again, so that callables always get what the form cleaned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.dateparse import parse_date, parse_datetime

Given = dict[str, list[str]]


def of_form(form: forms.BaseForm, data: Mapping[str, Any]) -> Given:
    """What of this is meant for the form: each field's own name, and those that its widget
    makes of it (`when_0`, `when_year`)."""
    found = {}
    for name in data:
        if name != "chunk_size" and any(belongs(name, field) for field in form.fields):
            values = data.getlist(name) if isinstance(data, QueryDict) else listed(data[name])
            found[storable(name)] = [storable(str(value)) for value in values]
    return found


def storable(text: str) -> str:
    """The text without what no database keeps, and no field of Django's takes."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def belongs(name: str, field: str) -> bool:
    return name == field or name.startswith((f"{field}_", f"{field}-"))


def of_parameters(form: forms.BaseForm, parameters: Mapping[str, Any]) -> Given:
    """What gives these parameters, of a run that did not keep what it was given."""
    found: Given = {}
    for name, field in form.fields.items():
        if (value := parameters.get(name)) is not None:
            found.update(typed(name, field, value))
    return found


def of_words(form: forms.BaseForm, words: list[str]) -> Given:
    """What gives these values, one for each field in its order; the last takes the rest if it
    takes several. ValueError if there are too many."""
    names = list(form.fields)
    rest = words[len(names) :]
    if rest and not (names and takes_several(form.fields[names[-1]])):
        raise ValueError(f"takes {len(names)} value(s): {', '.join(names)}")
    found: Given = {}
    for name, word in zip(names, words, strict=False):
        field = form.fields[name]
        if not isinstance(field.widget, forms.MultiWidget):
            found[name] = [word]
        elif parts := moment(word):
            found.update(typed(name, field, parts))
        else:  # the form will say what is wrong with it
            found.update((f"{name}{suffix}", [word]) for suffix in suffixes_of(field.widget))
    if rest:
        found[names[-1]] += rest
    return found


def takes_several(field: forms.Field) -> bool:
    return bool(getattr(field.widget, "allow_multiple_selected", False))


def typed(name: str, field: forms.Field, value: Any) -> Iterator[tuple[str, list[str]]]:
    """A value as one would type it into the field's widget."""
    if isinstance(field.widget, forms.MultiWidget):
        parts = field.widget.decompress(moment(value) or value) or []
        for suffix, part in zip(suffixes_of(field.widget), parts, strict=False):
            if part is not None:
                yield f"{name}{suffix}", [str(part)]
    else:
        yield name, [str(each) for each in listed(field.prepare_value(value))]


def suffixes_of(widget: forms.MultiWidget) -> list[str]:
    """What its parts are called, after the field's name."""
    names: list[str] = widget.widgets_names  # type: ignore[attr-defined]
    return names


def moment(value: Any) -> datetime | date | None:
    """The date that a text of JSON means, if it means one."""
    try:
        return parse_datetime(value) or parse_date(value)
    except (TypeError, ValueError):
        return None


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def as_data(given: Mapping[str, list[str]], **more: str) -> QueryDict:
    """It as a form takes it."""
    data = QueryDict(mutable=True)
    for name, values in given.items():
        data.setlist(name, list(values))
    for name, value in more.items():
        data[name] = value
    return data
