"""Numbers, and any other text whatever."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from hypothesis import assume, given
from hypothesis import strategies as st

from compute.computations.sums import SumForm
from compute.fields import ExactField, WholeNumberField
from tests.digits import LIMIT, NUMBERS, is_plain


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


@pytest.mark.thorough
@given(number=st.integers(LIMIT + 1), nines=st.integers(13, 6000))
def test_a_number_over_the_limit_is_refused_however_long(number: int, nines: int) -> None:
    for text in (str(number), "9" * nines):
        assert SumForm({"n": text}).errors == {"n": ["Give an n of at most 1,000,000,000,000."]}


@pytest.mark.thorough
@given(digits=st.from_regex(r"[0-9]+", fullmatch=True))
def test_digits_are_taken_exactly_if_they_are_within_the_limit(digits: str) -> None:
    assert SumForm({"n": digits}).is_valid() == (int(digits) <= LIMIT)


def test_a_fields_own_limit_is_told() -> None:
    field = WholeNumberField("Give k.", label="k", max_value=1000)
    assert field.clean("1000") == 1000
    with pytest.raises(ValidationError, match=r"Give a k of at most 1,000\."):
        field.clean("1001")


def test_a_least_number_is_told_too() -> None:
    field = WholeNumberField("Give k.", label="k", min_value=64)
    assert field.clean("64") == 64
    with pytest.raises(ValidationError, match=r"Give a k of at least 64\."):
        field.clean("063")


@pytest.mark.parametrize(
    ("label", "said"),
    [
        *(("Seed", "seed"), ("Chunk size", "chunk size"), ("URL", "URL"), ("N", "N")),
        *((None, "number"), ("", "number")),
    ],
)
def test_a_label_is_a_word_within_its_sentence(label: str | None, said: str) -> None:
    field = WholeNumberField("Give it.", label=label, max_value=9)
    with pytest.raises(ValidationError, match=f"Give a {said} of at most 9"):
        field.clean("10")


# --- decimal numbers, exactly -------------------------------------------------------------------

EXACT = ExactField("Give k as a number.", label="k", initial=Decimal("-0.75"))


@given(number=st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000))
def test_a_decimal_number_is_kept_exactly(number: Decimal) -> None:
    assume(len(str(number)) <= 100 and abs(number.adjusted()) < 900)
    found = EXACT.clean(str(number))
    assert (str(found), found.is_finite()) == (str(number), True)


@pytest.mark.parametrize("text", ["0.5", ".5", "5.", "+5", "-5e-3", "1E999", " 5\t", "007"])
def test_a_decimal_number_may_be_written_so(text: str) -> None:
    assert EXACT.clean(text) == Decimal(text.strip())


@pytest.mark.parametrize(
    "text",
    [
        *("NaN", "sNaN", "nan", "Infinity", "-inf", "1e1000", "1e99999", "0x1p3", "1_000", "1,5"),
        *("٥", "５", "--1", ".", "e5", "1 2", "1e", "x", "0." + "0" * 99, "1\n2", "\0"),
    ],
)
def test_what_is_no_decimal_number_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"Give k as a number\."):
        EXACT.clean(text)


@given(text=st.text())
def test_any_text_is_a_finite_number_or_refused(text: str) -> None:
    with suppress(ValidationError):
        assert EXACT.clean(text).is_finite()


def test_what_is_left_out_is_as_at_the_beginning() -> None:
    assert EXACT.clean("") == EXACT.clean(None) == Decimal("-0.75")
