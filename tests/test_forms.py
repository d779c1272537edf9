"""What the forms take and refuse, with any text whatever."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from hypothesis import assume, given
from hypothesis import strategies as st

from compute.chunking import MAX_CHUNKS, ranges, smallest_chunk_size
from compute.computations.sums import BUGGY_SUM, SUM, SumForm
from compute.fields import WholeNumberField
from compute.forms import form_for

SplitSumForm = form_for(SUM)

LIMIT = 10**12
NUMBERS = st.integers(0, LIMIT)


def is_plain(text: str) -> bool:
    return text.isascii() and text.isdigit()


@given(n=NUMBERS, zeros=st.integers(0, 40))
def test_digits_are_the_number_they_write(n: int, zeros: int) -> None:
    form = SumForm({"n": "0" * zeros + str(n)})
    assert form.is_valid()
    assert form.cleaned_data == {"n": n}


@given(text=st.text())
def test_any_other_text_is_refused(text: str) -> None:
    assume(not is_plain(text))
    form = SumForm({"n": text})
    assert form.errors == {"n": ["Give n as a whole number in plain digits, for example n=1000."]}


@given(number=st.integers(LIMIT + 1), nines=st.integers(13, 6000))
def test_a_number_over_the_limit_is_refused_however_long(number: int, nines: int) -> None:
    for text in (str(number), "9" * nines):
        assert SumForm({"n": text}).errors == {"n": ["Give an n of at most 1,000,000,000,000."]}


@given(digits=st.from_regex(r"[0-9]+", fullmatch=True))
def test_digits_are_taken_exactly_if_they_are_within_the_limit(digits: str) -> None:
    assert SumForm({"n": digits}).is_valid() == (int(digits) <= LIMIT)


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


def test_a_fields_own_limit_is_told() -> None:
    field = WholeNumberField("Give k.", label="k", max_value=1000)
    assert field.clean("1000") == 1000
    with pytest.raises(ValidationError, match=r"Give a k of at most 1,000\."):
        field.clean("1001")
