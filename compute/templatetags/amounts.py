"""Times and numbers as people read them."""

from __future__ import annotations

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma, intword

register = template.Library()


@register.filter
def duration(seconds: float | None) -> str:
    """Two places at most: 0.4 s, 12 s, 2 min 5 s, 3 h 20 min, 2 d 4 h."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    for unit, smaller, size, part in (
        ("d", "h", 86400, 3600),
        ("h", "min", 3600, 60),
        ("min", "s", 60, 1),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size:,} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


@register.filter
def amount(number: float) -> str:
    """A large number in words, 25.3 million; a smaller one with its thousands apart."""
    whole = round(number)
    text = str(intword(whole) if whole >= 10**6 else intcomma(whole))
    return text.replace(".0 ", " ")


@register.filter
def percent(fraction: float) -> str:
    """Cut, not rounded: what is not yet done does not say 100 %."""
    return f"{int(fraction * 100)} %"
