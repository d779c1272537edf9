"""The parameters of a run, as its page shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django import forms
from django.test import Client

from compute.models import Run
from compute.web.pages.parameters import (
    CUT_CHARS,
    Parameter,
    in_a_row,
    in_words,
    parameters_context,
)
from tests.conftest import started


class OwnForm(forms.Form):
    kind = forms.ChoiceField(label="What kind", choices=[("g", [("a", "Ann"), ("b", "Ben")])])
    days = forms.TypedMultipleChoiceField(choices=[(1, "Mon"), (2, "Tue")], coerce=int)
    span = forms.DurationField()
    secret = forms.CharField(widget=forms.PasswordInput)
    at = forms.SplitDateTimeField()
    file = forms.FileField()


def rows(run: Run) -> dict[str, str]:
    return {each.label: each.text for each in parameters_context(run)["parameters"]}


def test_values_are_told_by_the_labels_of_fields_and_choices(
    declare: Callable[..., None],
) -> None:
    declare(name="own", form=OwnForm)
    parameters: dict[str, Any] = {
        "kind": "b",
        "days": [2, 3],
        "span": "P1DT60S",
        "secret": "x",
        "more": None,
    }
    parameters["at"] = "2026-03-01T10:30:00Z"
    parameters["file"] = {"file": "0" * 32, "name": "a.csv", "size": 12_300}
    run = Run(computation="own", parameters=parameters)
    assert rows(run) == {
        "What kind": "Ben",
        "Days": "Tue, 3",
        "Span": "1 00:01:00",
        "Secret": "not shown",
        "more": "–",
        "At": "2026-03-01 10:30:00 UTC",
        "File": "a.csv, 12.0 KB",
    }


@pytest.mark.parametrize(("value", "words"), [(None, "–"), ("a.csv", "a.csv"), ([], "")])
def test_what_is_no_file_is_told_as_it_is(
    declare: Callable[..., None], value: Any, words: str
) -> None:
    declare(name="own", form=OwnForm)
    assert rows(Run(computation="own", parameters={"file": value})) == {"File": words}


def test_without_its_form_a_value_has_the_name_of_its_field(declare: Callable[..., None]) -> None:
    assert rows(Run(computation="gone", parameters={"kind": "b"})) == {"kind": "b"}

    def fail(self: Any) -> None:
        raise KeyError("forgotten")

    declare(name="own", form=type("Form", (OwnForm,), {"__init__": fail}))
    assert rows(Run(computation="own", parameters={"kind": "b"})) == {"kind": "b"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        ("", "–"),
        ([], "–"),
        ({}, "–"),
        (0, "0"),
        (False, "no"),
        (True, "yes"),
        (2026, "2026"),
        (1e-5, "1e-05"),
        ([1, "ä", None], "1, ä, –"),
        ([[1], "ä"], '[[1], "ä"]'),
        ({"a": "ä"}, '{"a": "ä"}'),
    ],
)
def test_values_in_words(value: Any, words: str) -> None:
    assert in_words(value) == words


def test_what_is_long_is_cut_and_unfolds() -> None:
    assert in_a_row("x", "y" * CUT_CHARS) == Parameter("x", "y" * CUT_CHARS)
    row = in_a_row("x", "y" * 1_000_000)
    assert (len(row.text), len(row.whole)) == (CUT_CHARS, 100_000)
    assert in_a_row("x", "a\nb") == Parameter("x", "a b", "a\nb")


def test_the_page_of_a_run_has_them(db: None, browser_client: Client) -> None:
    run = started("/split-sum-start/", n=10)
    html = " ".join(browser_client.get(run.get_absolute_url()).content.decode().split())
    assert '<th scope="row">n</th> <td>10</td>' in html
    Run.objects.filter(pk=run.pk).update(parameters={"n": "<b>" * 100})
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert f'<pre tabindex="0">{"&lt;b&gt;" * 100}</pre></details>' in html
