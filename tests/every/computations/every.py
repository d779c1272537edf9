"""Every field that Django has, but those of files and of rows, and what each is filled in with.

The computation `every` has all of them in one form, and tells what its function was called with.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms

from compute.computation import Computation

HERE = Path(__file__)
ABC = [("a", "Ann"), ("b", "Ben & Bo"), ("Group", [("c", "Cy")])]
NUMBERS = [(1, "one"), (2, "two"), (3, "three")]


class RangeWidget(forms.MultiWidget):
    def __init__(self) -> None:
        super().__init__({"low": forms.NumberInput, "high": forms.NumberInput})

    def decompress(self, value: Any) -> list[Any]:
        return [value.start, value.stop] if value else [None, None]


class RangeField(forms.MultiValueField):
    """Two numbers, which make a range."""

    widget = RangeWidget

    def __init__(self, **kwargs: Any) -> None:
        super().__init__((forms.IntegerField(), forms.IntegerField()), **kwargs)

    def compress(self, data_list: list[int]) -> range | None:
        return range(*data_list) if data_list else None


class PairField(RangeField):
    """The same, kept as a list, which no widget takes apart."""

    def compress(self, data_list: list[int]) -> Any:
        return data_list


@dataclass
class Kind:
    """A field, the texts that a browser sends by what comes after its name, and the value."""

    make: Callable[..., forms.Field]
    sent: dict[str, list[str]]
    value: Any
    #: The words of a terminal; those of a browser if they are left out.
    words: list[str] = field(default_factory=list)
    #: How its parameter stands on the page of a run.
    shown: str = ""

    def in_terminal(self) -> list[str]:
        return self.words or self.sent[""]


def plain(make: Callable[..., forms.Field], text: str, value: Any, shown: str = "") -> Kind:
    return Kind(make, {"": [text]}, value, shown=shown)


def with_widget(make: Callable[..., forms.Field], widget: Any, **more: Any) -> Any:
    return lambda **kwargs: make(widget=widget, **more, **kwargs)


def choice(make: Any, choices: Any, widget: Any = None, **more: Any) -> Any:
    chosen = {"widget": widget} if widget else {}
    return lambda **kwargs: make(choices=choices, **chosen, **more, **kwargs)


DAY, AT, CLOCK = date(2026, 3, 1), datetime(2026, 3, 1, 10, 30, 5, 250, tzinfo=UTC), time(10, 30)
AT_0 = AT.replace(microsecond=0, tzinfo=ZoneInfo("UTC"))
SPAN = timedelta(days=3, hours=1, minutes=2, seconds=3, microseconds=4)
GERMAN: Any = {"input_formats": ["%d.%m.%Y"]}
SPLIT = {"_0": ["2026-03-01"], "_1": ["10:30:05"]}
SOME_ID = UUID("12345678-1234-5678-1234-567812345678")

KINDS = {
    "char": plain(forms.CharField, "a, ä & <b>", "a, ä & <b>"),
    "kept_blanks": plain(lambda **k: forms.CharField(strip=False, **k), " x ", " x "),
    "area": plain(with_widget(forms.CharField, forms.Textarea), "1\r\n2", "1\r\n2", "1 2"),
    "secret": plain(
        with_widget(
            forms.CharField,
            forms.PasswordInput({"autocomplete": "new-password"}, render_value=True),
        ),
        "s3",
        "s3",
        "not shown",
    ),
    "hidden": plain(with_widget(forms.IntegerField, forms.HiddenInput), "7", 7),
    "colour": plain(
        with_widget(forms.CharField, forms.TextInput({"type": "color"})), "#00ff00", "#00ff00"
    ),
    "integer": plain(forms.IntegerField, "-12", -12),
    "slider": plain(
        with_widget(forms.IntegerField, forms.NumberInput({"type": "range"})), "50", 50
    ),
    "float": plain(forms.FloatField, "1e-05", 1e-05),
    "decimal": plain(forms.DecimalField, "1.10", Decimal("1.10")),
    "date": plain(forms.DateField, "2026-03-01", DAY),
    "german": plain(
        lambda **k: forms.DateField(**GERMAN, widget=forms.DateInput(format="%d.%m.%Y"), **k),
        "01.03.2026",
        DAY,
        "2026-03-01",
    ),
    "picked": plain(
        with_widget(forms.DateField, forms.DateInput({"type": "date"})), "2026-03-01", DAY
    ),
    "selected": Kind(
        with_widget(forms.DateField, forms.SelectDateWidget(years=[2025, 2026])),
        {"_year": ["2026"], "_month": ["3"], "_day": ["1"]},
        DAY,
        ["2026-03-01"],
        "2026-03-01",
    ),
    "time": plain(forms.TimeField, "10:30:00", CLOCK),
    "fine_time": plain(
        with_widget(forms.TimeField, forms.TextInput),
        "10:30:00.000250",
        CLOCK.replace(microsecond=250),
    ),
    "datetime": plain(forms.DateTimeField, "2026-03-01 10:30:05", AT_0, "2026-03-01 10:30:05 UTC"),
    "moment": plain(
        with_widget(forms.DateTimeField, forms.TextInput),
        "2026-03-01T10:30:05.000250+00:00",
        AT,
        "2026-03-01 10:30:05.000250 UTC",
    ),
    "split": Kind(
        forms.SplitDateTimeField, SPLIT, AT_0, ["2026-03-01 10:30:05"], "2026-03-01 10:30:05 UTC"
    ),
    "split_hidden": Kind(
        with_widget(forms.SplitDateTimeField, forms.SplitHiddenDateTimeWidget),
        SPLIT,
        AT_0,
        ["2026-03-01", "10:30:05"],
        "2026-03-01 10:30:05 UTC",
    ),
    "duration": plain(forms.DurationField, "3 01:02:03.000004", SPAN),
    "regex": plain(lambda **k: forms.RegexField(re.compile("[a-c]+"), **k), "abc", "abc"),
    "email": plain(forms.EmailField, "ann@example.com", "ann@example.com"),
    "url": plain(
        lambda **k: forms.URLField(assume_scheme="https", **k),
        "https://example.com/?a=1&b=2",
        "https://example.com/?a=1&b=2",
    ),
    "address": plain(forms.GenericIPAddressField, "2001:db8::1", "2001:db8::1"),
    "slug": plain(forms.SlugField, "a-slug", "a-slug"),
    "uuid": plain(forms.UUIDField, str(SOME_ID), SOME_ID),
    "json": plain(forms.JSONField, '{"a": [1, "b", null]}', {"a": [1, "b", None]}),
    "yes": plain(forms.BooleanField, "on", True, "yes"),
    "perhaps": plain(forms.NullBooleanField, "false", False, "no"),
    "choice": plain(choice(forms.ChoiceField, ABC), "c", "c", "Cy"),
    "radio": plain(choice(forms.ChoiceField, ABC, forms.RadioSelect), "b", "b", "Ben & Bo"),
    "typed": plain(choice(forms.TypedChoiceField, NUMBERS, coerce=int), "2", 2, "two"),
    "several": Kind(
        choice(forms.MultipleChoiceField, ABC), {"": ["a", "c"]}, ["a", "c"], shown="Ann, Cy"
    ),
    "boxes": Kind(
        choice(forms.MultipleChoiceField, ABC, forms.CheckboxSelectMultiple),
        {"": ["b", "c"]},
        ["b", "c"],
        shown="Ben & Bo, Cy",
    ),
    "several_hidden": Kind(
        choice(forms.MultipleChoiceField, ABC, forms.MultipleHiddenInput),
        {"": ["b"]},
        ["b"],
        shown="Ben & Bo",
    ),
    "numbers": Kind(
        choice(forms.TypedMultipleChoiceField, NUMBERS, coerce=int),
        {"": ["1", "3"]},
        [1, 3],
        shown="one, three",
    ),
    "combo": plain(
        lambda **k: forms.ComboField([forms.CharField(max_length=20), forms.EmailField()], **k),
        "a@b.example",
        "a@b.example",
    ),
    "range": Kind(
        RangeField, {"_low": ["1"], "_high": ["5"]}, range(1, 5), ["1", "5"], "1, 2, 3, 4"
    ),
    "pair": Kind(PairField, {"_low": ["1"], "_high": ["5"]}, [1, 5], ["1", "5"], "1, 5"),
    "file_path": plain(
        lambda **k: forms.FilePathField(path=str(HERE.parent), match=r"^every\.py$", **k),
        str(HERE),
        str(HERE),
        "every.py",
    ),
    # Called as something of the site's, or of Django's forms.
    "name": plain(forms.CharField, "n", "n"),
    "priority": plain(forms.IntegerField, "3", 3),
    "help": plain(forms.CharField, "h", "h"),
    "as": plain(forms.CharField, "csv", "csv"),
    "n": plain(forms.IntegerField, "5", 5),
    "data": plain(forms.CharField, "d", "d"),
    "errors": plain(forms.CharField, "e", "e"),
    "fields": plain(forms.CharField, "f", "f"),
    "prefix": plain(forms.CharField, "p", "p"),
    "computation": plain(forms.CharField, "c", "c"),
    "parameters": plain(forms.CharField, "q", "q"),
    "self": plain(forms.CharField, "s", "s"),
    "with-hyphen": plain(forms.CharField, "h", "h"),
}


def texts(*names: str) -> dict[str, list[str]]:
    """What a browser sends of these fields, of all by default."""
    return {
        f"{name}{suffix}": each
        for name in names or KINDS
        for suffix, each in KINDS[name].sent.items()
    }


def option(name: str) -> str:
    """How the terminal has it: some names are options of the command's own."""
    return f"--field-{name}" if name in ("help", "json", "priority") else f"--{name}"


def form_of(*names: str, **more: Any) -> type[forms.Form]:
    fields = {name: KINDS[name].make(help_text="Is helped.", **more) for name in names or KINDS}
    return type("EveryForm", (forms.Form,), fields)


def tell(*values: Any) -> list[str]:
    """How a worker has them."""
    return [repr(value) for value in values]


def titled(**parameters: Any) -> str:
    return f"{len(parameters)} fields"


EVERY = Computation(
    name="every",
    line="Has every field that Django has.",
    title=titled,
    form=form_of(),
    function=tell,
    show=str,
)
