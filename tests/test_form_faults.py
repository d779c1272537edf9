"""Faults of a form that come out only where somebody fills it in."""

from __future__ import annotations

import pytest
from django import forms

from compute.form_faults import faults_of
from tests.every.computations.every import form_of


def of_fields(**fields: forms.Field) -> forms.Form:
    kind: type[forms.Form] = type("AnyForm", (forms.Form,), fields)
    return kind()


def test_a_form_of_every_field_is_fine() -> None:
    assert list(faults_of(form_of()())) == []


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (of_fields(when=forms.SplitDateTimeField(), when_1=forms.CharField()), "when_1"),
        (
            of_fields(
                day_year=forms.CharField(), day=forms.DateField(widget=forms.SelectDateWidget)
            ),
            "day_year",
        ),
    ],
)
def test_two_fields_of_one_name_are_a_fault(form: forms.Form, name: str) -> None:
    ((why, hint),) = faults_of(form)
    assert why == f"`form` has '{name}' twice: as a field, and as a part of another one's widget"
    assert hint == "Give the field another name."


def test_a_prefix_is_a_fault() -> None:
    form = forms.Form(prefix="x")
    ((why, hint),) = faults_of(form)
    assert why.startswith("`form` has the prefix 'x'")
    assert hint.startswith("Leave it out")
