"""What the forms take and refuse, with any text whatever."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from django import forms
from django.contrib.auth.models import Group
from hypothesis import assume, given
from hypothesis import strategies as st

from compute.chance import MOST
from compute.chunking import MAX_CHUNKS, ranges, smallest_chunk_size
from compute.computation import ComputationError
from compute.computations.sums import BUGGY_SUM, SUM, SumForm
from compute.forms import (
    Shown,
    filled_in,
    form_for,
    given_in,
    names_of_site,
    parameters_of,
    seed_of,
    shown,
)
from compute.given import as_data
from tests.digits import LIMIT, NUMBERS, is_plain

SplitSumForm = form_for(SUM)


def test_the_limit_is_the_sites(settings: Any) -> None:
    settings.SUM_MAX_N = 50
    assert SumForm({"n": "50"}).is_valid()
    assert SumForm({"n": "51"}).errors == {"n": ["Give an n of at most 50."]}


@pytest.mark.parametrize("data", [{}, {"n": ""}])
def test_n_has_to_be_given(data: dict[str, str]) -> None:
    assert "Give n as a whole number" in SumForm(data).errors["n"][0]


@pytest.mark.parametrize("data", [{"n": "5"}, {"n": "5", "chunk_size": ""}])
def test_a_chunk_size_may_be_left_out(data: dict[str, str]) -> None:
    form = SplitSumForm(data)
    assert form.is_valid()
    assert form.cleaned_data == {"n": 5, "chunk_size": None}


@given(n=NUMBERS, chunk_size=st.integers(0, 2 * LIMIT))
def test_a_chunk_size_that_is_taken_makes_no_too_many_chunks(n: int, chunk_size: int) -> None:
    form = SplitSumForm({"n": str(n), "chunk_size": str(chunk_size)})
    smallest = smallest_chunk_size(n)
    assert form.is_valid() == (chunk_size >= smallest)
    if form.is_valid():
        assert len(ranges(n, form.cleaned_data["chunk_size"])) <= MAX_CHUNKS


@given(n=NUMBERS, chunk_size=st.integers(LIMIT, 10**60))
def test_a_chunk_has_no_more_numbers_than_the_sum(n: int, chunk_size: int) -> None:
    form = SplitSumForm({"n": str(n), "chunk_size": str(chunk_size)})
    assert form.is_valid()
    assert form.cleaned_data["chunk_size"] == max(n, 1)


@given(text=st.text(min_size=1))
def test_a_chunk_size_that_is_no_number_is_refused(text: str) -> None:
    assume(not is_plain(text))
    form = SplitSumForm({"n": "1000", "chunk_size": text})
    assert form.errors == {
        "chunk_size": ["Give chunk_size as a whole number of 1 or more, or leave it out."]
    }


def test_a_chunk_size_that_is_too_small_is_told_the_smallest_that_fits() -> None:
    form = SplitSumForm({"n": "1000000000", "chunk_size": "99999"})
    assert form.errors["chunk_size"] == [
        "Give a chunk_size of at least 100,000: "
        "a smaller one would cut this into more than 10,000 chunks."
    ]
    assert SplitSumForm({"n": "1000000000", "chunk_size": "100000"}).is_valid()


def test_with_a_bad_n_the_chunk_size_is_not_judged_by_it() -> None:
    assert list(SplitSumForm({"n": "x", "chunk_size": "1"}).errors) == ["n"]
    assert list(SplitSumForm({"n": "x", "chunk_size": "y"}).errors) == ["n", "chunk_size"]


def test_a_form_asks_for_a_chunk_size_only_where_there_will_be_chunks() -> None:
    assert list(form_for(SUM)().fields) == ["n", "chunk_size"]
    assert list(form_for(SUM, chunked=False)().fields) == ["n"]
    assert list(form_for(BUGGY_SUM)().fields) == ["n"]


# --- filled in ------------------------------------------------------------------------------


class ChoosingForm(forms.Form):
    kind = forms.CharField(initial="a")
    loud = forms.BooleanField(initial=True, required=False)

    def clean_kind(self) -> Any:
        return Group(name="g") if self.cleaned_data["kind"] == "row" else self.cleaned_data["kind"]


CHOOSING = replace(BUGGY_SUM, name="choosing", form=ChoosingForm)


def test_a_form_is_filled_in_with_what_is_left_out() -> None:
    assert not filled_in(CHOOSING).is_bound
    form = filled_in(CHOOSING, as_data({}))
    assert parameters_of(form) == {"kind": "a", "loud": False}
    assert given_in(form) == {"kind": ["a"], "loud": ["false"]}
    assert parameters_of(filled_in(CHOOSING, as_data({}), boxes=True))["loud"] is True
    assert filled_in(CHOOSING, as_data({"kind": [""]})).errors


class ReorderingForm(forms.Form):
    a = forms.IntegerField()
    b = forms.IntegerField()

    def clean(self) -> dict[str, Any]:
        return {"more": 1, "b": self.cleaned_data["b"], "a": self.cleaned_data["a"] * 10}


def test_parameters_stand_in_the_order_of_the_fields_whatever_clean_makes_of_them() -> None:
    form = filled_in(replace(CHOOSING, form=ReorderingForm), as_data({"a": ["5"], "b": ["6"]}))
    assert list(parameters_of(form).items()) == [("a", 50), ("b", 6), ("more", 1)]


def test_a_row_of_the_database_is_no_parameter() -> None:
    said = "choosing: its `form` cleaned kind to <Group: g> (Group), and a run can't keep rows"
    with pytest.raises(ComputationError, match=re.escape(said)):
        filled_in(CHOOSING, as_data({"kind": ["row"]}))


def test_what_cleans_to_no_fields_is_its_authors_mistake() -> None:
    odd = type("OddForm", (ChoosingForm,), {"clean": lambda self: [1]})
    with pytest.raises(ComputationError, match="cleaned to"):
        filled_in(replace(CHOOSING, form=odd), as_data({}))


# --- how a page shows it --------------------------------------------------------------------


def drawn_of(**fields: forms.Field) -> list[Shown]:
    return shown(SUM, type("AnyForm", (forms.Form,), fields)())


def test_a_field_is_drawn_with_its_label_and_its_help_tied_to_it() -> None:
    (n,) = drawn_of(n=forms.IntegerField(label="N & more", help_text="<b>"))
    assert '<label for="id_n">N &amp; more</label>' in n.html
    assert 'aria-describedby="id_n_helptext"' in n.html
    assert '<small id="id_n_helptext">&lt;b&gt;</small>' in n.html
    (loud,) = drawn_of(loud=forms.BooleanField())
    assert loud.html.index("<input") < loud.html.index("<label")
    (kinds,) = drawn_of(
        kinds=forms.MultipleChoiceField(
            choices=[("a", "b")], widget=forms.CheckboxSelectMultiple, help_text="x"
        )
    )
    assert '<fieldset aria-describedby="id_kinds_helptext">' in kinds.html
    assert '<input type="hidden" name="kinds" value="">' in kinds.html
    assert "<legend>Kinds</legend>" in kinds.html


def test_a_hidden_field_is_its_input_alone() -> None:
    (n,) = drawn_of(n=forms.IntegerField(widget=forms.HiddenInput, initial=3))
    assert n.html == '<input type="hidden" name="n" value="3" id="id_n">'


def test_each_part_of_a_widget_has_a_name() -> None:
    (at,) = drawn_of(at=forms.SplitDateTimeField())
    assert at.html.count('aria-label="date"') == at.html.count('aria-label="time"') == 1
    (day,) = drawn_of(day=forms.DateField(widget=forms.SelectDateWidget))
    assert [f'aria-label="{part}"' in day.html for part in ("year", "month", "day")] == [True] * 3
    low, high = forms.TextInput({"aria-label": "from"}), forms.TextInput()
    named: Any
    numbered: Any
    named, numbered = {"low": low, "high_end": high}, [forms.TextInput, forms.TextInput]
    for widgets, names in (named, ("from", "high_end")), (numbered, ("part 1", "part 2")):
        (pair,) = drawn_of(pair=forms.CharField(widget=Halves(widgets)))
        assert [f'aria-label="{name}"' in pair.html for name in names] == [True] * 2


class Halves(forms.MultiWidget):
    def decompress(self, value: Any) -> list[Any]:
        return [None, None]


class OwnSelect(forms.Select):
    pass


class OwnDate(forms.SelectDateWidget):
    select_widget = OwnSelect


def test_what_an_author_has_made_himself_stays_so() -> None:
    (day,) = drawn_of(day=forms.DateField(widget=OwnDate))
    assert "aria-label" not in day.html
    own: Any = {"template_name": "django/forms/field.html"}
    (n,) = drawn_of(n=forms.IntegerField(**own))
    assert '<label for="id_n">N:</label>' in n.html


# --- the seed --------------------------------------------------------------------------------

SEEDED = replace(SUM, seed=True)


class OwnSeedForm(SumForm):
    """A computation's own field of that name, from before the site had one."""

    seed = forms.IntegerField(required=False)


def test_chance_has_a_field_for_its_seed_which_its_own_form_never_sees() -> None:
    seen: list[dict[str, Any]] = []

    class LookingForm(SumForm):
        def clean(self) -> dict[str, Any]:
            seen.append(dict(self.cleaned_data))
            return self.cleaned_data

    form = form_for(replace(SEEDED, form=LookingForm))(
        {"n": "5", "seed": str(MOST), "chunk_size": "2"}
    )
    assert form.is_valid()
    assert (parameters_of(form), seed_of(form)) == ({"n": 5}, MOST)
    assert form.cleaned_data == {"n": 5, "seed": MOST, "chunk_size": 2}
    assert given_in(form) == {"n": ["5"]}
    assert seen == [{"n": 5}]


@pytest.mark.parametrize("data", [{}, {"seed": ""}])
def test_a_seed_may_be_left_out(data: dict[str, str]) -> None:
    form = form_for(SEEDED)({"n": "5", **data})
    assert form.is_valid()
    assert seed_of(form) is None


@pytest.mark.parametrize("seed", ["-1", "1.5", "x", "١", str(MOST + 1), "9" * 5_000])
def test_a_seed_that_is_none_is_refused(seed: str) -> None:
    form = form_for(SEEDED)({"n": "5", "seed": seed})
    (sentence,) = form.errors["seed"]
    assert sentence in (
        "Give seed as a whole number in plain digits, or leave it out.",
        f"Give a seed of at most {MOST:,}.",
    )


def test_there_is_none_without_chance_nor_where_many_runs_are_started() -> None:
    assert "seed" not in form_for(SUM)().fields
    assert "seed" not in form_for(SEEDED, chunked=False)().fields
    assert "seed" in form_for(replace(SEEDED, cut=None, length=None))().fields


def test_a_field_of_that_name_stays_its_computations_own() -> None:
    form = form_for(replace(SUM, form=OwnSeedForm))({"n": "5", "seed": "7"})
    assert form.is_valid()
    assert (parameters_of(form), seed_of(form)) == ({"n": 5, "seed": 7}, None)
    assert given_in(form) == {"n": ["5"], "seed": ["7"]}


# --- beside any class of an author's ------------------------------------------------------------


class CrowdedForm(SumForm):
    """Has methods and attributes by the names of all that the site asks of a form."""

    chunk_size = seed = "mine"
    own = computation = chunked = "mine"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.given = self.parameters_of = self.names_of_site = "mine"

    def parameters(self) -> int:
        return int(self.cleaned_data["n"])

    def seed_given(self) -> str:
        return self.chunk_size + self.seed + self.own + self.computation + self.given

    def clean(self) -> dict[str, Any]:
        assert self.seed_given() == "mine" * 5
        return {**self.cleaned_data, "n": self.parameters() + 1}


CROWDED = replace(SUM, form=CrowdedForm, seed=True)


def test_names_of_an_author_are_in_nobodys_way() -> None:
    form = filled_in(CROWDED, as_data({"n": ["5"], "chunk_size": ["2"], "seed": ["7"]}))
    assert form.is_valid(), form.errors
    assert (parameters_of(form), given_in(form), seed_of(form)) == ({"n": 6}, {"n": ["5"]}, 7)
    assert form.cleaned_data["chunk_size"] == 2
    assert names_of_site(form) == ["chunk_size", "seed"]
    assert [each.name for each in shown(CROWDED, form)] == ["n", "chunk_size", "seed"]
    bare = filled_in(CROWDED, as_data({"n": ["5"]}), chunked=False)
    assert (parameters_of(bare), names_of_site(bare)) == ({"n": 6}, [])


def test_the_site_adds_one_name_to_a_form_and_calls_what_was_there() -> None:
    kind = form_for(CROWDED)
    added = vars(kind).keys() - vars(CrowdedForm).keys() - vars(type("Bare", (SumForm,), {})).keys()
    assert added <= {"clean"}
    assert kind.__mro__[1] is CrowdedForm
