"""The texts that a form was filled in with: lists by name, as a browser sends them.

A run keeps them, for they say more than what the form made of them: JSON has no dates, and
an empty field is not the word "None". Code that needs a run's parameters later cleans them
again, so that callables always get what the form cleaned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime, time
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.dateparse import parse_date, parse_datetime, parse_time

Given = dict[str, list[str]]


def of_form(form: forms.BaseForm, data: Mapping[str, Any]) -> Given:
    """The part of the data that is for the form: under each field's own name, and under those
    that its widget makes of it (`when_0`, `when_year`)."""
    found = {}
    for name in data:
        if name != "chunk_size" and any(belongs(name, field) for field in form.fields):
            values = data.getlist(name) if isinstance(data, QueryDict) else listed(data[name])
            found[storable(name)] = [storable(str(value)) for value in values]
    return found


def storable(text: str) -> str:
    """The text without NULs and lone surrogates: no database keeps them, no field takes them."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def belongs(name: str, field: str) -> bool:
    return name == field or name.startswith((f"{field}_", f"{field}-"))


def completed(form: forms.BaseForm, data: Mapping[str, Any], boxes: bool = False) -> QueryDict:
    """The data, and of each field that is left out what it is at first (`initial`).

    A browser leaves out a check box that is not ticked, so that one is False; with `boxes`, as in
    a terminal, it is as it is at first. Where a field takes several, an empty text is none.
    """
    if not isinstance(data, QueryDict):
        data = as_data({name: listed(data[name]) for name in data})
    found = data.copy()
    for name, field in form.fields.items():
        several, box = takes_several(field.widget), isinstance(field.widget, forms.CheckboxInput)
        if field.widget.needs_multipart_form:
            continue
        if any(each in found for each in names_of(name, field.widget)):
            if several:
                found.setlist(name, [text for text in found.getlist(name) if text])
        elif box and not boxes:
            if form.get_initial_for_field(field, name):
                found[name] = "false"
        elif several or boxes or field.widget.value_omitted_from_data(found, {}, name):
            initial = form.get_initial_for_field(field, name)
            for each, texts in typed(name, field, initial):
                found.setlist(each, texts)
    return found


def of_parameters(form: forms.BaseForm, parameters: Mapping[str, Any]) -> Given:
    """Texts that give these parameters, for a run that did not keep its own."""
    found: Given = {}
    for name, field in form.fields.items():
        found.update(typed(name, field, parameters.get(name)))
    return found


# --- words of a terminal ------------------------------------------------------------------


def of_words(
    form: forms.BaseForm, words: list[str], options: Mapping[str, list[str]] | None = None
) -> Given:
    """A form's texts of these words, one for each field in its order; the last field gets the
    rest if it takes several. `options` are the words of fields, or of parts of them, by name.

    ValueError if there are too many, or a field has both.
    """
    names = list(form.fields)
    found: dict[str, list[str]] = {name: [word] for name, word in zip(names, words, strict=False)}
    if rest := words[len(names) :]:
        if not (names and takes_several(form.fields[names[-1]].widget)):
            values = "value" if len(names) == 1 else "values"
            raise ValueError(f"takes {len(names)} {values}: {', '.join(names)}")
        found[names[-1]] += rest
    if both := found.keys() & (options or {}).keys():
        raise ValueError(f"is given {min(both)} twice, as an option and among the values")
    texts: Given = {}
    for name, given in {**found, **(options or {})}.items():
        field = form.fields.get(name)
        texts.update({name: given} if field is None else of_field(name, field, given))
    return texts


def of_field(name: str, field: forms.Field, words: list[str]) -> Given:
    """The texts of a field of these words: one, several if it takes them, or one for each part of
    its widget."""
    widget = field.widget
    if takes_several(widget) or (len(words) == 1 and not isinstance(widget, forms.MultiWidget)):
        return {name: words}
    if not isinstance(widget, forms.MultiWidget):
        raise ValueError(f"takes one value as {name}")
    suffixes = suffixes_of(widget)
    if len(words) == 1:
        if at := moment(words[0]):
            return dict(typed(name, field, at))
        words *= len(suffixes)  # the form will say what is wrong with it
    if len(words) != len(suffixes):
        raise ValueError(f"takes {len(suffixes)} values as {name}")
    return {f"{name}{suffix}": [word] for suffix, word in zip(suffixes, words, strict=True)}


# --- widgets ------------------------------------------------------------------------------


def takes_several(widget: forms.Widget) -> bool:
    several = getattr(widget, "allow_multiple_selected", False)
    return bool(several) or isinstance(widget, forms.MultipleHiddenInput)


def names_of(name: str, widget: forms.Widget) -> list[str]:
    """The names under which a browser sends what is in a widget of Django's."""
    if isinstance(widget, forms.MultiWidget):
        parts = zip(suffixes_of(widget), widget.widgets, strict=True)
        return [each for suffix, part in parts for each in names_of(f"{name}{suffix}", part)]
    if isinstance(widget, forms.SelectDateWidget):
        places = (widget.year_field, widget.month_field, widget.day_field)
        return [name, *(place % name for place in places)]
    return [name]


def id_of(file: Any) -> str:
    """The id of a file, as a form has cleaned it or a run's row tells it; empty for another."""
    return str(file.get("file", "") if isinstance(file, dict) else getattr(file, "id", ""))


def suffixes_of(widget: forms.MultiWidget) -> list[str]:
    """The ends of its parts' names, after the field's name."""
    names: list[str] = widget.widgets_names  # type: ignore[attr-defined]
    return names


def typed(
    name: str, field: forms.Field, value: Any, widget: forms.Widget | None = None
) -> Iterator[tuple[str, list[str]]]:
    """A value as one would type it into the field's widget; nothing for None."""
    widget = widget or field.widget
    if value is None:
        return
    if isinstance(widget, forms.MultiWidget):
        parts = value if isinstance(value, list | tuple) else decompressed(widget, value)
        fields = getattr(field, "fields", None) or [forms.Field()] * len(parts)
        places = zip(suffixes_of(widget), widget.widgets, fields, parts, strict=False)
        for suffix, part_widget, part_field, part in places:
            yield from typed(f"{name}{suffix}", part_field, part, part_widget)
    elif widget.needs_multipart_form:
        yield name, [text for each in listed(value) if (text := id_of(each))]
    elif takes_several(widget):
        prepared = field.prepare_value(value)
        several = isinstance(prepared, Iterable) and not isinstance(prepared, str)
        yield name, [str(each) for each in (prepared if several else [prepared])]
    else:
        yield name, [text_of(field, each) for each in listed(field.prepare_value(value))]


def decompressed(widget: forms.MultiWidget, value: Any) -> list[Any]:
    return list(widget.decompress(moment(value) or value) or [])


def text_of(field: forms.Field, value: Any) -> str:
    """A single value; a day or a time of day in the first way that the field reads as the same."""
    at = day_or_time(field, value)
    if at is not None:
        for form in getattr(field, "input_formats", ()):
            text = at.strftime(form)
            with suppress(forms.ValidationError):
                if field.to_python(text) == at:
                    return text
    return str(value)


def day_or_time(field: forms.Field, value: Any) -> date | time | None:
    """The value of a field that reads no other way of writing it than its own."""
    is_day = isinstance(field, forms.DateField)
    if not (is_day or isinstance(field, forms.TimeField)):
        return None
    if isinstance(value, datetime):
        return value.date() if is_day else value.time()
    if isinstance(value, date | time):
        return value
    try:
        return parse_date(value) if is_day else parse_time(value)
    except (TypeError, ValueError):
        return None


def moment(value: Any) -> datetime | date | None:
    """The date that a text of JSON means, if it means one."""
    try:
        return parse_datetime(value) or parse_date(value)
    except (TypeError, ValueError):
        return None


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def as_data(given: Mapping[str, list[str]], **more: str) -> QueryDict:
    """The texts as a form takes them."""
    data = QueryDict(mutable=True)
    for name, values in given.items():
        data.setlist(name, list(values))
    for name, value in more.items():
        data[name] = value
    return data
