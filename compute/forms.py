"""What a client may send, and the sentence it gets back where it may not."""

from __future__ import annotations

import re

from django import forms
from django.conf import settings

from .chunking import MAX_CHUNKS, smallest_chunk_size

#: More digits than any number that is allowed has; cut there, a number is still too large.
MAX_DIGITS = 30
DIGITS = re.compile(r"[0-9]+", re.ASCII)


class WholeNumberField(forms.CharField):
    """Plain ASCII digits, of which int() would read far more: "١٢", " 7 ", "1_000"."""

    def __init__(self, message: str, **kwargs: object) -> None:
        super().__init__(
            strip=False,
            error_messages={"required": message, "invalid": message},
            widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
            **kwargs,  # type: ignore[arg-type]
        )
        self.validators = []

    def to_python(self, value: object) -> int | None:  # type: ignore[override]
        if value in self.empty_values:
            return None
        digits = str(value)
        if not DIGITS.fullmatch(digits):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        # Python refuses to read more than 4,300 digits, and nothing here needs as many.
        return int(digits.lstrip("0")[:MAX_DIGITS] or 0)


class SumForm(forms.Form):
    n = WholeNumberField(
        "Give n as a whole number in plain digits, for example n=1000.",
        label="n",
        help_text="Add up all integers from 1 to n.",
    )

    def clean_n(self) -> int:
        n: int = self.cleaned_data["n"]
        if n > settings.SUM_MAX_N:
            raise forms.ValidationError(f"Give an n of at most {settings.SUM_MAX_N:,}.")
        return n


class SplitSumForm(SumForm):
    chunk_size = WholeNumberField(
        "Give chunk_size as a whole number of 1 or more, or leave it out.",
        label="Chunk size",
        help_text="Numbers in a chunk of a split sum; chosen by the site if left empty.",
        required=False,
    )

    def clean_chunk_size(self) -> int | None:
        chunk_size: int | None = self.cleaned_data["chunk_size"]
        n = self.cleaned_data.get("n")
        if chunk_size is None or n is None:
            return chunk_size
        smallest = smallest_chunk_size(n)
        if chunk_size < 1:
            raise forms.ValidationError(self.fields["chunk_size"].error_messages["invalid"])
        if chunk_size < smallest:
            raise forms.ValidationError(
                f"Give a chunk_size of at least {smallest:,}: a smaller one would cut this "
                f"sum into more than {MAX_CHUNKS:,} chunks."
            )
        return min(chunk_size, max(int(n), 1))  # a chunk has no more numbers than the sum
