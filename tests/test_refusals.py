"""Why a form was refused, in one sentence and in one for each field."""

from __future__ import annotations

import pytest
from django import forms

from compute.refusals import Refusal, refusal_of


class One(forms.Form):
    k = forms.IntegerField(error_messages={"required": "Give k.", "invalid": "ask for a kind"})
    chunk_size = forms.IntegerField(required=False)


class Two(One):
    other = forms.IntegerField(required=False, max_value=9)

    def clean(self) -> None:
        if self.cleaned_data.get("k") == 3:
            raise forms.ValidationError("Three is too much.")


@pytest.mark.parametrize("form", [One(), One({"k": 1}), Two({"k": 1, "other": 9})])
def test_a_form_that_is_empty_or_right_is_not_refused(form: forms.Form) -> None:
    assert refusal_of(form) is None


def test_a_sentence_that_names_the_only_field_stays_as_it_is() -> None:
    assert refusal_of(One({})) == Refusal("Give k.", {"k": "Give k."}, several=False)


def test_a_sentence_that_has_the_fields_name_within_a_word_does_not_name_it() -> None:
    refusal = refusal_of(One({"k": "x"}))
    assert refusal is not None
    assert (refusal.detail, refusal.fields) == ("k: ask for a kind", {"k": "ask for a kind"})


def test_of_several_fields_the_first_that_is_wrong_is_named_and_all_are_told() -> None:
    refusal = refusal_of(Two({"other": 10}))
    most = "Ensure this value is less than or equal to 9."
    assert refusal == Refusal("k: Give k.", {"k": "Give k.", "other": most}, several=True)


def test_what_is_wrong_with_all_fields_together_is_no_fields() -> None:
    assert refusal_of(Two({"k": 3})) == Refusal("Three is too much.", {}, several=True)


def test_a_field_beside_it_is_told_too() -> None:
    refusal = refusal_of(Two({"k": 3, "chunk_size": "x"}))
    assert refusal is not None
    assert refusal.detail == "chunk_size: Enter a whole number."
    assert list(refusal.fields) == ["chunk_size"]
