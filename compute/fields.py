"""Form fields for numbers, as strict as a reference has to be."""

from __future__ import annotations

import re
from decimal import Decimal

from django import forms

#: More digits than any number that is allowed has; cut there, a number is still too large.
MAX_DIGITS = 30
DIGITS = re.compile(r"[0-9]+", re.ASCII)


class WholeNumberField(forms.CharField):
    """Plain ASCII digits and nothing else that int() would read: "١٢", " 7 ", "1_000".

    `message` is the sentence that a client gets back for anything else.
    """

    def __init__(
        self,
        message: str,
        *,
        min_value: int = 0,
        max_value: int | None = None,
        **kwargs: object,
    ) -> None:
        self.min_value, self.max_value = min_value, max_value
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
        number = int(digits.lstrip("0")[:MAX_DIGITS] or 0)
        if self.max_value is not None and number > self.max_value:
            raise forms.ValidationError(f"Give a {self.noun} of at most {self.max_value:,}.")
        if number < self.min_value:
            raise forms.ValidationError(f"Give a {self.noun} of at least {self.min_value:,}.")
        return number

    @property
    def noun(self) -> str:
        """The label within a sentence: a word in small letters, "URL" and "N" as they are."""
        label = str(self.label or "number")
        return label[:1].lower() + label[1:] if label[1:2].islower() else label


class ExactField(forms.CharField):
    """A decimal number, kept exactly as a Decimal: ASCII digits, with or without a point and an
    exponent, and so neither NaN nor infinite. What is left out is `initial`.

    `message` is the sentence that a client gets back for anything else.
    """

    NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]{1,3})?", re.ASCII | re.I)
    MAX_CHARS = 100

    def __init__(self, message: str, *, initial: Decimal, **kwargs: object) -> None:
        super().__init__(
            initial=initial,
            required=False,
            error_messages={"invalid": message},
            widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            **kwargs,  # type: ignore[arg-type]
        )
        self.validators = []

    def to_python(self, value: object) -> Decimal:  # type: ignore[override]
        text = str(value).strip() if value not in self.empty_values else str(self.initial)
        if len(text) > self.MAX_CHARS or not self.NUMBER.fullmatch(text):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return Decimal(text)
