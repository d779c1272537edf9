"""A form field for whole numbers, as strict as a reference has to be."""

from __future__ import annotations

import re

from django import forms

#: More digits than any number that is allowed has; cut there, a number is still too large.
MAX_DIGITS = 30
DIGITS = re.compile(r"[0-9]+", re.ASCII)


class WholeNumberField(forms.CharField):
    """Plain ASCII digits, of which int() would read far more: "١٢", " 7 ", "1_000".

    `message` is the sentence that a client gets back for anything else.
    """

    def __init__(self, message: str, *, max_value: int | None = None, **kwargs: object) -> None:
        self.max_value = max_value
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
            raise forms.ValidationError(f"Give a {self.label} of at most {self.max_value:,}.")
        return number
