"""What may be typed where a number is asked for."""

from __future__ import annotations

from hypothesis import strategies as st

#: SUM_MAX_N, as it is by default.
LIMIT = 10**12
NUMBERS = st.integers(0, LIMIT)


def is_plain(text: str) -> bool:
    return text.isascii() and text.isdigit()
